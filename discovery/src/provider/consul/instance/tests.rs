use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{super::wire, *};

fn instance() -> Value {
    json!({
        "Node": { "Node": "t1", "Address": "192.0.2.1", "Datacenter": "dc1" },
        "Service": { "ID": "chat-1", "Address": "10.0.0.1", "Port": 9001, "Weights": { "Passing": 10, "Warning": 2 } },
        "Checks": [],
    })
}

fn read(instance: &Value, wanted: AddressOf) -> Result<Endpoint, Unusable> {
    let body = Value::from(vec![instance.clone()]).to_string();
    let instances = wire::read(body.as_bytes()).unwrap();
    endpoint(&instances[0], wanted)
}

fn read_with(path: &str, value: Value) -> Result<Endpoint, Unusable> {
    let mut instance = instance();
    *instance.pointer_mut(path).unwrap() = value;
    read(&instance, AddressOf::Service)
}

fn checked(statuses: &[(&str, &str)]) -> (State, u32) {
    let check = |(id, status): &(&str, &str)| json!({ "CheckID": id, "Status": status });
    let endpoint = read_with("/Checks", statuses.iter().map(check).collect()).unwrap();
    (endpoint.state, endpoint.weight.get())
}

#[test]
fn an_instance_without_any_check_is_active() {
    assert_eq!(checked(&[]), (State::Active, 10));
}

#[test]
fn the_worst_check_decides() {
    assert_eq!(
        checked(&[("serfHealth", "passing"), ("a", "passing")]),
        (State::Active, 10)
    );
    assert_eq!(
        checked(&[("serfHealth", "passing"), ("a", "warning"), ("b", "passing")]),
        (State::Active, 2)
    );
    assert_eq!(
        checked(&[("a", "warning"), ("b", "critical")]),
        (State::Unhealthy, 1)
    );
    assert_eq!(
        checked(&[("serfHealth", "critical"), ("a", "passing")]),
        (State::Unhealthy, 1)
    );
    assert_eq!(checked(&[("a", "purple")]), (State::Unhealthy, 1));
}

#[test]
fn maintenance_drains_whatever_else_is_wrong() {
    assert_eq!(
        checked(&[("_node_maintenance", "critical")]),
        (State::Draining, 1)
    );
    assert_eq!(
        checked(&[
            ("_service_maintenance:chat-1", "critical"),
            ("serfHealth", "critical")
        ]),
        (State::Draining, 1)
    );
}

#[test]
fn weights_are_kept_in_range_and_none_means_no_new_sessions() {
    for (weight, expected) in [
        (0, (State::Draining, 1)),
        (-5, (State::Draining, 1)),
        (65_535, (State::Active, 65_535)),
        (i64::MAX, (State::Active, 65_535)),
    ] {
        let endpoint = read_with("/Service/Weights", json!({ "Passing": weight })).unwrap();
        assert_eq!((endpoint.state, endpoint.weight.get()), expected, "{weight}");
    }
}

#[test]
fn the_address_is_the_services_own_else_its_nodes() {
    assert_eq!(
        read(&instance(), AddressOf::Service).unwrap().address.to_string(),
        "10.0.0.1:9001"
    );
    assert_eq!(
        read_with("/Service/Address", json!(""))
            .unwrap()
            .address
            .to_string(),
        "192.0.2.1:9001"
    );
    assert_eq!(
        read(&instance(), AddressOf::Node).unwrap().address.to_string(),
        "192.0.2.1:9001"
    );
    assert_eq!(
        read_with("/Service/Address", json!("fd00::1"))
            .unwrap()
            .address
            .to_string(),
        "[fd00::1]:9001"
    );
    // One endpoint has one spelling, whatever its registry writes.
    assert_eq!(
        read_with("/Service/Address", json!("::ffff:10.0.0.1"))
            .unwrap()
            .address
            .to_string(),
        "10.0.0.1:9001"
    );
}

