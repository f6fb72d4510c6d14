//! What a source sees of slices, and what it keeps when the API server is frozen, killed, restarted or compacted.

use std::time::Duration;

use discovery::{Condition, provider::kubernetes};
use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    follow::{SLICES, follow, pod, ready, shown, slice, slice_of},
    network::alone,
};

const LIMIT: Duration = Duration::from_mins(3);

fn path(slice: &str) -> String {
    format!("{SLICES}/{slice}")
}

#[test]
fn endpoints_follow_the_slices_of_a_service() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let source = kubernetes::Cluster::new(cluster.admin());
        let mut chat = follow(&source, "chat");
        chat.until_nothing().await;
        // A service that was created and has no pods yet has an empty slice.
        cluster.create(SLICES, &slice("chat-1", "chat", &[])).await;
        chat.until_endpoints(&[]).await;
        let first = slice(
            "chat-1",
            "chat",
            &[ready("a", "10.77.0.1"), ready("b", "10.77.0.2")],
        );
        cluster.replace(&path("chat-1"), &first).await;
        chat.until_endpoints(&["pod:a 10.77.0.1:9001 Active", "pod:b 10.77.0.2:9001 Active"])
            .await;
        // In two slices at once, as when it is moved between them.
        cluster
            .create(
                SLICES,
                &slice(
                    "chat-2",
                    "chat",
                    &[ready("b", "10.77.0.2"), ready("c", "10.77.0.3")],
                ),
            )
            .await;
        let all = [
            "pod:a 10.77.0.1:9001 Active",
            "pod:b 10.77.0.2:9001 Active",
            "pod:c 10.77.0.3:9001 Active",
        ];
        chat.until_endpoints(&all).await;
        cluster
            .replace(
                &path("chat-1"),
                &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]),
            )
            .await;
        cluster.delete(&path("chat-1")).await;
        chat.until_endpoints(&all[1..]).await;
        cluster.delete(&path("chat-2")).await;
        chat.until_nothing().await;
    });
}

#[test]
fn conditions_ports_families_and_references_mean_what_kubernetes_says() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let conditions = |ready: Value, serving: Value, terminating: Value| json!({ "ready": ready, "serving": serving, "terminating": terminating });
        let endpoints = [
            pod("0-nulls", "10.77.0.1", &json!({})),
            pod(
                "1-leaving",
                "10.77.0.2",
                &conditions(json!(false), json!(true), json!(true)),
            ),
            pod(
                "2-broken",
                "10.77.0.3",
                &conditions(json!(false), json!(false), json!(false)),
            ),
            pod(
                "3-dying",
                "10.77.0.4",
                &conditions(json!(false), json!(false), json!(true)),
            ),
            json!({ "addresses": ["10.77.0.5"] }),
        ];
        let mut v4 = slice("chat-4", "chat", &endpoints);
        v4["ports"] =
            json!([{ "name": "http", "port": 80 }, { "name": "ws", "port": 9001 }, { "name": "open" }]);
        cluster.create(SLICES, &v4).await;
        let v6 = [ready("0-nulls", "fd77::1"), ready("4-only-6", "fd77::2")];
        cluster
            .create(SLICES, &slice_of("chat-6", "chat", "IPv6", &v6))
            .await;
        let name = json!([{ "addresses": ["chat.internal"] }]);
        cluster
            .create(
                SLICES,
                &slice_of("chat-name", "chat", "FQDN", name.as_array().expect("a list")),
            )
            .await;
        let mut chat = follow(&kubernetes::Cluster::new(cluster.admin()), "chat");
        chat.until_endpoints(&[
            "addr:10.77.0.5:9001 10.77.0.5:9001 Active",
            "pod:0-nulls 10.77.0.1:9001 Active",
            "pod:1-leaving 10.77.0.2:9001 Draining",
            "pod:2-broken 10.77.0.3:9001 Unhealthy",
            "pod:3-dying 10.77.0.4:9001 Unhealthy",
            "pod:4-only-6 [fd77::2]:9001 Active",
        ])
        .await;
    });
}

