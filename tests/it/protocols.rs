//! Clients of protocols over WebSocket, each by its own rules: an eviction moves them to another server, and is no error.
//!
//! graphql-ws with its own server, mqtt.js with the broker aedes, and Phoenix's client with a script that answers as a
//! Phoenix server does.

use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::*;

const TOKEN: &str = "swordfish";

/// A router over two servers, which closes the sessions of a drained one at once.
async fn router_over(servers: &[Process]) -> Router {
    let dir = Dir::new();
    dir.replace("admin.token", TOKEN);
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let config = Config::default()
        .service(
            "chat",
            &addresses,
            "drain: { mode: close, window: 0s, deadline: 10s }",
        )
        .route(r#"path: "/{*rest}""#, "chat", "")
        .admin("token_file: admin.token");
    let path = dir.replace("longhaul.yaml", &config.text());
    Router::start_at(dir, &path).await
}

/// Opens a session, drains the endpoint that it is on, and says what the client has to say before and after.
async fn evicted(script: &str, path: &str, more: &[(&str, &str)]) -> (Router, Value, Value) {
    let tools = Tools::ready();
    let servers = join_all([(); 2].map(|()| tools.server_of(script, &["serve"]))).await;
    let router = router_over(&servers).await;
    let mut player = tools.player(script);
    let mut command = json!({"do": "open", "url": format!("ws://{}{path}", router.address())});
    for (key, value) in more {
        command[key] = json!(value);
    }
    let before = player.ask(&command).await;
    let drained = format!(
        "/api/services/chat/endpoints/127.0.0.1:{}/drain",
        before["server"]
    );
    assert_eq!(router.post(&drained, TOKEN).await.status(), 200);
    let after = player
        .ask(&json!({"do": "moved", "from": before["server"]}))
        .await;
    assert_ne!(before["server"], after["server"], "{script}: {after}");
    assert!(
        servers
            .iter()
            .any(|server| after["server"] == server.address.port())
    );
    (router, before, after)
}

#[test]
fn a_graphql_subscription_goes_on_at_another_endpoint_after_an_eviction() {
    run(async {
        let (_router, _, after) = evicted("graphql.cjs", "/graphql", &[]).await;
        // A fatal code would have ended the subscription with an error.
        assert_eq!(after["errors"], json!([]), "{after}");
        assert_eq!(after["completed"], 0, "{after}");
        assert_eq!(after["closed"], json!([1001]), "{after}");
        assert_eq!(after["opened"], 2, "{after}");
    });
}

#[test]
fn mqtt_js_publishes_and_is_subscribed_again_at_another_broker_after_an_eviction() {
    run(async {
        let (_router, _, after) = evicted("mqtt.cjs", "/mqtt", &[]).await;
        assert_eq!(after["errors"], json!([]), "{after}");
        assert_eq!(after["opened"], 2, "{after}");
    });
}

#[test]
fn a_phoenix_channel_is_joined_again_after_an_eviction_and_its_token_is_in_no_log_line() {
    run(async {
        let (router, before, after) = evicted("phoenix.cjs", "/socket", &[("token", "open-sesame")]).await;
        assert_eq!(before["token"], "open-sesame", "{before}");
        assert_eq!(after["token"], "open-sesame", "{after}");
        assert_eq!(after["closed"], json!([1001]), "{after}");
        assert_eq!(after["opened"], 2, "{after}");
        router.ended(1).await;
        for said in ["open-sesame", "base64url.bearer", "b3Blbi1zZXNhbWU"] {
            assert!(!router.log.raw().contains(said), "{said}");
        }
    });
}
