use serde_json::{Value, json};

use super::*;

fn slice(json: Value) -> Slice {
    serde_json::from_value::<Wire>(json).unwrap().into()
}

fn with_endpoint(endpoint: &Value) -> Slice {
    slice(json!({
        "metadata": { "name": "chat-1", "resourceVersion": "7", "labels": { "kubernetes.io/service-name": "chat" } },
        "addressType": "IPv4",
        "ports": [{ "name": "ws", "port": 9001, "protocol": "TCP" }],
        "endpoints": [endpoint],
    }))
}

fn only(slice: &Slice) -> &Entry {
    assert_eq!((slice.entries.len(), slice.unusable), (1, 0));
    &slice.entries[0]
}

#[test]
fn what_is_not_needed_is_skipped_and_what_is_needed_is_kept() {
    let slice = slice(json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "chat-1", "uid": "u", "resourceVersion": "12", "generation": 4,
            "labels": { "kubernetes.io/service-name": "chat", "app": "x" },
            "managedFields": [{ "manager": "m", "fieldsV1": { "f:endpoints": {} } }],
            "ownerReferences": [{ "kind": "Service" }],
        },
        "addressType": "IPv4",
        "ports": [{ "name": "ws", "port": 9001, "protocol": "TCP", "appProtocol": "kubernetes.io/ws" }],
        "endpoints": [{
            "addresses": ["10.77.0.1"], "nodeName": "n", "zone": "a", "hostname": "h", "deprecatedTopology": { "k": "v" },
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": { "kind": "Pod", "name": "chat-x", "namespace": "default", "uid": "1-2" },
            "hints": { "forZones": [{ "name": "b" }], "forNodes": [{ "name": "n" }] },
        }],
    }));
    assert_eq!(
        (&*slice.name, slice.service.as_deref(), slice.revision),
        ("chat-1", Some("chat"), 12)
    );
    let port = Port {
        name: "ws".into(),
        number: NonZeroU16::new(9001),
    };
    assert_eq!(*slice.ports, [port]);
    let entry = Entry {
        pod: Some(Identity::from("pod:1-2")),
        ip: [10, 77, 0, 1].into(),
        state: State::Active,
        zone: Some("a".into()),
        hints: Hints {
            zones: ["b".into()].into(),
            nodes: ["n".into()].into(),
        },
    };
    assert_eq!(*slice.entries, [entry]);
}

#[test]
fn null_and_absent_conditions_mean_what_the_api_says() {
    let all = [None, Some(false), Some(true)];
    let mut cases = Vec::new();
    for ready in all {
        for serving in all {
            cases.extend(all.map(|terminating| (ready, serving, terminating)));
        }
    }
    assert_eq!(cases.len(), 27);
    for (ready, serving, terminating) in cases {
        let conditions = json!({ "ready": ready, "serving": serving, "terminating": terminating });
        let slice = with_endpoint(&json!({ "addresses": ["10.77.0.1"], "conditions": conditions }));
        let expected = match (ready, serving, terminating) {
            (None | Some(true), _, None | Some(false)) => State::Active,
            (Some(false), _, None | Some(false)) | (Some(false), Some(false), Some(true)) => State::Unhealthy,
            (_, _, Some(true)) => State::Draining,
        };
        assert_eq!(only(&slice).state, expected, "{conditions}");
    }
    for conditions in [json!(null), json!({})] {
        let slice = with_endpoint(&json!({ "addresses": ["10.77.0.1"], "conditions": conditions }));
        assert_eq!(only(&slice).state, State::Active);
    }
    assert_eq!(
        only(&with_endpoint(&json!({ "addresses": ["10.77.0.1"] }))).state,
        State::Active
    );
}

