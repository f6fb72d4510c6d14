//! Many services, few connections.

use discovery::provider::consul::{Agent, Wanted};
use serde_json::json;

use crate::{
    Watch,
    server::{Server, connections_to},
};

async fn watch_all(server: &Server, count: u16) -> Vec<Watch> {
    for number in 0..count {
        server
            .register(&format!("s{number}"), &format!("s{number}"), 9000 + number)
            .await;
    }
    let agent = Agent::new(server.settings());
    let watch = |number| Watch::of(agent.clone(), Wanted::service(&format!("s{number}")));
    let mut watches: Vec<Watch> = (0..count).map(watch).collect();
    for (number, watch) in (0..count).zip(&mut watches) {
        watch.until_ports(&[9000 + number]).await;
    }
    watches
}

#[tokio::test]
async fn two_hundred_services_stay_below_an_agents_default_limit_and_each_is_followed() {
    let server = Server::alone().await;
    let mut watches = watch_all(&server, 200).await;
    let mut most = connections_to(server.http.port());
    for (number, watch) in (0u16..200).zip(&mut watches) {
        server
            .register(&format!("s{number}"), &format!("s{number}"), 19_000 + number)
            .await;
        watch.until_ports(&[19_000 + number]).await;
        most = most.max(connections_to(server.http.port()));
    }
    assert!(most <= 100, "{most} connections");
    for number in 0..200 {
        server.deregister(&format!("s{number}")).await;
    }
    for watch in &mut watches {
        watch.until_nothing().await;
    }
}

#[tokio::test]
async fn an_agent_that_takes_fewer_connections_is_asked_over_fewer() {
    let server = Server::alone_with(json!({ "limits": { "http_max_conns_per_client": 20 } })).await;
    let mut watches = watch_all(&server, 60).await;
    for (number, watch) in (0u16..60).zip(&mut watches) {
        server
            .register(&format!("s{number}"), &format!("s{number}"), 19_000 + number)
            .await;
        watch.until_ports(&[19_000 + number]).await;
    }
}
