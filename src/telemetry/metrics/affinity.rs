//! What is counted per service and method of affinity.
//!
//! In: a [`TieEnd`] per request or answer. Out: one addition to a counter that is found by index; counters appear when
//! they are first needed.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use prometheus_client::metrics::counter::Counter;

use super::{AffinityLabels, Families};

/// The counters of one service; made by [`super::Metrics::affinity`].
pub struct AffinityMetrics {
    counters: [[OnceLock<Counter>; TieEnd::ALL.len()]; TieMethod::ALL.len()],
    families: Families,
    service: Arc<str>,
}

/// By which method a request may be tied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieMethod {
    /// SignalR's id.
    SignalR,
    /// engine.io's sid.
    SocketIo,
    /// A cookie.
    Cookie,
    /// A header field.
    Header,
    /// A query parameter.
    Query,
    /// A path parameter.
    Path,
    /// The client's address.
    ClientIp,
}

/// What a method made of a request, or of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieEnd {
    /// It goes to the endpoint that it names.
    Tied,
    /// It names none.
    Absent,
    /// What it names was not made with any of the keys.
    Forged,
    /// Its endpoint is gone.
    Orphan,
    /// Its endpoint closes its sessions.
    Evicted,
    /// It went to another endpoint than it named.
    Moved,
    /// Its endpoint is gone, and it became a new connection on another.
    Adopted,
    /// An answer tied its client.
    Minted,
    /// An answer could not be read, so its client is tied to nothing.
    Unmintable,
    /// An answer that gives out no id.
    NoId,
}

// === impl AffinityMetrics ===

impl AffinityMetrics {
    pub(super) fn new(families: &Families, service: &Arc<str>) -> Self {
        Self {
            counters: Default::default(),
            families: families.clone(),
            service: Arc::clone(service),
        }
    }

    /// Counts what a method made of a request or an answer.
    pub fn count(&self, method: TieMethod, end: TieEnd) {
        self.counters[method as usize][end as usize]
            .get_or_init(|| {
                self.families.affinity.get_or_create_owned(&AffinityLabels {
                    service: Arc::clone(&self.service),
                    method: method.as_str(),
                    result: end.as_str(),
                })
            })
            .inc();
    }
}

impl fmt::Debug for AffinityMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AffinityMetrics")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

// === impl TieMethod ===

impl TieMethod {
    const ALL: [Self; 7] = [
        Self::SignalR,
        Self::SocketIo,
        Self::Cookie,
        Self::Header,
        Self::Query,
        Self::Path,
        Self::ClientIp,
    ];

    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignalR => "signalr",
            Self::SocketIo => "socketio",
            Self::Cookie => "cookie",
            Self::Header => "header",
            Self::Query => "query",
            Self::Path => "path",
            Self::ClientIp => "client-ip",
        }
    }
}

// === impl TieEnd ===

impl TieEnd {
    const ALL: [Self; 10] = [
        Self::Tied,
        Self::Absent,
        Self::Forged,
        Self::Orphan,
        Self::Evicted,
        Self::Moved,
        Self::Adopted,
        Self::Minted,
        Self::Unmintable,
        Self::NoId,
    ];

    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tied => "tied",
            Self::Absent => "absent",
            Self::Forged => "forged",
            Self::Orphan => "orphan",
            Self::Evicted => "evicted",
            Self::Moved => "moved",
            Self::Adopted => "adopted",
            Self::Minted => "minted",
            Self::Unmintable => "unmintable",
            Self::NoId => "no_id",
        }
    }
}
