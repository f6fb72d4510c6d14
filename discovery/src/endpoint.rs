//! One address of a service, and what makes it the same endpoint as before.

use std::{fmt, net::SocketAddr, num::NonZeroU32, sync::Arc};

/// What an endpoint is called everywhere: in counts, affinity tags, the cache and between replicas.
///
/// `pod:<uid>`, `consul:<dc>/<node>/<service id>`, else `addr:<ip:port>`. The same address under another identity is
/// another endpoint: a pod that took over the address of a deleted one inherits none of its sessions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<str>);

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What makes it the same endpoint as before.
    pub identity: Identity,
    /// Where it is dialled.
    pub address: SocketAddr,
    /// Its share of sessions against the others'.
    pub weight: NonZeroU32,
    /// What its registry says of it.
    pub state: State,
    /// Where it runs, in its registry's own words; `None` where the registry does not say.
    pub zone: Option<Arc<str>>,
    /// Its registry asks others to use it: it takes new sessions only where no endpoint that is not far can.
    pub far: bool,
}

/// What a registry says of an endpoint; "gone" is not a state here but absence from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Takes new sessions.
    Active,
    /// Takes no new sessions; requests that affinity ties to it still follow.
    Draining,
    /// As draining, and tied requests may be moved.
    Unhealthy,
}

// === impl Identity ===

impl Identity {
    /// The identity of an endpoint that has nothing better than its address.
    pub fn of_address(address: SocketAddr) -> Self {
        Self(format!("addr:{address}").into())
    }

    /// Its one spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Identity {
    fn from(spelling: &str) -> Self {
        Self(spelling.into())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// An active endpoint of weight 1 that is known by its address.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            identity: Identity::of_address(address),
            address,
            weight: NonZeroU32::MIN,
            state: State::Active,
            zone: None,
            far: false,
        }
    }
}
