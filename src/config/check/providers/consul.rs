//! The cluster that all `consul` sources ask, and this process as a service in it.

use std::{net::IpAddr, path::Path, time::Duration};

use discovery::provider::consul::{Address, FEWEST_CONNECTIONS, Scope, Settings, Tls};

use super::allow;
use crate::config::{
    ConsulProvider, Register,
    check::process::file_in,
    group::{Each, OneOrEach, refuse_twins},
    leaf,
    problem::shown,
    section::{Object, Section},
    shape::Shape,
};

pub(super) fn consul(consul: &mut Section<'_>, folder: &Path) -> Option<ConsulProvider> {
    let addresses = "Agents or servers; the next one is asked when one fails.";
    let addresses = consul.or("address", addresses, &agents(), ADDRESS);
    refuse_twins(
        consul.notes(),
        &addresses,
        "is the same agent as",
        Address::to_string,
    );
    let token = "The file that holds the ACL token; relative to this file.";
    let token_file = consul.optional("token_file", token, &file_in(folder));
    let files = |tls: &mut Section<'_>| self::tls(tls, folder);
    let tls = consul.section("tls", "For https addresses.", "`{ ca: consul-ca.pem }`", files);
    let named =
        |section: &mut Section<'_>, key, doc| section.optional(key, doc, &name("a name such as `dc1`"));
    let scope = Scope {
        datacenter: named(consul, "datacenter", "The datacenter; absent: the agent's."),
        namespace: named(consul, "namespace", "The namespace; Enterprise only."),
        partition: named(consul, "partition", "The admin partition; Enterprise only."),
    };
    let stale = "How long ago the server that answers may have heard of its leader.";
    let stale_limit = consul.or(
        "stale_limit",
        stale,
        &leaf::duration(MIN_STALE..=MAX_STALE),
        STALE,
    );
    let connections = "Connections at once to an agent that speaks HTTP/1 only, as all do without TLS.";
    let range = FEWEST_CONNECTIONS..=MAX_CONNECTIONS;
    let connections = consul.or("connections", connections, &leaf::whole(range), CONNECTIONS);
    let allow = allow(consul);
    let register = "This process as a service in Consul, with a check; absent: it is none.";
    let register = consul.optional(
        "register",
        register,
        &Object::new("`{ service: longhaul }`", self::register),
    );

    let addresses: Vec<Address> = addresses.into_iter().map(|address| address.value).collect();
    let encrypted = |address: &Address| matches!(address, Address::Tcp { tls: true, .. });
    if consul.has("tls") && !addresses.iter().any(encrypted) {
        consul.refuse(
            "tls",
            "means nothing without an `https://` address; write one, or remove it",
        );
    }
    let first = addresses.first()?.clone();
    Some(ConsulProvider {
        agent: Settings {
            addresses,
            token_file,
            tls,
            scope,
            stale_limit,
            connections,
            ..Settings::of_agent(first)
        },
        allow,
        register,
    })
}

fn agents() -> impl Shape<Value = Vec<crate::config::shape::Located<Address>>> {
    let agent = leaf::text("a URL such as `http://127.0.0.1:8500`", |text| {
        text.parse::<Address>()
            .map_err(|error| format!("{} {error}", shown(text)))
    });
    OneOrEach(Each {
        item: agent,
        some: true,
        wants: "a URL such as `http://127.0.0.1:8500`, or a list of them",
    })
}

fn tls(tls: &mut Section<'_>, folder: &Path) -> Option<Tls> {
    let file = || file_in(folder);
    let ca = "Who may have signed the agent's certificate; absent: whom the system trusts.";
    let ca = tls.optional("ca", ca, &file());
    let certificate = tls.optional(
        "certificate",
        "The own certificate, for an agent that asks for one.",
        &file(),
    );
    let key = tls.optional("key", "The key of the own certificate.", &file());
    let server = "The name in the agent's certificate, where it is not the one in its address.";
    let server_name = tls.optional("server_name", server, &name("a name such as `server.dc1.consul`"));
    for (there, missing) in [("certificate", "key"), ("key", "certificate")] {
        if tls.has(there) && !tls.has(missing) {
            tls.refuse(there, format!("stands without `{missing}`; write both"));
        }
    }
    Some(Tls {
        ca,
        own: certificate.zip(key),
        server_name,
    })
}

fn register(register: &mut Section<'_>) -> Option<Register> {
    let wants = "a name such as `longhaul`";
    let service = register.or("service", "The name of the service.", &name(wants), SERVICE);
    let id = "Which of its instances this is; absent: the name, the machine and the port.";
    let id = register.optional("id", id, &name(wants));
    let address = "Where clients connect; absent: where the first listener is.";
    let address = register.optional(
        "address",
        address,
        &leaf::text("an IP address such as `10.0.0.1`", |text| {
            let found = text.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified());
            found.ok_or_else(|| {
                format!(
                    "{} is no address of one machine; write one such as `10.0.0.1`",
                    shown(text)
                )
            })
        }),
    );
    let port = "Where clients connect; absent: that of the first listener.";
    let port = register.optional("port", port, &leaf::whole(1..=65_535));
    let tags = Each {
        item: name("a tag such as `ws`"),
        some: false,
        wants: "a list such as `[ws]`",
    };
    let tags = register.or("tags", "For whoever looks for it.", &tags, TAGS);
    let check = "A URL that answers 200 while all is well; absent: /readyz of the admin address.";
    let check = register.optional(
        "check",
        check,
        &leaf::text("a URL such as `http://10.0.0.1:9901/readyz`", |text| {
            let url = text.starts_with("http://") || text.starts_with("https://");
            let whole = url && text.bytes().all(|byte| byte.is_ascii_graphic());
            whole
                .then(|| Box::from(text))
                .ok_or_else(|| format!("{} is no URL; write one with http://", shown(text)))
        }),
    );
    Some(Register {
        service,
        id,
        address,
        port: port.and_then(|port| u16::try_from(port).ok()),
        tags: tags.into_iter().map(|tag| tag.value).collect(),
        check,
    })
}

/// A word of Consul's: anything on one line.
pub(in crate::config::check) fn name(wants: &'static str) -> impl Shape<Value = Box<str>> {
    leaf::text(wants, move |text| {
        if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
            return Err(format!(
                "{} is empty, too long or not one line; write {wants}",
                shown(text)
            ));
        }
        Ok(Box::from(text))
    })
}

/// The agent that Consul wants on every machine.
const ADDRESS: &str = "http://127.0.0.1:8500";
/// An election takes some seconds; a server that heard nothing for this long is cut off from its own.
const STALE: &str = "30s";
/// Below the time of an election every one would send all reads to the new leader.
const MIN_STALE: Duration = Duration::from_secs(1);
/// Older than this nobody would call it known.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);
/// Half of what an agent takes from one client address by default: two routers of one machine fit.
const CONNECTIONS: &str = "100";
/// More files than a process has.
const MAX_CONNECTIONS: usize = 100_000;
/// What operators look for.
const SERVICE: &str = "longhaul";
const TAGS: &str = "[]";
/// Consul's DNS takes no longer ones.
const MAX_NAME: usize = 255;
