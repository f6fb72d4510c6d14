//! Figures of Kubernetes, for `longhaul-bench discovery`.

use std::{net::SocketAddr, time::Duration};

use super::{
    cluster::Cluster,
    follow::{SLICES, ready, slice},
    network::alone,
    rollout::{Pods, router},
    scale::many,
};
use crate::figures::{Registry, measure, row, single};

const LIMIT: Duration = Duration::from_mins(5);

/// The pods of one slice of `chat`, each new one with a uid of its own.
struct Slice<'a> {
    cluster: &'a Cluster,
    pods: Vec<(String, SocketAddr)>,
    count: u32,
}

impl Slice<'_> {
    async fn write(&self) {
        let pods = self.pods.iter().map(|(uid, at)| ready(uid, &at.ip().to_string()));
        let pods: Vec<_> = pods.collect();
        let slice = slice("chat-1", "chat", &pods);
        self.cluster.replace(&format!("{SLICES}/chat-1"), &slice).await;
    }
}

impl Registry for Slice<'_> {
    async fn add(&mut self, endpoint: SocketAddr) {
        self.count += 1;
        self.pods.push((format!("pod-{}", self.count), endpoint));
        self.write().await;
    }

    async fn remove(&mut self, endpoint: SocketAddr) {
        self.pods.retain(|(_, at)| *at != endpoint);
        self.write().await;
    }
}

#[test]
#[ignore = "a figure for `make bench`"]
fn sessions_follow_changes() {
    alone(LIMIT, async {
        let cluster = Cluster::start().await;
        let backends = Pods::start().await;
        let address = |number: u8| SocketAddr::from(([10, 77, 1, number], 9001));
        let endpoints: Vec<_> = (1..=8).map(address).collect();
        backends.live(endpoints.iter().map(SocketAddr::ip).collect());
        cluster.create(SLICES, &slice("chat-1", "chat", &[])).await;
        let mut registry = Slice {
            cluster: &cluster,
            pods: Vec::new(),
            count: 0,
        };
        registry.add(endpoints[0]).await;
        let router = router(&cluster).await;
        measure("Kubernetes", &router, &mut registry, &endpoints).await;
    });
}

#[test]
#[ignore = "a figure for `make bench`"]
fn ten_thousand_endpoints() {
    alone(LIMIT, async {
        let mut many = many(5, 100).await;
        let title = |what| format!("Kubernetes, 10,000 endpoints in 100 slices: {what}");
        row(&title("first snapshot"), "2 s", &mut many.known);
        row(
            &title("processor time for a change of one"),
            "20 ms",
            &mut many.costs,
        );
        let each = format!("{} bytes", many.each);
        single(&title("memory for each"), "1,024 bytes", &each);
    });
}