#[test]
fn a_tagged_address_is_the_services_own_else_its_nodes() {
    let mut instance = instance();
    instance["Service"]["TaggedAddresses"] = json!({
        "lan_ipv4": { "Address": "10.0.0.2", "Port": 9002 },
        "wan_ipv6": { "Address": "fd00::2", "Port": 0 },
    });
    instance["Node"]["TaggedAddresses"] = json!({ "wan": "192.0.2.3", "wan_ipv4": "192.0.2.3" });
    for (wanted, address) in [
        (AddressOf::Lan, "10.0.0.2:9002"),
        (AddressOf::LanIpv4, "10.0.0.2:9002"),
        (AddressOf::Wan, "[fd00::2]:9001"),
        (AddressOf::WanIpv6, "[fd00::2]:9001"),
        (AddressOf::WanIpv4, "192.0.2.3:9001"),
    ] {
        assert_eq!(
            read(&instance, wanted).unwrap().address.to_string(),
            address,
            "{wanted:?}"
        );
    }
    let unusable = read(&instance, AddressOf::LanIpv6).unwrap_err();
    assert_eq!(unusable.why, "has no address tagged `lan_ipv6`");
}

#[test]
fn what_cannot_be_dialled_says_why() {
    for (path, value, says) in [
        (
            "/Service/Address",
            json!("chat.example.com"),
            "the name \"chat.example.com\"",
        ),
        ("/Service/Address", json!("0.0.0.0"), "no machine's"),
        ("/Service/Address", json!("ff02::1"), "no machine's"),
        ("/Service/Port", json!(0), "port 0"),
        ("/Service/Port", json!(65_536), "port 65536"),
        ("/Service/Port", json!(-1), "port -1"),
    ] {
        let unusable = read_with(path, value).unwrap_err();
        assert_eq!(unusable.identity.as_str(), "consul:dc1/t1/chat-1");
        assert!(unusable.why.contains(says), "{unusable:?}");
    }
}

#[test]
fn an_identity_is_datacenter_node_and_id_and_no_two_are_spelled_alike() {
    assert_eq!(
        read(&instance(), AddressOf::Service).unwrap().identity.as_str(),
        "consul:dc1/t1/chat-1"
    );
    let of = |node: &str, id: &str| {
        let mut instance = instance();
        instance["Node"]["Node"] = node.into();
        instance["Service"]["ID"] = id.into();
        read(&instance, AddressOf::Service).unwrap().identity
    };
    assert_eq!(of("t1", "a/b").as_str(), "consul:dc1/t1/a/b");
    assert_ne!(of("t1/a", "b"), of("t1", "a/b"));
    assert_ne!(of("t1%2Fa", "b"), of("t1/a", "b"));
}

#[test]
fn the_zone_is_the_services_own_else_its_nodes() {
    let mut instance = instance();
    instance["Node"]["Locality"] = json!({ "Region": "r", "Zone": "a" });
    assert_eq!(
        read(&instance, AddressOf::Service).unwrap().zone.as_deref(),
        Some("a")
    );
    instance["Service"]["Locality"] = json!({ "Region": "r", "Zone": "b" });
    assert_eq!(
        read(&instance, AddressOf::Service).unwrap().zone.as_deref(),
        Some("b")
    );
    instance["Service"]["Locality"] = json!({ "Region": "r" });
    assert_eq!(read(&instance, AddressOf::Service).unwrap().zone, None);
}

proptest! {
    #[test]
    fn an_active_endpoint_has_no_check_that_is_not_passing_or_warning(
        statuses in vec(prop_oneof![Just("passing"), Just("warning"), Just("critical"), Just("maintenance")], 0..6),
        passing in 0i64..3, warning in 0i64..3,
    ) {
        let mut instance = instance();
        let check = |status: &&str| match *status {
            "maintenance" => json!({ "CheckID": "_service_maintenance:chat-1", "Status": "critical" }),
            status => json!({ "CheckID": "c", "Status": status }),
        };
        instance["Checks"] = statuses.iter().map(check).collect();
        instance["Service"]["Weights"] = json!({ "Passing": passing, "Warning": warning });
        let endpoint = read(&instance, AddressOf::Service).unwrap();
        let weight = if statuses.contains(&"warning") { warning } else { passing };
        let expected = if statuses.contains(&"maintenance") {
            State::Draining
        } else if statuses.contains(&"critical") {
            State::Unhealthy
        } else if weight == 0 {
            State::Draining
        } else {
            State::Active
        };
        prop_assert_eq!(endpoint.state, expected);
        if endpoint.state == State::Active {
            prop_assert_eq!(i64::from(endpoint.weight.get()), weight);
        }
    }
}
