//! Sessions while pods come and go: the controllers of Kubernetes decide when, and Longhaul loses nobody.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    cluster::Cluster,
    follow::{SLICES, pod, ready, slice},
    network::{alone, figure},
};
use crate::support::*;

const LIMIT: Duration = Duration::from_mins(3);
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/chat";
/// What a rollout takes on a machine that is busy with other tests.
const ROLLED: Duration = Duration::from_mins(1);

/// What runs in every pod: one listener on all addresses that says which it was reached at, and lets nobody in at those
/// of no pod.
pub(super) struct Pods {
    living: Arc<Mutex<BTreeSet<IpAddr>>>,
    _running: JoinSet<()>,
}

impl Pods {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:9001").await.expect("a free port");
        let living = Arc::new(Mutex::new(BTreeSet::new()));
        let mut running = JoinSet::new();
        let there = Arc::clone(&living);
        running.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let at = stream.local_addr().expect("a connection");
                let conn = Conn::server(stream);
                match there.lock().expect("no panic").contains(&at.ip()) {
                    true => drop(sessions.spawn(echo(conn, at))),
                    false => conn.reset(),
                }
            }
        });
        Self {
            living,
            _running: running,
        }
    }

    /// From now on these are the addresses of pods; those of others refuse.
    pub(super) fn live(&self, addresses: BTreeSet<IpAddr>) {
        *self.living.lock().expect("no panic") = addresses;
    }
}

async fn echo(mut conn: Conn, at: SocketAddr) {
    let Some(head) = conn.head().await else { return };
    if conn
        .try_write(&accept_bytes(&head, &format!("X-Backend: {at}\r\n")))
        .await
        .is_err()
    {
        return;
    }
    while let Ok(frame) = conn.next().await {
        let answer = conn.encode(Frame { mask: None, ..frame });
        if conn.try_write(&answer).await.is_err() {
            return;
        }
    }
}

/// A session and the pod's address that it is with.
pub(super) async fn open_with(router: &Router) -> (Conn, IpAddr) {
    let (client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
    assert_eq!(head.status(), 101, "{head:?}");
    let at: SocketAddr = head
        .value("x-backend")
        .and_then(|at| at.parse().ok())
        .expect("an address");
    (client, at.ip())
}

pub(super) async fn router(cluster: &Cluster) -> Router {
    Router::start(&config(cluster, "")).await
}

/// A router over the service `chat`, with these keys of the service.
pub(super) fn config(cluster: &Cluster, keys: &str) -> Config {
    let kubeconfig = cluster.kubeconfig("admin", "admin-token");
    let provider = format!(
        "providers: {{ kubernetes: {{ kubeconfig: {} }} }}",
        kubeconfig.display()
    );
    Config::default()
        .line(&provider)
        .service_from(
            "chat",
            "{ kubernetes: { service: chat, namespace: default, port: ws } }",
            keys,
        )
        .route(r#"path: "/{*rest}""#, "chat", "")
}

/// The endpoints of the only service, as the operator sees them: identity, state and sessions.
async fn endpoints(router: &Router) -> Vec<(String, String, u64)> {
    let services = router.get("/api/services").await.json();
    let endpoints = services["services"][0]["endpoints"]
        .as_array()
        .expect("a list")
        .clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let shown = |e: &Value| {
        (
            text(&e["identity"]),
            text(&e["state"]),
            e["sessions"].as_u64().expect("a number"),
        )
    };
    endpoints.iter().map(shown).collect()
}

async fn active(router: &Router) -> BTreeSet<String> {
    let all = endpoints(router).await.into_iter();
    all.filter(|(_, state, _)| state == "active")
        .map(|(identity, ..)| identity)
        .collect()
}

/// The identities and addresses of the pods that are not being deleted.
async fn pods(cluster: &Cluster) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let pods = cluster.get("/api/v1/namespaces/default/pods").await;
    let there = pods["items"].as_array().expect("a list").iter();
    let there: Vec<_> = there
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .collect();
    let identity = |pod: &&Value| format!("pod:{}", pod["metadata"]["uid"].as_str().expect("a uid"));
    let address = |pod: &&Value| pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok());
    (
        there.iter().map(identity).collect(),
        there.iter().filter_map(address).collect(),
    )
}

/// Three pods behind a Service.
async fn deploy(cluster: &Cluster) {
    let service = json!({
        "metadata": { "name": "chat" },
        "spec": { "selector": { "app": "chat" }, "ports": [{ "name": "ws", "port": 80, "targetPort": 9001 }] },
    });
    cluster
        .create("/api/v1/namespaces/default/services", &service)
        .await;
    let deployment = json!({
        "metadata": { "name": "chat" },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": { "app": "chat" } },
            "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": {
                "metadata": { "labels": { "app": "chat" } },
                "spec": { "nodeName": "node", "containers": [{ "name": "chat", "image": "chat" }] },
            },
        },
    });
    cluster
        .create("/apis/apps/v1/namespaces/default/deployments", &deployment)
        .await;
}

