//! What a source is allowed to, and what follows when it no longer is.

use std::time::Duration;

use discovery::{Answer, Condition, provider::kubernetes};
use serde_json::json;

use super::{
    cluster::Cluster,
    follow::{Followed, SLICES, follow, ready, shown, slice},
    network::{ACCOUNT, alone},
};
use crate::support::*;

const LIMIT: Duration = Duration::from_mins(3);
/// What k8s/base gives to the router's service account, and nothing more.
const ROLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/base/rbac.yaml");
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/longhaul";
const ACCESS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/longhaul";
const ONE: &str = "pod:a 10.77.0.1:9001 Active";

/// A cluster with one pod and the role, and a source with watches of 2 s that has the token of the service account.
async fn as_the_service_account() -> (Cluster, kubernetes::Cluster) {
    let cluster = Cluster::start().await;
    cluster
        .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
        .await;
    cluster.kubectl(&["-n", "default", "apply", "-f", ROLE]);
    let access = kubernetes::Access::Kubeconfig(with_new_token(&cluster));
    let source = kubernetes::Cluster::watching_for(access, Duration::from_secs(2));
    (cluster, source)
}

fn with_new_token(cluster: &Cluster) -> std::path::PathBuf {
    let token = cluster.kubectl(&["-n", "default", "create", "token", "longhaul"]);
    cluster.kubeconfig("longhaul", token.trim())
}

async fn refused_and_kept(chat: &mut Followed) {
    chat.until_condition(Condition::Refused).await;
    assert_eq!(shown(&mut chat.reader), [ONE]);
}

#[test]
fn the_role_that_is_shipped_is_enough_and_allows_nothing_else() {
    alone(LIMIT, async {
        let (cluster, source) = as_the_service_account().await;
        let mut chat = follow(&source, "chat");
        chat.until_endpoints(&[ONE]).await;
        // A list, a watch and an event: all that a source does.
        cluster
            .replace(&format!("{SLICES}/chat-1"), &slice("chat-1", "chat", &[]))
            .await;
        chat.until_endpoints(&[]).await;
        chat.until_condition(Condition::Answering).await;
        let allowed = cluster.kubectl(&[
            "auth",
            "can-i",
            "--list",
            "-n",
            "default",
            "--as=system:serviceaccount:default:longhaul",
        ]);
        let about_objects = allowed
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with(' ') && !line.contains("selfsubject"));
        let words: Vec<Vec<&str>> = about_objects
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            words,
            [["endpointslices.discovery.k8s.io", "[]", "[]", "[list", "watch]"]],
            "{allowed}"
        );
    });
}

#[test]
fn without_one_of_its_verbs_the_role_is_not_enough() {
    alone(LIMIT, async {
        let (cluster, source) = as_the_service_account().await;
        for verb in ["list", "watch"] {
            let rules = json!({ "rules": [{ "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": [verb] }] });
            cluster.patch(ACCESS, &rules).await;
            let mut chat = follow(&source, "chat");
            chat.until_condition(Condition::Refused).await;
        }
    });
}

#[test]
fn a_source_that_may_see_nothing_has_no_answer_rather_than_an_empty_one() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
            .await;
        for token in ["stranger-token", "token-of-nobody"] {
            let access = kubernetes::Access::Kubeconfig(cluster.kubeconfig("stranger", token));
            let mut chat = follow(&kubernetes::Cluster::new(access), "chat");
            chat.until_condition(Condition::Refused).await;
            assert_eq!(chat.reader.answer(), None::<Answer>, "{token}");
        }
    });
}

#[test]
fn a_permission_that_is_revoked_takes_nothing_back_and_one_that_comes_back_is_used() {
    alone(LIMIT, async {
        let (cluster, source) = as_the_service_account().await;
        let mut chat = follow(&source, "chat");
        chat.until_endpoints(&[ONE]).await;
        cluster.delete(BINDING).await;
        refused_and_kept(&mut chat).await;
        cluster.kubectl(&["-n", "default", "apply", "-f", ROLE]);
        chat.until_condition(Condition::Answering).await;
        assert_eq!(shown(&mut chat.reader), [ONE]);
    });
}

#[test]
fn a_token_that_is_revoked_takes_nothing_back_and_the_next_one_is_read() {
    alone(LIMIT, async {
        let (cluster, source) = as_the_service_account().await;
        let mut chat = follow(&source, "chat");
        chat.until_endpoints(&[ONE]).await;
        // The account of the same name that follows is another one: tokens of the first stay worthless.
        cluster.kubectl(&["-n", "default", "delete", "serviceaccount", "longhaul"]);
        cluster.kubectl(&["-n", "default", "apply", "-f", ROLE]);
        refused_and_kept(&mut chat).await;
        with_new_token(&cluster);
        chat.until_condition(Condition::Answering).await;
        cluster
            .replace(&format!("{SLICES}/chat-1"), &slice("chat-1", "chat", &[]))
            .await;
        chat.until_endpoints(&[]).await;
    });
}

#[test]
fn in_a_cluster_nothing_needs_to_be_configured() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
            .await;
        cluster.kubectl(&["-n", "default", "apply", "-f", ROLE]);
        // What Kubernetes mounts into every pod.
        let mounted = |name: &str| std::path::Path::new(ACCOUNT).join(name);
        let token = cluster.kubectl(&["-n", "default", "create", "token", "longhaul"]);
        std::fs::write(mounted("token"), token.trim()).expect("a folder");
        std::fs::write(mounted("namespace"), "default").expect("a folder");
        let authority = cluster.dir.path("certificates/apiserver.crt");
        std::fs::copy(authority, mounted("ca.crt")).expect("a folder");
        let config = Config::default()
            .service_from("chat", "{ kubernetes: { service: chat } }", "")
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        let services = router.get("/api/services").await.json();
        assert_eq!(
            services["services"][0]["endpoints"][0]["identity"], "pod:a",
            "{services}"
        );
        assert_eq!(services["services"][0]["sources"][0]["name"], "kubernetes chat");
    });
}
