//! Microsoft's SignalR server and clients: every request of a connection reaches the hub that negotiated it, on every
//! transport, whichever replica of the router it comes through.

mod browser;

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::*;

const TRANSPORTS: [&str; 3] = ["WebSockets", "ServerSentEvents", "LongPolling"];

/// Opens connections one after another, so that nobody's request comes between two of the same connection.
async fn open(player: &mut Player, front: &Front, transport: &str, count: usize) -> Value {
    let command = json!({"do": "open", "url": front.url("/hub"), "transport": transport, "count": count});
    player.ask(&command).await
}

/// Everything that was opened still answers, streams, and is on the hub that it was on.
async fn all_stay(player: &mut Player, count: usize) {
    let answer = player.ask(&json!({"do": "use"})).await;
    assert_eq!(
        (&answer["used"], &answer["moved"]),
        (&json!(count), &json!(0)),
        "{answer}"
    );
}

/// How many of an answer are on each hub.
fn hubs(answer: &Value) -> BTreeMap<String, usize> {
    serde_json::from_value(answer["hubs"].clone()).expect("a number for each hub")
}

#[test]
fn without_affinity_no_connection_that_needs_several_requests_survives_round_robin() {
    run(async {
        let mut player = Tools::ready().player("signalr.cjs");
        let front = Front::over(Hubs::ready().addresses.clone()).await;
        for transport in TRANSPORTS {
            let answer = open(&mut player, &front, transport, 6).await;
            assert_eq!(answer["opened"], 0, "{transport}: {answer}");
        }
    });
}

#[test]
fn one_hub_alone_serves_every_transport_of_every_client() {
    run(async {
        let front = Front::over(vec![Hubs::ready().addresses[0]]).await;
        let mut player = Tools::ready().player("signalr.cjs");
        for transport in TRANSPORTS {
            let answer = open(&mut player, &front, transport, 3).await;
            assert_eq!(answer["hubs"], json!({"a": 3}), "{transport}: {answer}");
            assert_eq!(answer["transports"], json!({transport: 3}), "{answer}");
        }
        let answer = player.ask(&json!({"do": "use"})).await;
        assert_eq!(
            (&answer["used"], &answer["moved"]),
            (&json!(9), &json!(0)),
            "{answer}"
        );

        let mut player = Tools::ready().player("signalr.py");
        let answer = open(&mut player, &front, "WebSockets", 3).await;
        assert_eq!(answer["opened"], 3, "{answer}");
        assert_eq!(player.ask(&json!({"do": "use"})).await["used"], 3);

        let mut player = Tools::ready().player("Client.java");
        for (index, transport) in ["WEBSOCKETS", "LONG_POLLING"].into_iter().enumerate() {
            let answer = open(&mut player, &front, transport, 3).await;
            assert_eq!(answer["opened"], 3, "{transport}: {answer}");
            assert_eq!(player.ask(&json!({"do": "use"})).await["used"], 3 * (index + 1));
        }
    });
}

