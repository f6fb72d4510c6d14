//! Hints on who should use which pod, as Kubernetes writes them for a Service with a `trafficDistribution`.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    follow::{SLICES, ready, slice},
    network::alone,
    rollout::{Pods, config, open_with},
};
use crate::support::*;

const LIMIT: Duration = Duration::from_mins(3);
const DEPLOYMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/base/deployment.yaml");
/// The pods' identities, in the order of `PODS`.
const NAMES: [&str; 2] = ["pod:1", "pod:2"];
const PODS: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 1)),
    IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 2)),
];

/// The variables that the shipped Deployment gives the router, in a pod with this label on this node.
fn environment(cluster: &Cluster, zone: &str, node: &str) -> Vec<(String, String)> {
    let shown = cluster.kubectl(&["create", "--dry-run=client", "-o", "json", "-f", DEPLOYMENT]);
    let deployment: Value = serde_json::from_str(&shown).expect("JSON");
    let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let value = |variable: &Value| {
        let name = variable["name"].as_str().expect("a name").to_owned();
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.labels['topology.kubernetes.io/zone']") => zone,
            Some("spec.nodeName") => node,
            other => panic!("{name} is from {other:?}"),
        };
        (name, value.to_owned())
    };
    variables.as_array().expect("a list").iter().map(value).collect()
}

/// Two pods, each with what is hinted of it.
fn hinted(hints: [Value; 2]) -> Value {
    let pods = [ready("1", "10.77.0.1"), ready("2", "10.77.0.2")];
    let pods: Vec<_> = pods
        .into_iter()
        .zip(["a", "b"])
        .zip(hints)
        .map(|((mut pod, zone), hints)| {
            pod["zone"] = json!(zone);
            pod["hints"] = hints;
            pod
        })
        .collect();
    slice("chat-1", "chat", &pods)
}

fn for_zone(zone: &str) -> Value {
    json!({ "forZones": [{ "name": zone }] })
}

fn for_node(zone: &str, node: &str) -> Value {
    json!({ "forZones": [{ "name": zone }], "forNodes": [{ "name": node }] })
}

/// Writes hints, and waits until exactly these pods are far. All of them are active.
async fn hint(cluster: &Cluster, router: &Router, hints: [Value; 2], far: &[&str]) {
    cluster.replace(&format!("{SLICES}/chat-1"), &hinted(hints)).await;
    eventually(SOON, &format!("{far:?} far"), || async {
        let endpoints = endpoints(router).await;
        let active = endpoints.iter().all(|e| e["state"] == "active");
        assert!(active, "{endpoints:?}");
        let shown = endpoints.iter().filter(|e| e["far"] == true);
        let shown: Vec<_> = shown.filter_map(|e| e["identity"].as_str()).collect();
        (shown == far).then_some(())
    })
    .await;
}

/// The endpoints of the only service, as the operator sees them.
async fn endpoints(router: &Router) -> Vec<Value> {
    let services = router.get("/api/services").await.json();
    let endpoints = services["services"][0]["endpoints"].as_array();
    endpoints.expect("a list").clone()
}

async fn is_far(router: &Router, at: IpAddr) -> bool {
    let address = format!("{at}:9001");
    let all = endpoints(router).await;
    all.iter().any(|e| e["address"] == address && e["far"] == true)
}

/// Opens as many sessions; the pods that they are with.
async fn open(router: &Router, count: usize, sessions: &mut Vec<Conn>) -> BTreeSet<IpAddr> {
    let mut at = BTreeSet::new();
    for _ in 0..count {
        let (session, pod) = open_with(router).await;
        sessions.push(session);
        at.insert(pod);
    }
    at
}

#[test]
fn new_sessions_go_where_the_hints_say_and_live_ones_stay_where_they_are() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let backends = Pods::start().await;
        backends.live(PODS.into());
        cluster.create(SLICES, &hinted([json!(null), json!(null)])).await;
        let keys = "drain: { mode: close, window: 1s }, balance: least-connection";
        let variables = environment(&cluster, "a", "node-1");
        assert_eq!(variables.len(), 2);
        let router = Router::start_with_environment(&config(&cluster, keys), &variables).await;
        let mut sessions = Vec::new();
        assert_eq!(open(&router, 10, &mut sessions).await, PODS.into());

        hint(&cluster, &router, [for_zone("a"), for_zone("b")], &NAMES[1..]).await;
        assert_eq!(open(&router, 5, &mut sessions).await, [PODS[0]].into());
        // One without a hint: none counts, and the one with fewer sessions is used at once.
        hint(&cluster, &router, [for_zone("a"), json!(null)], &[]).await;
        assert_eq!(open(&router, 1, &mut sessions).await, [PODS[1]].into());
        // Nobody is for us.
        hint(&cluster, &router, [for_zone("b"), for_zone("b")], &[]).await;
        assert_eq!(open(&router, 1, &mut sessions).await, [PODS[1]].into());
        // Those for nodes come first.
        let crossed = [for_node("a", "node-2"), for_node("b", "node-1")];
        hint(&cluster, &router, crossed, &NAMES[..1]).await;
        assert_eq!(open(&router, 10, &mut sessions).await, [PODS[1]].into());
        // The near one does not let anybody in.
        backends.live([PODS[0]].into());
        assert_eq!(open(&router, 1, &mut sessions).await, [PODS[0]].into());

        for session in &mut sessions {
            session.echoes("still here").await;
        }
        assert_eq!(router.log.all("session ended").len(), 0);
    });
}

