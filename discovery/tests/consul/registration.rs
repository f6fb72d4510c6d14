//! This process as a service in Consul.

use std::time::Duration;

use discovery::{
    State,
    provider::consul::{Agent, HttpCheck, Registered, Registration},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    Watch,
    server::{Server, eventually},
};

/// What a router needs besides the policy of the watches.
const POLICY: &str = include_str!("../../../examples/consul-register-policy.hcl");

fn router() -> Registered {
    Registered {
        name: "longhaul".into(),
        id: "longhaul/here-8080".into(),
        address: Some("10.0.0.1".parse().unwrap()),
        port: 8080,
        tags: vec!["ws".into()],
        check: None,
    }
}

/// Answers every request with 200.
async fn ready() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await;
        }
    });
    address
}

/// Waits until the agent knows of it.
async fn known(server: &Server) {
    eventually("registration", async || {
        let said = server.try_get("/v1/agent/services").await?;
        said.body.contains("here-8080").then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_is_registered_drained_and_deregistered() {
    let server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "longhaul");
    let check = HttpCheck {
        url: format!("http://{}/readyz", ready().await).into(),
        interval: Duration::from_millis(200),
        timeout: Duration::from_secs(1),
        forget_after: Duration::from_secs(60),
    };
    let registered = Registered {
        check: Some(check),
        ..router()
    };
    let registration = Registration::new(Agent::new(server.settings()), registered);
    tokio::select! {
        _ = registration.keep() => unreachable!(),
        () = watch.until_state(State::Active, 1) => {}
    }
    assert_eq!(
        watch.until_ports(&[8080]).await[0].address.to_string(),
        "10.0.0.1:8080"
    );
    registration.drain().await.unwrap();
    watch.until_state(State::Draining, 1).await;
    registration.leave().await.unwrap();
    watch.until_nothing().await;
    registration.leave().await.expect("what is gone is gone");
}

#[tokio::test]
async fn an_agent_that_forgot_it_is_told_again() {
    let mut server = Server::alone().await;
    let registration = Registration::new(Agent::new(server.settings()), router());
    let keeping = tokio::spawn(async move { registration.keep().await });
    let mut watch = Watch::on(server.settings(), "longhaul");
    watch.until_ports(&[8080]).await;
    // Somebody else deregisters it.
    server.deregister("longhaul%2Fhere-8080").await;
    known(&server).await;
    // The agent begins anew.
    server.kill().await;
    server.restart(&["-dev"]).await;
    known(&server).await;
    keeping.abort();
}

#[tokio::test]
async fn the_documented_policy_is_enough_and_others_are_left_alone() {
    let acl = json!({ "acl": { "enabled": true, "default_policy": "deny", "tokens": { "initial_management": "root" } } });
    let server = Server::alone_with(acl).await;
    server.register("chat", "a", 9001).await;
    let (token, _) = server.token("self", POLICY).await;
    let mut settings = server.settings();
    settings.token_file = Some(server.folder.write("token", &token));
    let registration = Registration::new(Agent::new(settings), router());
    let services = async || {
        let said = server.try_get("/v1/agent/services").await?;
        let services: Value = serde_json::from_str(&said.body).ok()?;
        Some(services.as_object()?.keys().cloned().collect::<Vec<_>>())
    };
    tokio::select! {
        _ = registration.keep() => unreachable!(),
        () = eventually("registration", async || (services().await?.len() == 2).then_some(())) => {}
    }
    registration.drain().await.unwrap();
    registration.leave().await.unwrap();
    assert_eq!(services().await.unwrap(), ["a"]);
}