#[test]
fn without_affinity_a_router_that_balances_by_turns_loses_them_too() {
    run(async {
        let config = Config::default()
            .service("chat", &Hubs::ready().addresses, "balance: round-robin")
            .route(r#"path: "/{*rest}""#, "chat", "");
        // One: two that go round in step would send every second request after the first.
        let router = Router::start(&config).await;
        let front = Front::over(vec![router.address()]).await;
        let mut player = Tools::ready().player("signalr.cjs");
        for transport in TRANSPORTS {
            let answer = open(&mut player, &front, transport, 6).await;
            assert_eq!(answer["opened"], 0, "{transport}: {answer}");
        }
    });
}

#[test]
fn every_connection_of_the_javascript_client_stays_on_its_hub_through_two_replicas() {
    run(async {
        let replicas = Replicas::over(
            &Hubs::ready().addresses,
            "affinity: signalr, balance: round-robin",
        )
        .await;
        let mut player = Tools::ready().player("signalr.cjs");
        for transport in TRANSPORTS {
            let answer = open(&mut player, &replicas.front, transport, 12).await;
            assert_eq!(answer["transports"], json!({transport: 12}), "{answer}");
            assert_eq!(hubs(&answer).len(), 3, "the hubs share them: {answer}");
        }
        all_stay(&mut player, 36).await;
        // The hub ends every one of them; each comes back with a negotiate of its own.
        player.ask(&json!({"do": "leave"})).await;
        player.ask(&json!({"do": "reconnected", "count": 36})).await;
        let answer = player.ask(&json!({"do": "use"})).await;
        assert_eq!(answer["used"], 36, "{answer}");
        assert_eq!(
            answer["transports"],
            json!({"WebSockets": 12, "ServerSentEvents": 12, "LongPolling": 12})
        );
    });
}

#[test]
fn connections_of_pysignalr_whose_id_is_all_they_have_stay_on_their_hub() {
    run(async {
        let replicas = Replicas::over(
            &Hubs::ready().addresses,
            "affinity: signalr, balance: round-robin",
        )
        .await;
        let mut player = Tools::ready().player("signalr.py");
        let answer = open(&mut player, &replicas.front, "WebSockets", 12).await;
        assert_eq!(answer["opened"], 12, "{answer}");
        assert_eq!(hubs(&answer).len(), 3, "{answer}");
        all_stay(&mut player, 12).await;
    });
}

#[test]
fn every_connection_of_the_java_client_stays_on_its_hub_through_two_replicas() {
    run(async {
        let replicas = Replicas::over(
            &Hubs::ready().addresses,
            "affinity: signalr, balance: round-robin",
        )
        .await;
        let mut player = Tools::ready().player("Client.java");
        for transport in ["WEBSOCKETS", "LONG_POLLING"] {
            let answer = open(&mut player, &replicas.front, transport, 6).await;
            assert_eq!(answer["opened"], 6, "{transport}: {answer}");
        }
        all_stay(&mut player, 12).await;
    });
}

#[test]
fn keys_are_rotated_one_replica_after_the_other_and_no_connection_notices() {
    run(async {
        let replicas = Replicas::over(&Hubs::ready().addresses, "affinity: signalr").await;
        let mut player = Tools::ready().player("signalr.cjs");
        let mut opened = 0;
        let steps: [&[(usize, &[&str])]; 4] = [
            &[],
            // Both believe the new key before one of them mints with it.
            &[(0, &["old", "new"]), (1, &["old", "new"])],
            &[(0, &["new", "old"])],
            &[(1, &["new", "old"])],
        ];
        for step in steps {
            for (replica, keys) in step {
                replicas.rekey(*replica, keys).await;
            }
            all_stay(&mut player, opened).await;
            for transport in TRANSPORTS {
                let answer = open(&mut player, &replicas.front, transport, 4).await;
                assert_eq!(answer["opened"], 4, "{step:?} {transport}: {answer}");
                opened += 4;
            }
        }
        all_stay(&mut player, opened).await;
    });
}

#[test]
fn clients_of_a_drained_hub_are_on_another_at_once_and_stay_on_websocket() {
    run(async {
        let service = "affinity: signalr, drain: { mode: close, window: 0s, deadline: 10s }";
        let hub_addresses = &Hubs::ready().addresses;
        let replicas = Replicas::over(hub_addresses, service).await;
        let mut player = Tools::ready().player("signalr.cjs");
        // The client chooses: WebSocket is its first choice, and what it must be left with.
        let command = json!({"do": "open", "url": replicas.front.url("/hub"), "count": 60, "at_once": 20});
        let answer = player.ask(&command).await;
        assert_eq!(answer["transports"], json!({"WebSockets": 60}), "{answer}");
        let evicted = hubs(&answer)["a"];
        let command = json!({"do": "reconnected", "count": evicted});
        player.say(&command).await;
        let begun = Instant::now();
        replicas.drain(hub_addresses[0]).await;
        let answer = player.hear(&command).await;
        let took = begun.elapsed();
        assert_eq!(answer, json!({"reconnected": evicted, "closed": 0}));
        let answer = player.ask(&json!({"do": "use"})).await;
        assert_eq!(answer["transports"], json!({"WebSockets": 60}), "{answer}");
        assert_eq!(answer["moved"], evicted, "{answer}");
        assert!(!hubs(&answer).contains_key("a"), "{answer}");
        // Half a second where nothing else runs; a client whose first attempt fails waits 2 s, then 10 s for the next.
        assert!(took < Duration::from_secs(8), "{evicted} clients took {took:?}");
    });
}

#[test]
fn clients_of_a_drained_hub_that_stream_events_or_poll_are_on_another_within_seconds() {
    run(async {
        let service =
            "affinity: signalr, balance: round-robin, drain: { mode: close, window: 0s, deadline: 5s }";
        let hub_addresses = &Hubs::ready().addresses;
        for transport in ["ServerSentEvents", "LongPolling"] {
            let replicas = Replicas::over(hub_addresses, service).await;
            let mut player = Tools::ready().player("signalr.cjs");
            let answer = open(&mut player, &replicas.front, transport, 12).await;
            assert_eq!(answer["opened"], 12, "{answer}");
            let evicted = hubs(&answer)["a"];
            replicas.drain(hub_addresses[0]).await;
            // A hub ends a poll after 90 s by itself.
            let answer = player.ask(&json!({"do": "reconnected", "count": evicted})).await;
            assert_eq!(answer["closed"], 0, "{transport}: {answer}");
            let answer = player.ask(&json!({"do": "use"})).await;
            assert_eq!(answer["moved"], evicted, "{transport}: {answer}");
            assert!(!hubs(&answer).contains_key("a"), "{transport}: {answer}");
            assert_eq!(answer["transports"], json!({transport: 12}), "{answer}");
        }
    });
}

#[test]
fn clients_of_a_drained_hub_that_may_keep_its_sessions_stay_on_every_transport() {
    run(async {
        let service = "affinity: signalr, balance: round-robin, drain: { mode: keep }";
        let hub_addresses = &Hubs::ready().addresses;
        let replicas = Replicas::over(hub_addresses, service).await;
        let mut player = Tools::ready().player("signalr.cjs");
        for transport in TRANSPORTS {
            let answer = open(&mut player, &replicas.front, transport, 6).await;
            assert!(hubs(&answer).contains_key("a"), "{answer}");
        }
        replicas.drain(hub_addresses[0]).await;
        all_stay(&mut player, 18).await;
        let answer = open(&mut player, &replicas.front, "WebSockets", 6).await;
        assert!(!hubs(&answer).contains_key("a"), "it gets no new ones: {answer}");
    });
}

#[test]
fn a_thousand_connections_on_all_transports_at_once_are_where_they_negotiated() {
    run_within(Duration::from_mins(3), async {
        let replicas = Replicas::over(&Hubs::ready().addresses, "affinity: signalr").await;
        let url = replicas.front.url("/hub");
        let playing = [334, 333, 333]
            .into_iter()
            .zip(TRANSPORTS)
            .map(|(count, transport)| {
                let command =
                    json!({"do": "open", "url": url, "transport": transport, "count": count, "at_once": 50});
                async move {
                    let mut player = Tools::ready().player("signalr.cjs");
                    let answer = player.ask(&command).await;
                    assert_eq!(answer["opened"], count, "{transport}: {answer}");
                    assert_eq!(answer["transports"], json!({transport: count}), "{answer}");
                    all_stay(&mut player, count).await;
                }
            });
        join_all(playing).await;
    });
}
