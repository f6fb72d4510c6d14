//! Every metric of Longhaul: its name, labels, and the handles that the steps count with.
//!
//! In: counts from the steps, through handles that are made once: [`Metrics::route`] at config build,
//! [`Metrics::connections`] per worker. Out: the OpenMetrics text of [`Metrics::encode`].
//!
//! Promises:
//! - nothing that a client chooses becomes a label: values are names of the config, addresses of endpoints and closed
//!   lists of words ([`HandshakeEnd`], [`TlsEnd`], [`Refused`], close codes);
//! - counting is an atomic addition; what can be read from the live sessions is computed at the scrape, so that moving
//!   bytes costs nothing;
//! - a series once shown stays, also when a reload takes its route away: its sessions may live for hours.
//!
//! Not here: who may read them ([`crate::admin`]).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::{session::Sessions, telemetry::LogLoss};

use super::status::ServiceStatus;

mod affinity;
mod process;
mod route;
mod scrape;
mod tls;

pub use affinity::{AffinityMetrics, TieEnd, TieMethod};
pub use route::{HandshakeEnd, RouteMetrics};
pub use tls::TlsEnd;

/// What the text of [`Metrics::encode`] is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    families: Families,
    unrouted: Arc<RouteMetrics>,
    routes: Mutex<HashMap<[Arc<str>; 2], Weak<RouteMetrics>>>,
    refused: [Counter; Refused::ALL.len()],
    tls: [Counter; TlsEnd::ALL.len()],
    accept_errors: Counter,
    reloads: [Counter; 2],
    loss: LogLoss,
}

/// Why a client's connection was closed before any request of it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The connection limit was reached.
    Limit,
    /// It did not begin with a PROXY header, or who sent that may not.
    ProxyProtocol,
}

