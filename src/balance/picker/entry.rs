//! One endpoint in the picker's table, and how it takes part in picks.
//!
//! In: what discovery says of it, its sessions, its ejection. Out: its [`Standing`], from which the picker's counts and
//! candidates follow.

use std::{num::NonZeroUsize, sync::Arc};

use discovery::{Endpoint, State};
use tokio::time::Instant;

use crate::balance::{EndpointStatus, ejection::Ejection};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) sessions: usize,
    pub(super) ejection: Ejection,
    /// Since when it is in its state.
    pub(super) since: Instant,
    /// Discovery lists it; if not, it is gone.
    pub(super) listed: bool,
    /// What the picker's counts and strategies hold of it.
    pub(super) standing: Standing,
}

/// How an endpoint takes part in picks. Only an active one is suspect: it has not worked since it was last ejected. Only
/// an active one that is neither suspect nor far is near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) active: bool,
    pub(super) suspect: bool,
    pub(super) near: bool,
    pub(super) place: Place,
}

/// Among which candidates an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Ready,
    /// Ready, and asked only where no near one is left.
    Far,
    Ejected,
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint: Arc::new(endpoint),
            sessions: 0,
            ejection: Ejection::new(),
            since: Instant::now(),
            listed: true,
            standing: Standing::NONE,
        }
    }

    pub(super) fn standing(&self, limit: Option<NonZeroUsize>) -> Standing {
        let active = self.listed && self.endpoint.state == State::Active;
        let room = limit.is_none_or(|limit| self.sessions < limit.get());
        let far = self.endpoint.far;
        let place = match (active && room, self.ejection.is_out()) {
            (false, _) => Place::Nowhere,
            (true, false) if far => Place::Far,
            (true, false) => Place::Ready,
            (true, true) => Place::Ejected,
        };
        let suspect = active && self.ejection.is_suspect();
        Standing {
            active,
            suspect,
            near: active && !suspect && !far,
            place,
        }
    }

    pub(super) fn status(&self) -> EndpointStatus {
        let state = match self.endpoint.state {
            _ if !self.listed => "gone",
            State::Active => "active",
            State::Draining => "draining",
            State::Unhealthy => "unhealthy",
        };
        EndpointStatus {
            endpoint: self.endpoint.clone(),
            state,
            ejected_until: self.ejection.until(),
            sessions: self.sessions,
            failures: self.ejection.failures(),
        }
    }
}

// === impl Standing ===

impl Standing {
    pub(super) const NONE: Self = Self {
        active: false,
        suspect: false,
        near: false,
        place: Place::Nowhere,
    };
}
