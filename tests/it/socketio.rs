//! socket.io 4 and 2: polling, and the upgrade to WebSocket, reach the server that gave the session its id.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::*;

const VERSIONS: [&str; 2] = ["4", "2"];

async fn servers(version: &str, count: usize) -> Vec<Process> {
    let arguments = ["serve", version];
    join_all((0..count).map(|_| Tools::ready().server_of("socketio.cjs", &arguments))).await
}

async fn over(servers: &[Process]) -> Front {
    Front::over(servers.iter().map(|server| server.address).collect()).await
}

fn open(front: &Front, version: &str, count: usize) -> Value {
    json!({"do": "open", "url": front.url("/"), "version": version, "count": count})
}

/// As [`open`], for sessions that are expected to fail; a few of them hang halfway.
fn open_in_vain(front: &Front, version: &str) -> Value {
    let mut command = open(front, version, 4);
    command["patience"] = json!(2000);
    command
}

#[test]
fn without_affinity_no_session_that_begins_with_polling_survives_round_robin() {
    run(async {
        for version in VERSIONS {
            let servers = servers(version, 3).await;
            let front = over(&servers).await;
            let mut player = Tools::ready().player("socketio.cjs");
            let answer = player.ask(&open_in_vain(&front, version)).await;
            assert_eq!(answer["opened"], 0, "{version}: {answer}");
        }
    });
}

#[test]
fn one_server_alone_upgrades_every_session_of_its_version() {
    run(async {
        for version in VERSIONS {
            let servers = servers(version, 1).await;
            let front = over(&servers).await;
            let mut player = Tools::ready().player("socketio.cjs");
            let answer = player.ask(&open(&front, version, 6)).await;
            assert_eq!(
                answer["transports"],
                json!({"websocket": 6}),
                "{version}: {answer}"
            );
            let answer = player.ask(&json!({"do": "use"})).await;
            assert_eq!(
                (&answer["used"], &answer["moved"]),
                (&json!(6), &json!(0)),
                "{version}: {answer}"
            );
        }
    });
}

#[test]
fn every_session_is_upgraded_on_its_own_server_through_two_replicas() {
    run(async {
        for version in VERSIONS {
            let servers = servers(version, 2).await;
            let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
            let replicas = Replicas::over(&addresses, "affinity: socketio, balance: round-robin").await;
            let mut player = Tools::ready().player("socketio.cjs");
            let answer = player.ask(&open(&replicas.front, version, 12)).await;
            assert_eq!(
                answer["transports"],
                json!({"websocket": 12}),
                "{version}: {answer}"
            );
            let shares = answer["servers"].as_object().map(serde_json::Map::len);
            assert_eq!(shares, Some(2), "{version}: {answer}");

            let mut polling = open(&replicas.front, version, 12);
            polling["transports"] = json!(["polling"]);
            let answer = player.ask(&polling).await;
            assert_eq!(
                answer["transports"],
                json!({"polling": 12}),
                "{version}: {answer}"
            );
            let answer = player.ask(&json!({"do": "use"})).await;
            assert_eq!(
                (&answer["used"], &answer["moved"]),
                (&json!(24), &json!(0)),
                "{version}: {answer}"
            );
        }
    });
}

#[test]
fn without_affinity_a_router_that_balances_by_turns_loses_them_too() {
    run(async {
        for version in VERSIONS {
            let servers = servers(version, 3).await;
            let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
            let config = Config::default()
                .service("chat", &addresses, "balance: round-robin")
                .route(r#"path: "/{*rest}""#, "chat", "");
            let router = Router::start(&config).await;
            let front = Front::over(vec![router.address()]).await;
            let mut player = Tools::ready().player("socketio.cjs");
            let answer = player.ask(&open_in_vain(&front, version)).await;
            assert_eq!(answer["opened"], 0, "{version}: {answer}");
        }
    });
}
