//! Several servers: leaders die, quorums are lost, agents come between.

use std::time::Duration;

use discovery::{
    Condition, State,
    provider::consul::{Settings, Wanted},
};
use serde_json::json;

use crate::{
    Watch,
    server::{Server, eventually},
};

/// Three servers that elect a leader.
async fn three() -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for name in ["s1", "s2", "s3"] {
        let join: Vec<String> = servers.iter().map(Server::serf).collect();
        let more =
            json!({ "server": true, "bootstrap_expect": 3, "retry_join": join, "retry_interval": "200ms" });
        servers.push(Server::start(name, &more, &[]).await);
    }
    for server in &servers {
        server.lead().await;
    }
    servers
}

/// Which of the servers leads.
async fn leader(servers: &[Server]) -> usize {
    eventually("known leader", async || {
        let said = servers[0].try_get("/v1/status/leader").await?;
        servers
            .iter()
            .position(|server| said.body.contains(&server.rpc()))
    })
    .await
}

/// Registers in the catalog, as soon as somebody leads.
async fn register(server: &Server, id: &str, port: u16) {
    let body = json!({ "Node": "n", "Address": "192.0.2.1", "Service": { "ID": id, "Service": "chat", "Port": port } });
    eventually("registration", async || {
        let said = server
            .request("PUT", "/v1/catalog/register", &body.to_string())
            .await?;
        (said.status == 200).then_some(())
    })
    .await;
}

fn settings(servers: &[Server]) -> Settings {
    Settings {
        addresses: servers.iter().map(Server::address).collect(),
        ..servers[0].settings()
    }
}

#[tokio::test]
async fn a_leader_that_dies_is_replaced_and_its_agent_left() {
    let mut servers = three().await;
    let leading = leader(&servers).await;
    servers.swap(0, leading);
    register(&servers[1], "a", 9001).await;
    // One asks the leader first, the other a follower.
    let mut of_leader = Watch::on(settings(&servers), "chat");
    let mut of_follower = Watch::on(servers[1].settings(), "chat");
    of_leader.until_ports(&[9001]).await;
    of_follower.until_ports(&[9001]).await;
    servers[0].kill().await;
    register(&servers[1], "b", 9002).await;
    of_leader.until_ports(&[9001, 9002]).await;
    of_follower.until_ports(&[9001, 9002]).await;
}

#[tokio::test]
async fn without_a_quorum_the_last_set_stays_and_a_new_watch_takes_an_old_answer() {
    let mut servers = three().await;
    register(&servers[0], "a", 9001).await;
    let settings = Settings {
        stale_limit: Duration::from_millis(500),
        wait: Duration::from_secs(2),
        ..servers[0].settings()
    };
    let mut watch = Watch::on(settings.clone(), "chat");
    watch.until_ports(&[9001]).await;
    servers[1].kill().await;
    servers[2].kill().await;
    let error = watch.until_condition(Condition::Failing).await;
    // Without a leader a server says so at once, or after a while, or not in time.
    assert!(
        error.contains("500") || error.contains("did not answer"),
        "{error}"
    );
    assert_eq!(watch.reader.answer().as_ref().map(crate::ports), Some(vec![9001]));

    let mut late = Watch::on(settings, "chat");
    late.until_ports(&[9001]).await;
    late.until_condition(Condition::Failing).await;

    servers[1].restart(&[]).await;
    register(&servers[0], "b", 9002).await;
    watch.until_ports(&[9001, 9002]).await;
    late.until_ports(&[9001, 9002]).await;
}

#[tokio::test]
async fn a_client_agent_that_streams_is_followed_like_a_server() {
    let server = Server::alone().await;
    let join = json!({ "retry_join": [server.serf()], "retry_interval": "200ms" });
    let mut agent = Server::start("client", &join, &[]).await;
    agent.lead().await;
    agent.register("chat", "a", 9001).await;
    let mut watch = Watch::on(agent.settings(), "chat");
    watch.until_ports(&[9001]).await;
    let backend = agent
        .request_with_head("/v1/health/service/chat?index=1&stale")
        .await;
    assert!(backend.contains("X-Consul-Query-Backend: streaming"), "{backend}");

    server.register("chat", "b", 9002).await;
    watch.until_ports(&[9001, 9002]).await;
    let body = json!({ "Name": "chat", "ID": "b", "Address": "10.0.0.1", "Port": 9002, "Weights": { "Passing": 7, "Warning": 1 } });
    server.put("/v1/agent/service/register", body).await;
    watch
        .until("another weight", |answer| {
            let endpoints = answer.clone().into_endpoints();
            endpoints
                .iter()
                .any(|endpoint| endpoint.weight.get() == 7 && endpoint.state == State::Active)
        })
        .await;
    server.deregister("b").await;
    watch.until_ports(&[9001]).await;

    // What it has on disk it knows again, and what was known in between is not lost.
    agent.kill().await;
    watch.until_condition(Condition::Failing).await;
    agent.restart(&[]).await;
    watch.until_condition(Condition::Answering).await;
    server.register("chat", "c", 9003).await;
    watch
        .until("the new one", |answer| crate::ports(answer).contains(&9003))
        .await;
    watch.until_ports(&[9001, 9003]).await;
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_passed_over() {
    let server = Server::alone().await;
    server.register("chat", "a", 9001).await;
    let mut settings = server.settings();
    settings.addresses.insert(
        0,
        format!("127.0.0.1:{}", crate::server::free_port())
            .parse()
            .unwrap(),
    );
    let agent = discovery::provider::consul::Agent::new(settings);
    let mut watch = Watch::of(agent, Wanted::service("chat"));
    watch.until_ports(&[9001]).await;
    assert_eq!(
        watch.reader.status().error,
        None,
        "one agent that answers is enough"
    );
}
