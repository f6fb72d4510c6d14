//! The JSON of `/v1/health/service/:name`, as far as it is read.
//!
//! In: a body of bounded size. Out: [`Instance`]s, or an error; never a panic, and no deeper than the parser's limit.
//!
//! Consul writes `null` for a list or a map that is empty, leaves out what an older version did not have, and puts no
//! bound on names. What is not read here may be anything.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Deserializer};

/// One instance of a service, with its node and its checks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instance<'a> {
    #[serde(borrow)]
    pub(super) node: Node<'a>,
    pub(super) service: Service<'a>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) checks: Vec<Check<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node<'a> {
    #[serde(borrow, rename = "Node")]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    pub(super) address: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    pub(super) datacenter: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) tagged_addresses: HashMap<String, String>,
    #[serde(default)]
    pub(super) locality: Option<Locality<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service<'a> {
    #[serde(borrow, rename = "ID")]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    pub(super) address: Cow<'a, str>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) port: i64,
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) weights: Weights,
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) tagged_addresses: HashMap<String, Tagged>,
    #[serde(default)]
    pub(super) locality: Option<Locality<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tagged {
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) address: String,
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) port: i64,
}

/// An instance that has none, from a version that knew none, weighs as much as any other.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Weights {
    pub(super) passing: i64,
    pub(super) warning: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Locality<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    pub(super) zone: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Check<'a> {
    #[serde(borrow, rename = "CheckID", default, deserialize_with = "null_is_none")]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "null_is_none")]
    pub(super) status: Cow<'a, str>,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            passing: 1,
            warning: 1,
        }
    }
}

/// Reads a whole body.
pub(super) fn read(body: &[u8]) -> Result<Vec<Instance<'_>>, serde_json::Error> {
    serde_json::from_slice(body)
}

fn null_is_none<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a server wrote it, with more than is read.
    const BODY: &str = r#"[{
        "Node": {"ID": "1f2e", "Node": "t1", "Address": "127.0.0.1", "Datacenter": "dc1",
            "TaggedAddresses": {"lan": "127.0.0.1", "wan": "192.0.2.1"}, "Meta": null, "CreateIndex": 13},
        "Service": {"ID": "chat-1", "Service": "chat", "Tags": [], "Address": "10.0.0.1", "Meta": null, "Port": 9001,
            "TaggedAddresses": {"lan_ipv4": {"Address": "10.0.0.1", "Port": 9001}},
            "Weights": {"Passing": 10, "Warning": 2}, "EnableTagOverride": false, "Proxy": {"Mode": ""}, "PeerName": ""},
        "Checks": [{"Node": "t1", "CheckID": "serfHealth", "Status": "passing", "Definition": {}}]
    }]"#;

    #[test]
    fn an_instance_is_read_as_a_server_writes_it() {
        let instances = read(BODY.as_bytes()).unwrap();
        let [
            Instance {
                node,
                service,
                checks,
            },
        ] = &*instances
        else {
            panic!("{instances:?}")
        };
        assert_eq!(
            (&*node.name, &*node.datacenter, &*node.tagged_addresses["wan"]),
            ("t1", "dc1", "192.0.2.1")
        );
        assert_eq!(
            (
                &*service.id,
                service.port,
                service.weights.passing,
                service.weights.warning
            ),
            ("chat-1", 9001, 10, 2)
        );
        assert_eq!((&*checks[0].id, &*checks[0].status), ("serfHealth", "passing"));
    }

    #[test]
    fn null_and_absent_are_the_same_as_empty() {
        let body = r#"[{"Node": {"Node": "n", "Address": null, "TaggedAddresses": null, "Locality": null},
                        "Service": {"ID": "s", "Address": null, "Weights": null, "TaggedAddresses": null}, "Checks": null},
                       {"Node": {"Node": "n"}, "Service": {"ID": "s", "Weights": {"Passing": 3}}}]"#;
        let instances = read(body.as_bytes()).unwrap();
        assert!(
            instances
                .iter()
                .all(|i| i.checks.is_empty() && i.node.address.is_empty() && i.service.port == 0)
        );
        let weights: Vec<_> = instances
            .iter()
            .map(|i| (i.service.weights.passing, i.service.weights.warning))
            .collect();
        assert_eq!(weights, [(1, 1), (3, 1)]);
    }

    #[test]
    fn what_is_not_a_list_of_instances_is_an_error() {
        let deep = "[".repeat(100_000);
        let nested = format!(r#"[{{"Node":{{"Node":"n","X":{deep}"#);
        for body in [
            "",
            "null",
            "{}",
            "[1]",
            "[{}]",
            "<html>",
            "[{\"Node\":{}}]",
            &deep,
            &nested,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body:.40}");
        }
        for end in 1..BODY.len() {
            assert!(read(&BODY.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        assert!(read(b"[]").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_body_panics(body in "[\\[\\]{}\":,a-zA-Z0-9 \\\\-]{0,80}") {
            let _ = read(body.as_bytes());
        }

        #[test]
        fn no_damage_panics(at in 0..BODY.len(), bits in any::<u8>()) {
            let mut body = BODY.as_bytes().to_vec();
            body[at] ^= bits;
            if let Ok(instances) = read(&body) {
                prop_assert!(instances.len() <= 1);
            }
        }
    }
}
