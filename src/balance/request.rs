//! What a pick is asked for.

use discovery::Identity;

/// One request for an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    tried: Tried,
    bond: Bond,
}

/// What binds a request to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bond {
    /// Nothing: the service's strategy picks.
    #[default]
    None,
    /// This endpoint or none: no other knows what the request is about.
    Only(Identity),
    /// This endpoint, or any other if that one is unhealthy, gone or was tried.
    Rather(Identity),
    /// The endpoint that this hash leads to, or one near it that holds fewer sessions.
    Hash(u64),
}

/// The endpoints that one handshake has already tried in vain. Empty it owns no memory.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    identities: Vec<Identity>,
}

// === impl Pick ===

impl Pick {
    /// Any endpoint will do.
    pub fn new() -> Self {
        Self::default()
    }

    /// Any endpoint but those that were tried.
    pub fn except(tried: Tried) -> Self {
        Self {
            tried,
            bond: Bond::None,
        }
    }

    /// The same, bound to an endpoint.
    pub fn bound(self, bond: Bond) -> Self {
        Self { bond, ..self }
    }

    pub(super) fn tried(&self) -> &[Identity] {
        &self.tried.identities
    }

    pub(super) fn bond(&self) -> &Bond {
        &self.bond
    }
}

// === impl Tried ===

impl Tried {
    /// Nothing tried yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves an endpoint out of the picks to come.
    pub fn add(&mut self, identity: &Identity) {
        if !self.identities.contains(identity) {
            self.identities.push(identity.clone());
        }
    }

    /// How many different endpoints were tried.
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether none was tried.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }
}
