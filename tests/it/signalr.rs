//! Microsoft's SignalR server and clients: every request of a connection reaches the hub that negotiated it, on every
//! transport, whichever replica of the router it comes through.

use serde_json::{Value, json};

use crate::support::*;

const TRANSPORTS: [&str; 3] = ["WebSockets", "ServerSentEvents", "LongPolling"];

/// Opens connections one after another, so that nobody's request comes between two of the same connection.
async fn open(player: &mut Player, front: &Front, transport: &str, count: usize) -> Value {
    let command = json!({"do": "open", "url": front.url("/hub"), "transport": transport, "count": count});
    player.ask(&command).await
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
