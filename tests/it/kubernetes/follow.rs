//! A provider at work on a cluster, and the slices that it is shown.

use discovery::{
    Answer, Condition, Provider, Publisher, Reader,
    provider::kubernetes::{Cluster, PortChoice, Target},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::within;

/// A provider at work.
pub(super) struct Followed {
    pub(super) reader: Reader,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows a service of the namespace `default` on its port `ws`.
pub(super) fn follow(cluster: &Cluster, service: &str) -> Followed {
    let target = Target::try_new(service)
        .expect("a name")
        .in_namespace("default")
        .expect("a name");
    let mut provider = cluster.provider(target.on(PortChoice::Named("ws".into())));
    let (publisher, reader) = Publisher::channel();
    let task = tokio::spawn(async move {
        let end = provider.run(&publisher).await;
        panic!("it ended: {end:?}");
    });
    Followed { reader, task }
}

impl Followed {
    /// Waits until `wanted` holds of the source.
    pub(super) async fn until(&mut self, what: &str, mut wanted: impl FnMut(&mut Reader) -> bool) {
        let waiting = async {
            while !wanted(&mut self.reader) {
                assert!(self.reader.changed().await, "it publishes no more");
            }
        };
        within(WAIT, what, waiting).await;
    }

    /// Waits until exactly these are its endpoints, as `identity address state`.
    pub(super) async fn until_endpoints(&mut self, wanted: &[&str]) {
        self.until(&format!("{wanted:?}"), |reader| shown(reader) == wanted)
            .await;
    }

    pub(super) async fn until_nothing(&mut self) {
        self.until("nothing", |reader| reader.answer() == Some(Answer::Nothing))
            .await;
    }

    pub(super) async fn until_condition(&mut self, condition: Condition) {
        self.until(&format!("{condition:?}"), |reader| {
            // Seen, so that the next change is waited for.
            reader.answer();
            reader.status().condition == condition
        })
        .await;
    }
}

/// The endpoints of the last answer.
pub(super) fn shown(reader: &mut Reader) -> Vec<String> {
    let Some(Answer::Endpoints(endpoints)) = reader.answer() else {
        return vec!["none".to_owned()];
    };
    let show = |e: &discovery::Endpoint| format!("{} {} {:?}", e.identity, e.address, e.state);
    endpoints.iter().map(show).collect()
}

/// A slice of a service, with a port `ws`.
pub(super) fn slice(name: &str, service: &str, endpoints: &[Value]) -> Value {
    slice_of(name, service, "IPv4", endpoints)
}

pub(super) fn slice_of(name: &str, service: &str, family: &str, endpoints: &[Value]) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/service-name": service } },
        "addressType": family, "ports": [{ "name": "ws", "port": 9001 }], "endpoints": endpoints,
    })
}

/// A pod with these conditions.
pub(super) fn pod(uid: &str, address: &str, conditions: &Value) -> Value {
    json!({ "addresses": [address], "conditions": conditions, "targetRef": { "kind": "Pod", "name": uid, "uid": uid } })
}

/// A pod that is ready.
pub(super) fn ready(uid: &str, address: &str) -> Value {
    pod(uid, address, &json!({ "ready": true }))
}

/// Where slices are.
pub(super) const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// A server that starts again, and a wait of 3 s before it is asked again.
const WAIT: std::time::Duration = std::time::Duration::from_secs(40);
