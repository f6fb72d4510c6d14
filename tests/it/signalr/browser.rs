//! Microsoft's SignalR client in a browser.

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
