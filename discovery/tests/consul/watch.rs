//! What changes in Consul is published, as what it is.

use std::time::Duration;

use discovery::{
    Answer, Condition, State,
    provider::consul::{AddressOf, Agent, Wanted},
};
use serde_json::{Value, json};

use crate::{
    Watch,
    server::{Server, eventually},
};

#[tokio::test]
async fn instances_come_and_go_with_and_without_a_check() {
    let server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "chat");
    watch.until_nothing().await;

    server.register("chat", "bare", 9001).await;
    let endpoints = watch.until_ports(&[9001]).await;
    assert_eq!(endpoints[0].identity.as_str(), "consul:dc1/alone/bare");
    assert_eq!(endpoints[0].address.to_string(), "10.0.0.1:9001");
    assert_eq!(
        (endpoints[0].state, endpoints[0].weight.get()),
        (State::Active, 1)
    );

    let checked = json!({ "Name": "chat", "ID": "checked", "Address": "10.0.0.1", "Port": 9002,
                          "Check": { "TTL": "1h", "Status": "passing" } });
    server.put("/v1/agent/service/register", checked).await;
    watch.until_ports(&[9001, 9002]).await;

    server.deregister("bare").await;
    watch.until_ports(&[9002]).await;
    server.deregister("checked").await;
    watch.until_nothing().await;
}

#[tokio::test]
async fn an_instance_that_has_no_check_and_no_node_agent_is_followed_too() {
    let server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "chat");
    let of_node = |port: u16| {
        json!({ "Node": "outside", "Address": "192.0.2.7", "SkipNodeUpdate": false,
                "Service": { "ID": "chat", "Service": "chat", "Port": port } })
    };
    server.put("/v1/catalog/register", of_node(9001)).await;
    let endpoints = watch.until_ports(&[9001]).await;
    assert_eq!(endpoints[0].address.to_string(), "192.0.2.7:9001");
    assert_eq!(
        (endpoints[0].state, endpoints[0].weight.get()),
        (State::Active, 1)
    );
    server.put("/v1/catalog/register", of_node(9002)).await;
    watch.until_ports(&[9002]).await;
    server
        .put(
            "/v1/catalog/deregister",
            json!({ "Node": "outside", "ServiceID": "chat" }),
        )
        .await;
    watch.until_nothing().await;
}

#[tokio::test]
async fn checks_weights_and_maintenance_become_states() {
    let server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "chat");
    let weighing = |passing: u16, warning: u16| {
        json!({ "Name": "chat", "ID": "a", "Address": "10.0.0.1", "Port": 9001,
                "Weights": { "Passing": passing, "Warning": warning },
                "Check": { "CheckID": "a", "TTL": "1h", "Status": "passing" } })
    };
    server.put("/v1/agent/service/register", weighing(10, 3)).await;
    watch.until_state(State::Active, 10).await;
    server.check("warn", "a").await;
    watch.until_state(State::Active, 3).await;
    server.check("fail", "a").await;
    watch.until_state(State::Unhealthy, 1).await;
    server.check("pass", "a").await;
    watch.until_state(State::Active, 10).await;

    server.put("/v1/agent/service/register", weighing(20, 0)).await;
    server.check("pass", "a").await;
    watch.until_state(State::Active, 20).await;
    server.check("warn", "a").await;
    watch.until_state(State::Draining, 1).await;
    server.check("pass", "a").await;
    watch.until_state(State::Active, 20).await;

    server
        .put("/v1/agent/service/maintenance/a?enable=true", Value::Null)
        .await;
    watch.until_state(State::Draining, 1).await;
    server
        .put("/v1/agent/service/maintenance/a?enable=false", Value::Null)
        .await;
    watch.until_state(State::Active, 20).await;
    server.put("/v1/agent/maintenance?enable=true", Value::Null).await;
    watch.until_state(State::Draining, 1).await;
    server
        .put("/v1/agent/maintenance?enable=false", Value::Null)
        .await;
    watch.until_state(State::Active, 20).await;
}

