//! The keys of Consul, and what they are when they are left out.

use discovery::provider::consul::{AddressOf, CONNECTIONS, STALE_LIMIT};

use super::*;

const SERVICE: &str = "discovery: { static: [127.0.0.1:9001] }";

#[test]
fn a_service_in_consul_needs_no_more_than_its_name() {
    let config = accepted(&LEAST.replace(SERVICE, "discovery: { consul: { service: chat } }"));
    let Discovery::Consul(wanted) = &config.services["chat"].discovery[0].discovery else {
        panic!("{config:?}")
    };
    assert_eq!(*wanted, Wanted::service("chat"));
    let ConsulProvider {
        agent,
        allow,
        register,
    } = config.providers.consul;
    assert_eq!(agent.addresses[0].to_string(), "http://127.0.0.1:8500");
    assert_eq!((agent.stale_limit, agent.connections), (STALE_LIMIT, CONNECTIONS));
    assert!(
        agent.token_file.is_none() && agent.scope == Default::default() && agent.tls == Default::default()
    );
    assert!(allow.is_empty() && register.is_none());
}

#[test]
fn every_key_of_consul_reaches_the_config() {
    let config = accepted(EVERYTHING);
    let ConsulProvider {
        agent,
        allow,
        register,
    } = config.providers.consul;
    let addresses: Vec<_> = agent.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(
        addresses,
        ["https://consul.internal:8501", "unix:///run/consul.sock"]
    );
    assert_eq!(agent.token_file.as_deref(), Some(Path::new("consul.token")));
    assert_eq!(agent.tls.ca.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(agent.tls.own, Some(("own.pem".into(), "own.key".into())));
    assert_eq!(agent.tls.server_name.as_deref(), Some("server.dc2.consul"));
    let scope = [
        agent.scope.datacenter,
        agent.scope.namespace,
        agent.scope.partition,
    ];
    assert_eq!(
        scope.map(Option::unwrap).map(String::from),
        ["dc2", "team", "east"]
    );
    assert_eq!(
        (agent.stale_limit, agent.connections),
        (Duration::from_secs(10), 50)
    );
    assert_eq!(allow[0].to_string(), "10.0.0.0/8");
    let register = register.unwrap();
    assert_eq!(
        (&*register.service, register.id.as_deref()),
        ("gateway", Some("gateway-1"))
    );
    assert_eq!(register.address, Some("192.0.2.1".parse().unwrap()));
    assert_eq!((register.port, &*register.tags), (Some(443), &["ws".into()][..]));
    assert_eq!(register.check.as_deref(), Some("http://192.0.2.1:9901/readyz"));

    let Discovery::Consul(wanted) = &config.services["rooms"].discovery[0].discovery else {
        panic!("rooms")
    };
    assert_eq!((&*wanted.service, wanted.tags.len()), ("rooms", 2));
    assert_eq!(wanted.filter.as_deref(), Some("Service.Meta.v == 2"));
    assert_eq!(wanted.address, AddressOf::WanIpv4);
}

#[test]
fn a_registration_is_checked_at_the_admin_address_unless_told_otherwise() {
    let registering =
        format!("{LEAST}admin: {{ address: 127.0.0.1:0 }}\nproviders: {{ consul: {{ register: {{}} }} }}\n");
    let register = accepted(&registering).providers.consul.register.unwrap();
    assert_eq!((&*register.service, register.check), ("longhaul", None));
}