#[test]
fn without_a_zone_hints_are_not_looked_at() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let backends = Pods::start().await;
        backends.live(PODS.into());
        cluster
            .create(SLICES, &hinted([for_zone("a"), for_zone("b")]))
            .await;
        // A cluster that puts no such label on its pods.
        let variables = environment(&cluster, "", "node-1");
        let router = Router::start_with_environment(&config(&cluster, ""), &variables).await;
        let mut sessions = Vec::new();
        assert_eq!(open(&router, 10, &mut sessions).await, PODS.into());
        // The config knows better.
        let located = config(&cluster, "").text().replace(
            "{ kubernetes: { kubeconfig",
            "{ kubernetes: { zone: b, kubeconfig",
        );
        router.reload_text(&located).await;
        hint(&cluster, &router, [for_zone("a"), for_zone("b")], &NAMES[..1]).await;
        assert_eq!(open(&router, 10, &mut sessions).await, [PODS[1]].into());
    });
}

/// A pod of the service on this node, once it is ready: its zone as its label has it, and its address.
async fn pod_on(cluster: &Cluster, node: &str) -> (String, IpAddr) {
    let pod = json!({
        "metadata": { "name": node, "labels": { "app": "chat" } },
        "spec": { "nodeName": node, "containers": [{ "name": "chat", "image": "chat" }] },
    });
    cluster.create("/api/v1/namespaces/default/pods", &pod).await;
    let path = format!("/api/v1/namespaces/default/pods/{node}");
    eventually(SOON + SOON, "a pod with an address", || async {
        let pod = cluster.get(&path).await;
        let zone = pod["metadata"]["labels"]["topology.kubernetes.io/zone"]
            .as_str()?
            .to_owned();
        Some((zone, pod["status"]["podIP"].as_str()?.parse().ok()?))
    })
    .await
}

#[test]
fn a_service_that_prefers_its_zone_has_its_sessions_there() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await.with_controllers().await;
        for (node, zone) in [("node-1", "a"), ("node-2", "b")] {
            let labels = json!({ "topology.kubernetes.io/zone": zone });
            let node = json!({ "metadata": { "name": node, "labels": labels } });
            cluster.create("/api/v1/nodes", &node).await;
        }
        let service = json!({
            "metadata": { "name": "chat" },
            "spec": {
                "selector": { "app": "chat" }, "ports": [{ "name": "ws", "port": 80, "targetPort": 9001 }],
                "trafficDistribution": "PreferClose",
            },
        });
        cluster
            .create("/api/v1/namespaces/default/services", &service)
            .await;
        let (own, near) = pod_on(&cluster, "node-1").await;
        let (other, far) = pod_on(&cluster, "node-2").await;
        assert_eq!(
            (&*own, &*other),
            ("a", "b"),
            "what a router's own pod would be told"
        );
        let backends = Pods::start().await;
        backends.live([near, far].into());

        let variables = environment(&cluster, &own, "node-3");
        let router = Router::start_with_environment(&config(&cluster, ""), &variables).await;
        eventually(SOON, "one far pod", || async {
            is_far(&router, far).await.then_some(())
        })
        .await;
        let mut sessions = Vec::new();
        assert_eq!(open(&router, 10, &mut sessions).await, [near].into());
        // Without a pod in our zone the controller's hints leave us nobody.
        cluster.delete("/api/v1/namespaces/default/pods/node-1").await;
        eventually(SOON, "no far pod", || async {
            (!is_far(&router, far).await).then_some(())
        })
        .await;
        assert_eq!(open(&router, 3, &mut sessions).await, [far].into());
        for session in &mut sessions {
            session.echoes("still here").await;
        }
    });
}