#[tokio::test]
async fn one_id_on_two_nodes_is_two_endpoints() {
    let server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "chat");
    for (node, address) in [("n1", "192.0.2.1"), ("n2", "192.0.2.2")] {
        let body = json!({ "Node": node, "Address": address,
                           "Service": { "ID": "chat", "Service": "chat", "Port": 9001 } });
        server.put("/v1/catalog/register", body).await;
    }
    let endpoints = watch.until_ports(&[9001, 9001]).await;
    let identities: Vec<_> = endpoints
        .iter()
        .map(|endpoint| endpoint.identity.as_str())
        .collect();
    assert_eq!(identities, ["consul:dc1/n1/chat", "consul:dc1/n2/chat"]);
}

#[tokio::test]
async fn the_wanted_address_is_dialled() {
    let server = Server::alone().await;
    let body = json!({
        "Node": "n1", "Address": "192.0.2.1", "TaggedAddresses": { "lan": "192.0.2.1", "wan": "198.51.100.1" },
        "Service": { "ID": "chat", "Service": "chat", "Port": 9001, "Address": "10.0.0.1", "TaggedAddresses": {
            "lan_ipv6": { "Address": "fd00::1", "Port": 9006 }, "lan": { "Address": "10.0.0.2", "Port": 9002 } } },
    });
    server.put("/v1/catalog/register", body).await;
    for (address, dialled) in [
        (AddressOf::Service, "10.0.0.1:9001"),
        (AddressOf::Node, "192.0.2.1:9001"),
        (AddressOf::Lan, "10.0.0.2:9002"),
        (AddressOf::LanIpv6, "[fd00::1]:9006"),
        (AddressOf::Wan, "198.51.100.1:9001"),
    ] {
        let wanted = Wanted {
            address,
            ..Wanted::service("chat")
        };
        let mut watch = Watch::of(Agent::new(server.settings()), wanted);
        let endpoints = watch
            .until("an endpoint", |answer| !super::ports(answer).is_empty())
            .await;
        assert_eq!(endpoints[0].address.to_string(), dialled, "{address:?}");
    }
    // An agent adds those of a family itself, for a service that registers with an address.
    server.register("rooms", "r", 9003).await;
    let wanted = Wanted {
        address: AddressOf::WanIpv4,
        ..Wanted::service("rooms")
    };
    Watch::of(Agent::new(server.settings()), wanted)
        .until_ports(&[9003])
        .await;
}

