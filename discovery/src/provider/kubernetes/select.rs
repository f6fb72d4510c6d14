//! What the slices of a service say together: its endpoints on the wanted port.
//!
//! In: all slices of the service, and where this process runs. Out: an [`Answer`], and a complaint if the slices hold something that cannot be used.
//!
//! - A pod that is in several slices, because it is being moved between them or has addresses of both families, is one
//!   endpoint: of two families IPv4 holds, of several slices the one that was written last.
//! - Where no pod is active, those that terminate and still serve are: with them a session begins, with nobody it fails.
//! - A slice without endpoints says that the service is scaled to zero, and that is believed. No slice at all says
//!   nothing, and neither do endpoints of which none has the wanted port.
//! - Hints are used as Kubernetes itself uses them ([`hints`]): those that they give to others are far.
//!
//! Pure, as [`slices`](super::slices).

mod hints;

use std::{cmp::Reverse, fmt, net::SocketAddr, num::NonZeroU16, sync::Arc};

pub use self::hints::Location;

use super::{
    slice::{Entry, Hints, Port, Slice},
    slices::Group,
};
use crate::{Answer, Endpoint, Identity, Snapshot, State};

/// Which port of a service is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortChoice {
    /// The only one that its slices have.
    Only,
    /// The one of this name in the Service. Its number is the pod's and may differ from slice to slice.
    Named(Arc<str>),
    /// The pods' port of this number; also where the slices leave the number open, as those of a headless service without
    /// ports do.
    Number(NonZeroU16),
}

/// What the slices of a service say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) answer: Answer,
    /// What is in the slices and could not be used, for the log.
    pub(super) complaint: Option<String>,
}

/// An endpoint and who is asked to use it.
type Found<'a> = (Endpoint, &'a Hints);

/// The endpoints of a service on the wanted port, as they are from `here`.
pub(super) fn select(group: &Group, port: &PortChoice, here: &Location) -> Selected {
    let mut slices: Vec<&Slice> = group.values().map(|slice| &**slice).collect();
    // The best first: of equal identities the first holds.
    slices.sort_by_key(|slice| Reverse((is_ipv4(slice), slice.revision)));
    let mut found: Vec<Found<'_>> = Vec::new();
    let mut refused = None;
    let mut unusable = 0;
    for slice in slices {
        unusable += slice.unusable;
        if slice.entries.is_empty() {
            continue;
        }
        match number(&slice.ports, port) {
            Ok(number) => found.extend(
                slice
                    .entries
                    .iter()
                    .map(|entry| (endpoint(entry, number), &entry.hints)),
            ),
            Err(why) => refused = Some(why),
        }
    }
    let complaint = refused.or_else(|| {
        (unusable > 0)
            .then(|| format!("{unusable} endpoints have no IP address; host names are not looked up"))
    });
    let complaint = complaint.or_else(|| {
        group
            .is_empty()
            .then(|| "it has no EndpointSlice; is there a Service of this name in this namespace?".to_owned())
    });
    let doubtful = complaint.is_some();
    let answer = if found.is_empty() && doubtful {
        Answer::Nothing
    } else {
        Answer::Endpoints(snapshot(found, here))
    };
    Selected { answer, complaint }
}

fn is_ipv4(slice: &Slice) -> bool {
    slice.entries.first().is_some_and(|entry| entry.ip.is_ipv4())
}

fn endpoint(entry: &Entry, port: NonZeroU16) -> Endpoint {
    let address = SocketAddr::new(entry.ip, port.get());
    Endpoint {
        identity: entry.pod.clone().unwrap_or_else(|| Identity::of_address(address)),
        state: entry.state,
        zone: entry.zone.clone(),
        ..Endpoint::at(address)
    }
}

fn snapshot(mut found: Vec<Found<'_>>, here: &Location) -> Snapshot {
    // Stable, so that the first of equals stays the first.
    found.sort_by(|(a, _), (b, _)| a.identity.cmp(&b.identity));
    found.dedup_by(|(later, _), (kept, _)| later.identity == kept.identity);
    let active = found
        .iter()
        .filter(|(endpoint, _)| endpoint.state == State::Active);
    let active: Vec<&Hints> = active.map(|(_, hints)| *hints).collect();
    // Hints are for those that are ready: among those that terminate there is no choice.
    let (last_resort, rule) = (active.is_empty(), here.rule(&active));
    for (endpoint, hints) in &mut found {
        match endpoint.state {
            State::Active => endpoint.far = rule.is_some_and(|rule| !rule.is_for_us(hints)),
            State::Draining if last_resort => endpoint.state = State::Active,
            State::Draining | State::Unhealthy => {}
        }
    }
    found.into_iter().map(|(endpoint, _)| endpoint).collect()
}

/// The number of the wanted port in a slice with these ports; else what the operator should know.
fn number(ports: &[Port], wanted: &PortChoice) -> Result<NonZeroU16, String> {
    match wanted {
        PortChoice::Number(number) => {
            let open = ports.is_empty() || ports.iter().any(|port| port.number.is_none());
            let there = open || ports.iter().any(|port| port.number == Some(*number));
            there.then_some(*number).ok_or_else(|| {
                let offered = Offered(ports);
                format!("the pods have no port {number}; write one of {offered} (a Service's own number is not the pods')")
            })
        }
        PortChoice::Named(name) => {
            let named = ports.iter().find(|port| *port.name == **name);
            let port = named.ok_or_else(|| {
                format!(
                    "the service has no port `{name}`; write one of {}",
                    Offered(ports)
                )
            })?;
            port.number.ok_or_else(|| {
                format!("the port `{name}` has no number; write the number instead of the name")
            })
        }
        PortChoice::Only => match ports {
            [
                Port {
                    number: Some(number), ..
                },
            ] => Ok(*number),
            [] | [_] => {
                Err("the service does not say which port its pods listen on; write `port`".to_owned())
            }
            several => Err(format!(
                "the service has several ports; write one of {} as `port`",
                Offered(several)
            )),
        },
    }
}

/// The ports of a slice as an operator writes them.
struct Offered<'a>(&'a [Port]);

impl fmt::Display for Offered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, port) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match (&*port.name, port.number) {
                ("", Some(number)) => write!(f, "{comma}`{number}`")?,
                ("", None) => write!(f, "{comma}any number")?,
                (name, _) => write!(f, "{comma}`{name}`")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
