//! What an instance in Consul is to a router: an endpoint, or the reason why it cannot be one.
//!
//! In: instances as Consul describes them. Out: endpoints with identity, address, weight, zone and state.
//!
//! | in Consul | state | why |
//! |---|---|---|
//! | all checks passing, or none at all | active, its weight for passing | |
//! | worst check warning | active, its weight for warning; draining if that is 0 | weights say what a warning is worth |
//! | maintenance, of the instance or its node | draining | an operator takes it out; what is tied to it may follow |
//! | worst check critical, or in a word unknown | unhealthy | it does not work; what is tied to it may be moved |
//!
//! An address must be an IP address: a name that is looked up later may have become another machine.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use super::{
    request::escape,
    settings::AddressOf,
    wire::{Check, Instance, Node, Service},
};
use crate::{Endpoint, Identity, State};

/// An instance that cannot be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) identity: Identity,
    pub(super) why: String,
}

/// The endpoint that an instance is.
pub(super) fn endpoint(instance: &Instance<'_>, wanted: AddressOf) -> Result<Endpoint, Unusable> {
    let identity = identity(&instance.node, &instance.service);
    let address = match address(instance, wanted) {
        Ok(address) => address,
        Err(why) => return Err(Unusable { identity, why }),
    };
    let (state, weight) = state(&instance.checks, &instance.service);
    Ok(Endpoint {
        identity,
        address,
        weight,
        state,
        zone: zone(instance),
        far: false,
    })
}

/// `consul:<dc>/<node>/<service id>`: an id is unique on its node only, and a node's name in its datacenter.
fn identity(node: &Node<'_>, service: &Service<'_>) -> Identity {
    let mut spelling = String::from("consul:");
    for part in [&node.datacenter, &node.name] {
        match part.contains(['/', '%']) {
            // Consul warns of such names and takes them; two must not become one.
            true => escape(part, &mut spelling),
            false => spelling.push_str(part),
        }
        spelling.push('/');
    }
    spelling.push_str(&service.id);
    Identity::from(&*spelling)
}

fn state(checks: &[Check<'_>], service: &Service<'_>) -> (State, NonZeroU32) {
    let maintained =
        |check: &Check<'_>| check.id == "_node_maintenance" || check.id.starts_with("_service_maintenance:");
    if checks.iter().any(maintained) {
        return (State::Draining, NonZeroU32::MIN);
    }
    if checks
        .iter()
        .any(|check| !matches!(&*check.status, "passing" | "warning"))
    {
        return (State::Unhealthy, NonZeroU32::MIN);
    }
    let weight = match checks.iter().any(|check| check.status == "warning") {
        true => service.weights.warning,
        false => service.weights.passing,
    };
    let weight = u32::try_from(weight.clamp(0, MOST)).expect("it was clamped to a range of u32");
    match NonZeroU32::new(weight) {
        Some(weight) => (State::Active, weight),
        // Weight 0 is how Consul says: none of the new ones.
        None => (State::Draining, NonZeroU32::MIN),
    }
}

fn zone(instance: &Instance<'_>) -> Option<Arc<str>> {
    let own = instance.service.locality.as_ref();
    let zone = &own.or(instance.node.locality.as_ref())?.zone;
    (!zone.is_empty()).then(|| (&**zone).into())
}

fn address(instance: &Instance<'_>, wanted: AddressOf) -> Result<SocketAddr, String> {
    let Instance { node, service, .. } = instance;
    let found = match tags(wanted) {
        [] if wanted == AddressOf::Service && !service.address.is_empty() => {
            Some((&*service.address, service.port))
        }
        [] => Some((&*node.address, service.port)),
        tags => tagged(instance, tags),
    };
    let Some((host, port)) = found else {
        return Err(format!("has no address tagged `{}`", tags(wanted).join("` or `")));
    };
    let ip: IpAddr = host.parse().map_err(|_| match host {
        "" => "has no address".to_owned(),
        name => format!("has the name {name:.100?} for an address; this provider looks no names up"),
    })?;
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(format!("has the address {ip}, which is no machine's"));
    }
    match u16::try_from(port) {
        Ok(port @ 1..) => Ok(SocketAddr::new(ip.to_canonical(), port)),
        _ => Err(format!("has the port {port}, which nobody listens on")),
    }
}

/// The service's own tagged address, else its node's with the service's port.
fn tagged<'i>(instance: &'i Instance<'_>, tags: &[&str]) -> Option<(&'i str, i64)> {
    let Instance { node, service, .. } = instance;
    let own = tags.iter().find_map(|tag| service.tagged_addresses.get(*tag));
    if let Some(own) = own {
        return Some((&own.address, if own.port == 0 { service.port } else { own.port }));
    }
    let of_node = tags.iter().find_map(|tag| node.tagged_addresses.get(*tag))?;
    Some((of_node, service.port))
}

/// Consul writes those of a family for every service that registers with an address.
fn tags(wanted: AddressOf) -> &'static [&'static str] {
    match wanted {
        AddressOf::Service | AddressOf::Node => &[],
        AddressOf::Lan => &["lan", "lan_ipv4", "lan_ipv6"],
        AddressOf::LanIpv4 => &["lan_ipv4"],
        AddressOf::LanIpv6 => &["lan_ipv6"],
        AddressOf::Wan => &["wan", "wan_ipv4", "wan_ipv6"],
        AddressOf::WanIpv4 => &["wan_ipv4"],
        AddressOf::WanIpv6 => &["wan_ipv6"],
    }
}

/// The most that Consul takes.
const MOST: i64 = 65_535;

#[cfg(test)]
mod tests;