#[tokio::test]
async fn tags_and_filters_choose_instances() {
    let server = Server::alone().await;
    for (id, port, tags) in [
        ("a", 9001, json!(["ws", "it's \"a\""])),
        ("b", 9002, json!(["ws"])),
        ("c", 9003, json!([])),
    ] {
        let body = json!({ "Name": "chat", "ID": id, "Address": "10.0.0.1", "Port": port, "Tags": tags });
        server.put("/v1/agent/service/register", body).await;
    }
    let agent = Agent::new(server.settings());
    let wanted = |tags: &[&str], filter: Option<&str>| Wanted {
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        filter: filter.map(Into::into),
        ..Wanted::service("chat")
    };
    for (wanted, ports) in [
        (wanted(&["ws"], None), &[9001, 9002][..]),
        (wanted(&["ws", "it's \"a\""], None), &[9001]),
        (wanted(&[], Some("Service.Port != 9001")), &[9002, 9003]),
        (
            wanted(&["ws"], Some("Service.ID == c or Service.ID == b")),
            &[9002],
        ),
    ] {
        Watch::of(agent.clone(), wanted).until_ports(ports).await;
    }
    for (filter, says) in [("Service.Prot == 1", "Prot"), ("Service.Port > 1", "expression")] {
        let mut broken = Watch::of(agent.clone(), wanted(&[], Some(filter)));
        let error = broken.until_condition(Condition::Refused).await;
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_wait_without_a_change_confirms_what_is_known() {
    let server = Server::alone().await;
    server.register("chat", "a", 9001).await;
    let mut settings = server.settings();
    settings.wait = Duration::from_millis(300);
    let mut watch = Watch::on(settings, "chat");
    watch.until_ports(&[9001]).await;
    let mut oldest = Duration::ZERO;
    eventually("confirmation", async || {
        let age = watch.reader.status().age?;
        let younger = age < oldest;
        oldest = oldest.max(age);
        younger.then_some(())
    })
    .await;
    assert!(!watch.reader.has_changed(), "a confirmation is no news");
}

#[tokio::test]
async fn a_namespace_is_only_sent_when_set_and_refused_by_the_community_edition() {
    let server = Server::alone().await;
    let mut settings = server.settings();
    settings.scope.datacenter = Some("dc1".into());
    server.register("chat", "a", 9001).await;
    Watch::on(settings.clone(), "chat").until_ports(&[9001]).await;
    settings.scope.namespace = Some("team".into());
    let error = Watch::on(settings, "chat")
        .until_condition(Condition::Refused)
        .await;
    assert!(
        error.contains("Namespaces are a Consul Enterprise feature"),
        "{error}"
    );
}

#[tokio::test]
async fn a_restarted_agent_that_has_lost_everything_is_followed_from_its_new_beginning() {
    let mut server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "chat");
    for port in 9001..9020 {
        server.register("chat", &format!("a{port}"), port).await;
    }
    let all: Vec<u16> = (9001..9020).collect();
    watch.until_ports(&all).await;
    server.kill().await;
    watch.until_condition(Condition::Failing).await;
    assert_eq!(
        watch.reader.answer().as_ref().map(super::ports),
        Some(all),
        "the last known set stays"
    );
    server.restart(&["-dev"]).await;
    server.lead().await;
    watch.until_nothing().await;
    server.register("chat", "b", 9100).await;
    watch.until_ports(&[9100]).await;
    assert_eq!(watch.reader.status().condition, Condition::Answering);
}

#[tokio::test]
async fn a_restored_snapshot_takes_the_index_back_and_is_believed() {
    let server = Server::alone().await;
    let mut watch = Watch::on(server.settings(), "chat");
    let register = async |id: &str, port: u16| {
        let body = json!({ "Node": "n", "Address": "192.0.2.1", "Service": { "ID": id, "Service": "chat", "Port": port } });
        server.put("/v1/catalog/register", body).await;
    };
    register("a", 9001).await;
    watch.until_ports(&[9001]).await;
    let file = server.folder.path().join("snapshot");
    let consul = async |verb: &str| {
        let ran = tokio::process::Command::new(crate::server::program())
            .args(["snapshot", verb, &format!("-http-addr={}", server.http)])
            .arg(&file)
            .output();
        let ran = ran.await.unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    consul("save").await;
    for port in 9002..9030 {
        register(&format!("a{port}"), port).await;
    }
    watch
        .until("all", |answer| super::ports(answer).len() == 29)
        .await;
    consul("restore").await;
    watch.until_ports(&[9001]).await;
    register("b", 9100).await;
    watch.until_ports(&[9001, 9100]).await;
}

#[tokio::test]
async fn a_storm_of_changes_ends_in_the_right_state() {
    let server = Server::alone().await;
    let body = json!({ "Name": "chat", "ID": "a", "Address": "10.0.0.1", "Port": 9001,
                       "Check": { "CheckID": "a", "TTL": "1h", "Status": "passing" } });
    server.put("/v1/agent/service/register", body).await;
    let mut watch = Watch::on(server.settings(), "chat");
    watch.until_state(State::Active, 1).await;
    for turn in 0..100 {
        server
            .check(if turn % 2 == 0 { "fail" } else { "pass" }, "a")
            .await;
    }
    server.check("warn", "a").await;
    server.check("fail", "a").await;
    watch.until_state(State::Unhealthy, 1).await;
    server.check("pass", "a").await;
    watch.until_state(State::Active, 1).await;
    assert!(matches!(watch.reader.answer(), Some(Answer::Endpoints(_))));
}