#[test]
fn a_frozen_api_server_is_noticed_takes_nothing_back_and_is_heard_again() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
            .await;
        // Watches of 2 s instead of 50. It is noticed 5 s after the end of one, or, if a request was about to be answered,
        // 10 s after that.
        let source = kubernetes::Cluster::watching_for(cluster.admin(), Duration::from_secs(2));
        let mut chat = follow(&source, "chat");
        chat.until_endpoints(&["pod:a 10.77.0.1:9001 Active"]).await;
        cluster.api().freeze();
        let frozen = tokio::time::Instant::now();
        chat.until_condition(Condition::Failing).await;
        assert!(
            frozen.elapsed() < Duration::from_secs(2 + 10 + 1),
            "{:?}",
            frozen.elapsed()
        );
        assert_eq!(shown(&mut chat.reader), ["pod:a 10.77.0.1:9001 Active"]);
        cluster.api().thaw();
        cluster
            .replace(
                &path("chat-1"),
                &slice("chat-1", "chat", &[ready("b", "10.77.0.1")]),
            )
            .await;
        chat.until_endpoints(&["pod:b 10.77.0.1:9001 Active"]).await;
        chat.until_condition(Condition::Answering).await;
    });
}

#[test]
fn a_killed_api_server_takes_nothing_back_and_the_next_one_is_found() {
    alone(LIMIT, async {
        let mut cluster = Cluster::start().await;
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
            .await;
        let mut chat = follow(&kubernetes::Cluster::new(cluster.admin()), "chat");
        chat.until_endpoints(&["pod:a 10.77.0.1:9001 Active"]).await;
        cluster.kill_api().await;
        chat.until_condition(Condition::Failing).await;
        assert_eq!(shown(&mut chat.reader), ["pod:a 10.77.0.1:9001 Active"]);
        cluster.restart_api().await;
        chat.until_condition(Condition::Answering).await;
        assert_eq!(shown(&mut chat.reader), ["pod:a 10.77.0.1:9001 Active"]);
        cluster
            .replace(
                &path("chat-1"),
                &slice("chat-1", "chat", &[ready("b", "10.77.0.1")]),
            )
            .await;
        chat.until_endpoints(&["pod:b 10.77.0.1:9001 Active"]).await;
    });
}

#[test]
fn changes_that_were_compacted_away_are_found_by_a_list_without_a_gap() {
    alone(LIMIT, async {
        let mut cluster = Cluster::start().await;
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
            .await;
        let mut chat = follow(&kubernetes::Cluster::new(cluster.admin()), "chat");
        chat.until_endpoints(&["pod:a 10.77.0.1:9001 Active"]).await;
        let version = cluster.get(SLICES).await["metadata"]["resourceVersion"].clone();
        cluster.kill_api().await;
        chat.until_condition(Condition::Failing).await;
        // While our API server is away another one deletes what is known, so that only a list can tell of it.
        cluster
            .aside(async |api| {
                api.delete(&path("chat-1")).await;
                api.create(SLICES, &slice("chat-2", "chat", &[ready("b", "10.77.0.2")]))
                    .await;
            })
            .await;
        cluster.compact().await;
        cluster.restart_api().await;
        let since = format!(
            "{SLICES}?watch=1&resourceVersion={}",
            version.as_str().expect("a version")
        );
        let code = &cluster.get(&since).await["object"]["code"];
        assert_eq!(code, 410, "a watch can go on from there");
        chat.until("the new set", |reader| {
            let endpoints = shown(reader);
            // From one to the other: each answer between would be seen here.
            assert_eq!(endpoints.len(), 1, "{endpoints:?}");
            endpoints == ["pod:b 10.77.0.2:9001 Active"]
        })
        .await;
        // Nothing was left out of it: it is followed on.
        cluster
            .replace(
                &path("chat-2"),
                &slice("chat-2", "chat", &[ready("c", "10.77.0.2")]),
            )
            .await;
        chat.until_endpoints(&["pod:c 10.77.0.2:9001 Active"]).await;
    });
}

#[test]
fn services_of_other_namespaces_are_not_mixed_up() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        cluster
            .create("/api/v1/namespaces", &json!({ "metadata": { "name": "games" } }))
            .await;
        let other = "/apis/discovery.k8s.io/v1/namespaces/games/endpointslices";
        cluster
            .create(other, &slice("chat-1", "chat", &[ready("g", "10.77.0.9")]))
            .await;
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
            .await;
        let mut chat = follow(&kubernetes::Cluster::new(cluster.admin()), "chat");
        chat.until_endpoints(&["pod:a 10.77.0.1:9001 Active"]).await;
    });
}
