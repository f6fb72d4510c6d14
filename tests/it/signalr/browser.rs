//! Microsoft's SignalR client in a browser, and the example's page.

use crate::support::*;

#[test]
fn signalr_in_chromium_stays_on_its_hub_on_every_transport_through_two_replicas() {
    run(async {
        let replicas = Replicas::over(
            &Hubs::ready().addresses,
            "affinity: signalr, balance: round-robin",
        )
        .await;
        let seen = Tools::ready()
            .output("signalr-browser.cjs", &replicas.front.url(""))
            .await;
        let seen: serde_json::Value =
            serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
        assert_eq!(seen["problems"], serde_json::json!([]));
        let used = seen["used"].as_array().expect("what each connection said");
        let transports = ["WebSockets", "ServerSentEvents", "LongPolling"];
        assert_eq!(used.len(), 3 * transports.len());
        for (said, transport) in used.iter().zip(transports.iter().flat_map(|name| [name; 3])) {
            assert_eq!(said["kind"], **transport, "{said}");
            assert_eq!(said["stayed"], true, "{said}");
            assert_eq!(said["echo"], "from a browser", "{said}");
            assert_eq!(said["items"], serde_json::json!([1, 2, 3]), "{said}");
        }
    });
}

#[test]
fn the_signalr_example_runs_and_its_page_shows_how_a_drained_hub_is_left() {
    run(async {
        let hub = Hubs::build(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/signalr/hub"));
        let seen = Tools::ready()
            .output_of("example", &[env!("CARGO_BIN_EXE_longhaul"), &hub])
            .await;
        let seen: serde_json::Value =
            serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
        assert_eq!(seen["problems"], serde_json::json!([]));
        let (before, after) = (cells(&seen["before"]), cells(&seen["after"]));
        let transports = |rows: &[[String; 4]]| rows.iter().map(|row| row[1].clone()).collect::<Vec<_>>();
        let asked = [
            "WebSockets",
            "WebSockets",
            "ServerSentEvents",
            "LongPolling",
            "WebSockets",
            "WebSockets",
        ];
        assert_eq!(transports(&before), asked);
        assert_eq!(transports(&after), asked, "the transport stays");
        let drained = seen["drained"].as_str().expect("a hub");
        assert!(after.iter().all(|row| row[2] != drained), "{after:?}");
        for (was, is) in before.iter().zip(&after) {
            assert!(
                was[2] == drained || was[2] == is[2],
                "only drained ones move: {was:?} {is:?}"
            );
        }
    });
}

fn cells(rows: &serde_json::Value) -> Vec<[String; 4]> {
    serde_json::from_value(rows.clone()).expect("four cells in each row")
}
