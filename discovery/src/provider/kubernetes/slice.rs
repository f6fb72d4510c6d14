//! One EndpointSlice: what the API server writes, and the little of it that is kept.
//!
//! In: the JSON of `discovery.k8s.io/v1` EndpointSlices. Out: a [`Slice`] of about 150 bytes per endpoint.
//!
//! - What is absent and what is `null` mean the same, as the API defines it: `ready` and `serving` are then true,
//!   `terminating` is false, a port's name is empty, its protocol TCP and its number "any".
//! - Labels, annotations, owners and managed fields are skipped while they are parsed, never held.
//! - What cannot be used (a host name, an address that is none) is left out and counted, not an error: one odd slice must
//!   not cost the others.
//!
//! Not here: which port a service wants, and what several slices mean together ([`select`](super::select)).

use std::{net::IpAddr, num::NonZeroU16, sync::Arc};

use serde::Deserialize;

use crate::{Identity, State};

/// The part of an EndpointSlice that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) name: Arc<str>,
    /// The service that it belongs to; `None` for a slice of nobody.
    pub(super) service: Option<Arc<str>>,
    /// Later writes have larger numbers; 0 if the server counts in another way.
    pub(super) revision: u64,
    pub(super) ports: Box<[Port]>,
    pub(super) entries: Box<[Entry]>,
    /// Endpoints that were left out because they have no address that can be dialled.
    pub(super) unusable: usize,
}

/// A port of all endpoints of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// Empty for a service's only port that has no name.
    pub(super) name: Box<str>,
    /// `None`: every port.
    pub(super) number: Option<NonZeroU16>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `None` for what is no pod: it is then known by its address and port.
    pub(super) pod: Option<Identity>,
    pub(super) ip: IpAddr,
    pub(super) state: State,
    /// Where it runs.
    pub(super) zone: Option<Arc<str>>,
    pub(super) hints: Hints,
}

/// Who is asked to use an endpoint; empty where nobody is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) zones: Box<[Arc<str>]>,
    pub(super) nodes: Box<[Arc<str>]>,
}

/// An EndpointSlice as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    metadata: Metadata,
    address_type: Option<String>,
    endpoints: Option<Vec<WireEndpoint>>,
    ports: Option<Vec<WirePort>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: Option<String>,
    labels: Option<Labels>,
}

#[derive(Debug, Deserialize)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name")]
    service: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<Conditions>,
    target_ref: Option<TargetRef>,
    zone: Option<String>,
    hints: Option<WireHints>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct TargetRef {
    kind: Option<String>,
    uid: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireHints {
    for_zones: Option<Vec<Named>>,
    for_nodes: Option<Vec<Named>>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct WirePort {
    name: Option<Box<str>>,
    port: Option<i32>,
    protocol: Option<String>,
}

/// Of a slice's few zones, one copy each.
#[derive(Debug, Default)]
struct Zones(Vec<Arc<str>>);

// === impl Slice ===

impl From<Wire> for Slice {
    fn from(wire: Wire) -> Self {
        let Metadata {
            name,
            resource_version,
            labels,
        } = wire.metadata;
        let endpoints = wire.endpoints.unwrap_or_default();
        let count = endpoints.len();
        // Host names are looked up by nobody: Kubernetes gives this type no meaning and advises against it.
        let by_address = wire.address_type.as_deref() != Some("FQDN");
        let mut zones = Zones::default();
        let usable = endpoints.into_iter().filter(|_| by_address);
        let entries: Box<[Entry]> = usable
            .filter_map(|endpoint| entry(endpoint, &mut zones))
            .collect();
        Self {
            name: name.into(),
            service: labels.and_then(|labels| labels.service).map(Into::into),
            revision: resource_version
                .and_then(|version| version.parse().ok())
                .unwrap_or_default(),
            ports: wire.ports.into_iter().flatten().filter_map(port).collect(),
            unusable: count - entries.len(),
            entries,
        }
    }
}

fn entry(endpoint: WireEndpoint, zones: &mut Zones) -> Option<Entry> {
    // Only the first address has a meaning.
    let ip: IpAddr = endpoint.addresses?.first()?.parse().ok()?;
    let pod = endpoint.target_ref.and_then(|target| match target {
        TargetRef {
            kind: Some(kind),
            uid: Some(uid),
        } if kind == "Pod" && !uid.is_empty() => Some(Identity::from(format!("pod:{uid}").as_str())),
        _ => None,
    });
    let own = endpoint.zone.filter(|zone| !zone.is_empty());
    Some(Entry {
        pod,
        ip: ip.to_canonical(),
        state: state(endpoint.conditions.unwrap_or_default()),
        zone: own.map(|zone| zones.one(&zone)),
        hints: endpoint
            .hints
            .map(|hints| self::hints(hints, zones))
            .unwrap_or_default(),
    })
}

fn hints(hints: WireHints, zones: &mut Zones) -> Hints {
    let for_zones = hints.for_zones.into_iter().flatten();
    let for_nodes = hints.for_nodes.into_iter().flatten();
    Hints {
        zones: for_zones.map(|zone| zones.one(&zone.name)).collect(),
        // Most endpoints name another node, so a search for a copy would find none.
        nodes: for_nodes.map(|node| node.name.into()).collect(),
    }
}

/// What the conditions say. An endpoint that terminates is never active, also where a service publishes endpoints that
/// are not ready: it takes its sessions with it soon.
fn state(conditions: Conditions) -> State {
    let ready = conditions.ready.unwrap_or(true);
    let serving = conditions.serving.unwrap_or(true);
    let terminating = conditions.terminating.unwrap_or(false);
    match (terminating, ready, serving) {
        (false, true, _) => State::Active,
        (true, ready, serving) if ready || serving => State::Draining,
        _ => State::Unhealthy,
    }
}

fn port(port: WirePort) -> Option<Port> {
    if port.protocol.is_some_and(|protocol| protocol != "TCP") {
        return None;
    }
    let number = match port.port {
        None => None,
        // Zero and what is out of range are no ports, and "every port" is something else.
        Some(number) => Some(u16::try_from(number).ok().and_then(NonZeroU16::new)?),
    };
    Some(Port {
        name: port.name.unwrap_or_default(),
        number,
    })
}

// === impl Zones ===

impl Zones {
    fn one(&mut self, zone: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| ***known == *zone) {
            return Arc::clone(known);
        }
        let zone: Arc<str> = zone.into();
        self.0.push(Arc::clone(&zone));
        zone
    }
}

#[cfg(test)]
mod tests;