#[test]
fn only_a_pod_with_a_uid_has_another_identity_than_its_address() {
    for target in [
        json!(null),
        json!({}),
        json!({ "kind": "Pod" }),
        json!({ "kind": "Pod", "uid": "" }),
        json!({ "kind": "Node", "uid": "1" }),
        json!({ "uid": "1" }),
    ] {
        let slice = with_endpoint(&json!({ "addresses": ["10.77.0.1"], "targetRef": target }));
        assert_eq!(only(&slice).pod, None, "{target}");
    }
}

#[test]
fn lists_that_are_null_are_empty() {
    let slice =
        slice(json!({ "metadata": { "name": "a", "labels": null }, "endpoints": null, "ports": null }));
    assert_eq!(
        (slice.entries.len(), slice.ports.len(), slice.unusable),
        (0, 0, 0)
    );
    assert_eq!((slice.service, slice.revision), (None, 0));
}

#[test]
fn an_endpoint_without_an_ip_address_is_left_out_and_counted() {
    for addresses in [
        json!(null),
        json!([]),
        json!(["chat.internal"]),
        json!(["10.0.0.256"]),
    ] {
        let slice = with_endpoint(&json!({ "addresses": addresses }));
        assert_eq!((slice.entries.len(), slice.unusable), (0, 1), "{addresses}");
    }
    let names = slice(json!({
        "metadata": { "name": "a" }, "addressType": "FQDN", "endpoints": [{ "addresses": ["10.0.0.1"] }],
    }));
    assert_eq!((names.entries.len(), names.unusable), (0, 1));
}

#[test]
fn of_several_addresses_only_the_first_counts_and_a_mapped_one_is_its_ipv4_address() {
    let slice = with_endpoint(&json!({ "addresses": ["::ffff:10.77.0.1", "10.77.0.2"] }));
    assert_eq!(only(&slice).ip, IpAddr::from([10, 77, 0, 1]));
}

#[test]
fn a_port_may_lack_anything_but_is_never_made_up() {
    let slice = slice(json!({ "metadata": { "name": "a" }, "ports": [
        {}, { "name": null, "port": null, "protocol": null }, { "port": 80 },
        { "name": "quic", "port": 443, "protocol": "UDP" }, { "name": "zero", "port": 0 }, { "name": "big", "port": 70000 },
        { "name": "below", "port": -1 },
    ] }));
    let ports: Vec<_> = slice
        .ports
        .iter()
        .map(|port| (&*port.name, port.number.map(NonZeroU16::get)))
        .collect();
    assert_eq!(ports, [("", None), ("", None), ("", Some(80))]);
}

#[test]
fn hints_name_any_number_of_zones_and_nodes() {
    let hints = |hints: Value| {
        let slice = with_endpoint(&json!({ "addresses": ["10.77.0.1"], "zone": "", "hints": hints }));
        let Entry { zone, hints, .. } = only(&slice).clone();
        assert_eq!(zone, None);
        let words = |names: &[Arc<str>]| names.join(" ");
        (words(&hints.zones), words(&hints.nodes))
    };
    let said = |zones: &str, nodes: &str| (zones.to_owned(), nodes.to_owned());
    assert_eq!(
        hints(json!({ "forZones": [{ "name": "a" }, { "name": "b" }], "forNodes": [{ "name": "n" }] })),
        said("a b", "n")
    );
    for nobody in [
        json!(null),
        json!({}),
        json!({ "forZones": null, "forNodes": null }),
        json!({ "forZones": [], "forNodes": [] }),
    ] {
        assert_eq!(hints(nobody), said("", ""));
    }
}

#[test]
fn what_is_no_slice_is_refused() {
    for garbage in [
        json!(null),
        json!([]),
        json!({ "metadata": {} }),
        json!({ "metadata": { "name": "a" }, "endpoints": {} }),
        json!({ "metadata": { "name": "a" }, "endpoints": [{ "addresses": "10.0.0.1" }] }),
        json!({ "metadata": { "name": "a" }, "ports": [{ "port": "80" }] }),
    ] {
        assert!(
            serde_json::from_value::<Wire>(garbage.clone()).is_err(),
            "{garbage}"
        );
    }
}
