//! A `dns` source: the addresses of a name, or what its SRV records lead to.

use std::net::IpAddr;

use discovery::provider::dns::{Question, Settings};

use crate::config::{check::address, leaf, problem::shown, section::Section, shape::Shape};

pub(super) fn dns(dns: &mut Section<'_>) -> Option<Settings> {
    let name = "The name whose A and AAAA records are endpoints.";
    let name = dns.optional("name", name, &host("a name such as `chat.internal`"));
    let port = "The port of each address of the name.";
    let port = dns.optional("port", port, &leaf::whole(1..=65_535));
    let srv = "The name whose SRV records are endpoints.";
    let srv = dns.optional("srv", srv, &host("a name such as `_ws._tcp.chat.internal`"));
    let server = "The name server that is asked; absent: those of the system.";
    let server = dns.optional("server", server, &address::to_dial(|address| address));
    match (dns.has("name"), dns.has("srv")) {
        (false, false) => dns.refuse(
            "name",
            "is missing; write a name such as `chat.internal`, or `srv`",
        ),
        (true, true) => dns.refuse("srv", "stands beside `name`; write one of them"),
        (true, false) if !dns.has("port") => {
            dns.refuse("port", "is missing; write the port that the endpoints listen on");
        }
        (false, true) if dns.has("port") => {
            dns.refuse("port", "means nothing here: SRV records have ports; remove it");
        }
        _ => {}
    }
    let question = match (name, srv) {
        (Some(name), None) => Question::Addresses {
            name,
            port: u16::try_from(port?).ok()?,
        },
        (None, Some(name)) => Question::Srv(name),
        _ => return None,
    };
    Some(Settings {
        server,
        ..Settings::new(question)
    })
}

fn host(wants: &'static str) -> impl Shape<Value = String> {
    leaf::text(wants, move |text| {
        if text.parse::<IpAddr>().is_ok() {
            let text = shown(text);
            return Err(format!(
                "{text} is an address; write it with its port under `static`"
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(plain);
        // The dot at the end says that no search domain is to be added.
        let labels = text.strip_suffix('.').unwrap_or(text);
        if text.len() > MAX_NAME || !labels.split('.').all(label) {
            return Err(format!("{} is no host name; write {wants}", shown(text)));
        }
        Ok(text.to_owned())
    })
}

/// What fits into a question.
const MAX_NAME: usize = 253;