/// The families that handles are cut from.
#[derive(Clone)]
struct Families {
    handshakes: Family<HandshakeLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    affinity: Family<AffinityLabels, Counter>,
    closes: Family<CloseLabels, Counter>,
    seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    request_seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    connections: Family<WorkerLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    route: Arc<str>,
    service: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    service: Arc<str>,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AffinityLabels {
    service: Arc<str>,
    method: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabels {
    route: Arc<str>,
    service: Arc<str>,
    initiator: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabels {
    worker: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// All at zero; `loss` is counted as it grows.
    pub fn new(loss: LogLoss) -> Arc<Self> {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        let refused = Family::<ReasonLabels, Counter>::default();
        registry.register(
            "longhaul_connections_refused",
            "Client connections closed before a request of theirs was read",
            refused.clone(),
        );
        let tls = Family::<ResultLabels, Counter>::default();
        registry.register(
            "longhaul_tls_handshakes",
            "TLS handshakes with clients by how they ended",
            tls.clone(),
        );
        let reloads = Family::<ResultLabels, Counter>::default();
        registry.register(
            "longhaul_config_reloads",
            "Reloads of the config: ok, or error where the old one stayed",
            reloads.clone(),
        );
        let accept_errors = Counter::default();
        registry.register(
            "longhaul_accept_errors",
            "Times the kernel gave no connection, such as for want of descriptors",
            accept_errors.clone(),
        );
        registry.register(
            "longhaul_build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(process::Process::new()));
        Arc::new(Self {
            unrouted: Arc::new(RouteMetrics::new(&families, &"none".into(), &"none".into())),
            refused: Refused::ALL
                .map(|why| refused.get_or_create_owned(&ReasonLabels { reason: why.as_str() })),
            tls: TlsEnd::ALL.map(|end| {
                let result = end.as_str();
                tls.get_or_create_owned(&ResultLabels { result })
            }),
            reloads: ["error", "ok"].map(|result| reloads.get_or_create_owned(&ResultLabels { result })),
            routes: Mutex::default(),
            registry,
            families,
            accept_errors,
            loss,
        })
    }

    /// The counters of a route; equal names share them, so that a reload goes on counting.
    pub fn route(&self, route: &Arc<str>, service: &Arc<str>) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|_, known| known.strong_count() > 0);
        let place = routes
            .entry([Arc::clone(route), Arc::clone(service)])
            .or_default();
        if let Some(known) = place.upgrade() {
            return known;
        }
        let new = Arc::new(RouteMetrics::new(&self.families, route, service));
        *place = Arc::downgrade(&new);
        new
    }

    /// The affinity counters of a service; a service that comes back goes on counting.
    pub fn affinity(&self, service: &Arc<str>) -> AffinityMetrics {
        AffinityMetrics::new(&self.families, service)
    }

    /// The counters of requests that no route took: `none` for route and service.
    pub fn unrouted(&self) -> &Arc<RouteMetrics> {
        &self.unrouted
    }

    /// The client connections that a worker holds now.
    pub fn connections(&self, worker: usize) -> Gauge {
        self.families
            .connections
            .get_or_create_owned(&WorkerLabels { worker })
    }

    /// Counts a connection that was closed before any request of it was read.
    pub fn refused(&self, why: Refused) {
        self.refused[why as usize].inc();
    }

    /// Counts a TLS handshake with a client that ended.
    pub fn tls_handshake(&self, end: TlsEnd) {
        self.tls[end as usize].inc();
    }

    /// Counts a failed accept.
    pub fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// Counts a reload of the config.
    pub fn reloaded(&self, ok: bool) {
        self.reloads[usize::from(ok)].inc();
    }

    /// The text of all metrics at this moment, [`CONTENT_TYPE`].
    pub fn encode(&self, sessions: &Arc<Sessions>, services: Vec<ServiceStatus>) -> String {
        let mut now = Registry::default();
        now.register_collector(Box::new(scrape::Scrape {
            sessions: Arc::clone(sessions),
            services,
            routes: self.live_routes(),
            lost_lines: self.loss.lines(),
        }));
        let mut out = String::with_capacity(16 * 1024);
        text::encode_registry(&mut out, &self.registry)
            .and_then(|()| text::encode_registry(&mut out, &now))
            .and_then(|()| text::encode_eof(&mut out))
            .expect("writing to a string does not fail");
        out
    }

    fn live_routes(&self) -> Vec<[Arc<str>; 2]> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes
            .iter()
            .filter(|(_, known)| known.strong_count() > 0)
            .map(|(names, _)| names.clone())
            .collect()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

// === impl Refused ===

impl Refused {
    const ALL: [Self; 2] = [Self::Limit, Self::ProxyProtocol];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::ProxyProtocol => "proxy_protocol",
        }
    }
}

// === impl Families ===

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let all = Self {
            handshakes: Family::default(),
            requests: Family::default(),
            affinity: Family::default(),
            closes: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(HANDSHAKE_BUCKETS)),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            connections: Family::default(),
        };
        registry.register(
            "longhaul_handshakes",
            "Requests by how their handshake ended",
            all.handshakes.clone(),
        );
        registry.register(
            "longhaul_affinity",
            "Requests and answers by what a method of affinity made of them",
            all.affinity.clone(),
        );
        registry.register(
            "longhaul_session_closes",
            "Sessions that ended, by who ended them and the close code",
            all.closes.clone(),
        );
        registry.register_with_unit(
            "longhaul_handshake",
            "From the request head to the backend's answer, all tries included",
            Unit::Seconds,
            all.seconds.clone(),
        );
        registry.register(
            "longhaul_requests",
            "Plain requests by the class of their answer; none: the client left before",
            all.requests.clone(),
        );
        registry.register_with_unit(
            "longhaul_request",
            "From the head of a plain request to the head of the backend's answer, all tries included",
            Unit::Seconds,
            all.request_seconds.clone(),
        );
        registry.register(
            "longhaul_connections",
            "Client connections that a worker holds",
            all.connections.clone(),
        );
        all
    }
}

/// A backend next door answers within a millisecond and one across the world in a quarter of a second; 1 s and 5 s are
/// the default connect and handshake timeouts, so that what piles up behind either has a bucket of its own.
const HANDSHAKE_BUCKETS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// The same, and the long polls of SignalR (90 s) and of others.
const REQUEST_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 100.0, 300.0,
];

#[cfg(test)]
mod tests;