async fn is_rolled_out(cluster: &Cluster) -> bool {
    let deployment = cluster.get(DEPLOYMENT).await;
    let status = &deployment["status"];
    let counts = ["replicas", "updatedReplicas", "readyReplicas"].map(|key| status[key].as_u64());
    status["observedGeneration"] == deployment["metadata"]["generation"] && counts == [Some(3); 3]
}

/// Replaces all pods, opening one new session after the other all the way through.
async fn roll_out(
    version: &str,
    cluster: &Cluster,
    backends: &Pods,
    router: &Router,
    sessions: &mut Vec<Conn>,
) {
    let (before, _) = pods(cluster).await;
    let template =
        json!({ "spec": { "template": { "metadata": { "annotations": { "version": version } } } } });
    cluster.patch(DEPLOYMENT, &template).await;
    within(ROLLED, "a rollout", async {
        loop {
            let (now, addresses) = pods(cluster).await;
            backends.live(addresses);
            let (mut client, _) = open_with(router).await;
            client.echoes("new").await;
            sessions.push(client);
            let over = now.is_disjoint(&before) && is_rolled_out(cluster).await;
            if over && active(router).await == now {
                return;
            }
        }
    })
    .await;
}

#[test]
fn rollouts_drop_no_session_and_fail_no_new_one() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await.with_controllers().await;
        let backends = Pods::start().await;
        deploy(&cluster).await;
        eventually(ROLLED, "three pods", || async {
            is_rolled_out(&cluster).await.then_some(())
        })
        .await;
        backends.live(pods(&cluster).await.1);
        let router = router(&cluster).await;
        let (first, _) = pods(&cluster).await;
        eventually(ROLLED, "three endpoints", || async {
            (active(&router).await == first).then_some(())
        })
        .await;
        let mut sessions = Vec::new();
        for _ in 0..30 {
            sessions.push(open_with(&router).await.0);
        }
        let begun = tokio::time::Instant::now();
        for version in ["2", "3", "4"] {
            roll_out(version, &cluster, &backends, &router, &mut sessions).await;
        }
        figure(&format!(
            "three rollouts of 3 pods in {:?}, {} sessions opened meanwhile, 30 before: none lost",
            begun.elapsed(),
            sessions.len() - 30
        ));
        let addresses = pods(&cluster).await.1;
        for _ in 0..9 {
            let (client, at) = open_with(&router).await;
            assert!(addresses.contains(&at), "{at} is none of {addresses:?}");
            sessions.push(client);
        }
        for session in &mut sessions {
            session.echoes("still here").await;
        }
        // Every session is counted on the pod that it is with, and on none that has taken over its address.
        let counted = endpoints(&router).await;
        let total: u64 = counted.iter().map(|(.., sessions)| sessions).sum();
        assert_eq!(total, sessions.len() as u64, "{counted:?}");
        let gone: u64 = counted
            .iter()
            .filter(|(pod, ..)| first.contains(pod))
            .map(|(.., sessions)| sessions)
            .sum();
        assert!(gone >= 30, "{counted:?}");
    });
}

#[test]
fn a_pod_that_takes_over_an_address_takes_over_no_session() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let backends = Pods::start().await;
        backends.live([IpAddr::from([10, 77, 0, 1])].into());
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("old", "10.77.0.1")]))
            .await;
        let router = router(&cluster).await;
        let mut old = Vec::new();
        for _ in 0..5 {
            old.push(open_with(&router).await.0);
        }
        cluster
            .replace(
                &format!("{SLICES}/chat-1"),
                &slice("chat-1", "chat", &[ready("new", "10.77.0.1")]),
            )
            .await;
        eventually(SOON, "the new pod", || async {
            active(&router).await.contains("pod:new").then_some(())
        })
        .await;
        let (mut new, _) = open_with(&router).await;
        new.echoes("to the new one").await;
        for session in &mut old {
            session.echoes("to the old one").await;
        }
        let mut now = endpoints(&router).await;
        now.sort();
        let expected = [
            ("pod:new".into(), "active".into(), 1),
            ("pod:old".into(), "gone".into(), 5),
        ];
        assert_eq!(now, expected);
    });
}

