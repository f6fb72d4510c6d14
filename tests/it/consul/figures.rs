//! Figures of Consul, for `longhaul-bench discovery`.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use super::{
    by_consul,
    server::{Server, connections_to},
};
use crate::{
    figures::{Registry, measure, row, single},
    support::*,
};

const LIMIT: Duration = Duration::from_mins(5);
const SERVICES: usize = 200;

/// Instances of `chat` at a node that no agent keeps in order.
struct Instances<'a>(&'a Server);

impl Instances<'_> {
    async fn put(&self, service: &str, endpoint: SocketAddr) {
        let id = format!("{service}-{}", endpoint.port());
        let service =
            json!({ "ID": id, "Service": service, "Address": endpoint.ip(), "Port": endpoint.port() });
        let body = json!({ "Node": "figures", "Address": "127.0.0.1", "Service": service });
        self.0.put("/v1/catalog/register", body).await;
    }
}

impl Registry for Instances<'_> {
    async fn add(&mut self, endpoint: SocketAddr) {
        self.put("chat", endpoint).await;
    }

    async fn remove(&mut self, endpoint: SocketAddr) {
        let id = format!("chat-{}", endpoint.port());
        let body = json!({ "Node": "figures", "ServiceID": id });
        self.0.put("/v1/catalog/deregister", body).await;
    }
}

#[test]
#[ignore = "a figure for `make bench`"]
fn sessions_follow_changes() {
    run_within(LIMIT, async {
        let server = Server::alone().await;
        let mut backends = Vec::new();
        for _ in 0..8 {
            backends.push(Backend::echo().await);
        }
        let endpoints: Vec<_> = backends.iter().map(|backend| backend.address).collect();
        let mut instances = Instances(&server);
        instances.add(endpoints[0]).await;
        let router = Router::start(&by_consul(&server, "")).await;
        measure("Consul", &router, &mut instances, &endpoints).await;
    });
}

#[test]
#[ignore = "a figure for `make bench`"]
fn two_hundred_services() {
    run_within(LIMIT, async {
        let server = Server::alone().await;
        let instances = Instances(&server);
        let mut config = by_consul(&server, "");
        let name = |number: usize| format!("s{number}");
        for number in 0..SERVICES {
            let source = format!("{{ consul: {{ service: s{number} }} }}");
            config = config.service_from(&name(number), &source, "");
            instances.put(&name(number), ([127, 0, 0, 1], 9001).into()).await;
        }
        instances.put("chat", ([127, 0, 0, 1], 9001).into()).await;
        let router = Router::start(&config).await;
        let known = router.metrics().await;
        let known = known.sum("longhaul_endpoints", &[("state", "active")]);
        assert_eq!(known, (SERVICES + 1) as f64);
        let mut most = connections_to(server.http.port());
        let mut took = Vec::new();
        for number in 0..SERVICES {
            let name = name(number);
            instances.put(&name, ([127, 0, 0, 1], 9002).into()).await;
            let answered = Instant::now();
            let labels = [("service", &*name), ("state", "active")];
            router.metric_becomes("longhaul_endpoints", &labels, 2.0).await;
            took.push(answered.elapsed());
            most = most.max(connections_to(server.http.port()));
        }
        let title = "Consul, 200 services: a change of one is in the router's own metrics";
        row(title, "", &mut took);
        single(
            "Consul, 200 services: connections at most",
            "200",
            &most.to_string(),
        );
    });
}