#[test]
fn a_pod_that_terminates_keeps_its_sessions_and_gets_new_ones_only_as_the_last_resort() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let backends = Pods::start().await;
        let both = ["10.77.0.1", "10.77.0.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        backends.live(both.into());
        let serving = json!({ "ready": false, "serving": true, "terminating": true });
        let (stays, leaves) = (ready("stays", "10.77.0.1"), ready("leaves", "10.77.0.2"));
        let leaving = pod("leaves", "10.77.0.2", &serving);
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[stays.clone(), leaves]))
            .await;
        let router = router(&cluster).await;
        let mut sessions = Vec::new();
        for _ in 0..10 {
            sessions.push(open_with(&router).await);
        }
        let path = format!("{SLICES}/chat-1");
        cluster
            .replace(&path, &slice("chat-1", "chat", &[stays, leaving.clone()]))
            .await;
        let one: BTreeSet<_> = ["pod:stays".to_owned()].into();
        eventually(SOON, "one active pod", || async {
            (active(&router).await == one).then_some(())
        })
        .await;
        for _ in 0..10 {
            let (client, at) = open_with(&router).await;
            assert_eq!(at, both[0]);
            sessions.push((client, at));
        }
        // Now no pod is ready, and the sessions of both are still there.
        let stuck = pod("stays", "10.77.0.1", &json!({ "ready": false, "serving": false }));
        cluster
            .replace(&path, &slice("chat-1", "chat", &[stuck, leaving]))
            .await;
        let other: BTreeSet<_> = ["pod:leaves".to_owned()].into();
        eventually(SOON, "the last resort", || async {
            (active(&router).await == other).then_some(())
        })
        .await;
        let (mut late, at) = open_with(&router).await;
        assert_eq!(at, both[1]);
        late.echoes("better than a 503").await;
        for (session, _) in &mut sessions {
            session.echoes("still here").await;
        }
    });
}

#[test]
fn an_api_server_that_is_away_costs_no_session_and_no_new_one() {
    alone(LIMIT, async {
        let mut cluster = Cluster::start().await;
        let backends = Pods::start().await;
        backends.live([IpAddr::from([10, 77, 0, 1])].into());
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("a", "10.77.0.1")]))
            .await;
        let router = router(&cluster).await;
        let (mut session, _) = open_with(&router).await;
        cluster.kill_api().await;
        eventually(SOON, "a source that fails", || async {
            let services = router.get("/api/services").await.json();
            let source = &services["services"][0]["sources"][0];
            (source["condition"] == "failing").then(|| {
                assert_eq!(
                    source["name"]
                        .as_str()
                        .map(|n| n.starts_with("kubernetes default/chat:ws")),
                    Some(true)
                )
            })
        })
        .await;
        session.echoes("still here").await;
        open_with(&router).await.0.echoes("and new").await;
        assert_eq!(router.get("/readyz").await.status(), 200);
        cluster.restart_api().await;
        cluster
            .replace(
                &format!("{SLICES}/chat-1"),
                &slice("chat-1", "chat", &[ready("b", "10.77.0.1")]),
            )
            .await;
        eventually(SOON, "the new pod", || async {
            active(&router).await.contains("pod:b").then_some(())
        })
        .await;
        session.echoes("still here").await;
    });
}

/// How long after the answer to this change new sessions are with the pod at `address`.
async fn reaches(cluster: &Cluster, router: &Router, uid: &str, address: &str) -> Duration {
    cluster
        .replace(
            &format!("{SLICES}/chat-1"),
            &slice("chat-1", "chat", &[ready(uid, address)]),
        )
        .await;
    let answered = tokio::time::Instant::now();
    let wanted: IpAddr = address.parse().expect("an address");
    within(SOON, "a session with the new pod", async {
        while open_with(router).await.1 != wanted {}
    })
    .await;
    answered.elapsed()
}

#[test]
fn a_change_reaches_new_sessions_at_once_and_soon_after_a_storm() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let backends = Pods::start().await;
        let address = |number: u32| format!("10.77.1.{}", number % 200 + 1);
        backends.live(
            (0..200)
                .map(|number| address(number).parse().expect("an address"))
                .collect(),
        );
        cluster
            .create(SLICES, &slice("chat-1", "chat", &[ready("first", "10.77.0.1")]))
            .await;
        let router = router(&cluster).await;
        let mut delays = Vec::new();
        for number in 0..CHANGES {
            delays.push(reaches(&cluster, &router, &format!("pod-{number}"), &address(number)).await);
        }
        delays.sort_unstable();
        let (median, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
        let begun = tokio::time::Instant::now();
        for number in 0..CHANGES {
            let changed = slice(
                "chat-1",
                "chat",
                &[ready(&format!("storm-{number}"), &address(number))],
            );
            cluster.replace(&format!("{SLICES}/chat-1"), &changed).await;
        }
        let rate = f64::from(CHANGES) / begun.elapsed().as_secs_f64();
        let after = reaches(&cluster, &router, "last", &address(150)).await;
        figure(&format!(
            "{CHANGES} changes: new sessions follow after {median:?} at the median, {most:?} at most; \
             after a storm of {rate:.0} changes per second: {after:?}"
        ));
        assert!(median < Duration::from_millis(100), "{median:?}");
        assert!(after < Duration::from_secs(1), "{after:?}");
    });
}

const CHANGES: u32 = 100;
