//! What is counted per route: how handshakes, plain requests and sessions ended.
//!
//! In: a [`HandshakeEnd`] per handshake, a status per plain request, an [`Outcome`] per session. Out: one addition to a counter that is found by index.
//!
//! Handshake counters exist from the start, so that an alert sees the first failure as a rise from zero. Close counters,
//! 57 to a route, appear when first needed.
//!
//! Close codes are `1000` to `1015`, `3xxx`, `4xxx` and `none`; a number outside these is no code that a peer may send and
//! counts as `none`.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::StatusCode;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{CloseLabels, Families, HandshakeLabels, RequestLabels, ServiceLabels};
use crate::relay::{Initiator, Outcome};

/// The counters of one route; made by [`super::Metrics::route`].
pub struct RouteMetrics {
    handshakes: [Counter; HandshakeEnd::ALL.len()],
    seconds: Histogram,
    requests: [Counter; CLASSES.len()],
    request_seconds: Histogram,
    closes: [[OnceLock<Counter>; CODES.len()]; INITIATORS],
    families: Families,
    route: Arc<str>,
    service: Arc<str>,
}

/// How a handshake ended, as a metric says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// 101: a session opened.
    Upgraded,
    /// 400 or 405: not a request that can be understood.
    BadRequest,
    /// 414 or 431: longer than the limits.
    TooLarge,
    /// 404: no route takes it.
    NoRoute,
    /// 421: the wrong host for this TLS name.
    Misdirected,
    /// 426: no upgrade, or another WebSocket version.
    NotUpgrade,
    /// 401 or 403 by a policy.
    Denied,
    /// 429.
    RateLimited,
    /// 503: no endpoint can take it.
    NoEndpoint,
    /// 503: a limit of this process is reached.
    Overloaded,
    /// 503: the process is ending.
    Draining,
    /// 502: no try reached an endpoint.
    ConnectFailed,
    /// 502: the backend's answer makes no sense.
    BadAnswer,
    /// 504: the dial or the backend's answer took too long.
    TimedOut,
    /// 204, 400 or 404: the endpoint that it is tied to is gone or closes its sessions.
    Orphan,
    /// The backend's own refusal was passed on.
    RefusedByBackend,
    /// The client left before the answer.
    ClientGone,
}

// === impl RouteMetrics ===

impl RouteMetrics {
    pub(super) fn new(families: &Families, route: &Arc<str>, service: &Arc<str>) -> Self {
        let handshakes = HandshakeEnd::ALL.map(|end| {
            families.handshakes.get_or_create_owned(&HandshakeLabels {
                route: Arc::clone(route),
                service: Arc::clone(service),
                outcome: end.as_str(),
            })
        });
        Self {
            handshakes,
            seconds: families.seconds.get_or_create_owned(&ServiceLabels {
                service: Arc::clone(service),
            }),
            requests: CLASSES.map(|code| {
                families.requests.get_or_create_owned(&RequestLabels {
                    route: Arc::clone(route),
                    service: Arc::clone(service),
                    code,
                })
            }),
            request_seconds: families.request_seconds.get_or_create_owned(&ServiceLabels {
                service: Arc::clone(service),
            }),
            closes: Default::default(),
            families: families.clone(),
            route: Arc::clone(route),
            service: Arc::clone(service),
        }
    }

    /// Counts a handshake that ended.
    pub fn handshake(&self, end: HandshakeEnd) {
        self.handshakes[end as usize].inc();
    }

    /// Counts the time from the request head to the backend's answer, for handshakes that reached one.
    pub fn handshake_seconds(&self, taken: Duration) {
        self.seconds.observe(taken.as_secs_f64());
    }

    /// Counts a plain request by its answer; `None` if the client left before.
    pub fn request(&self, status: Option<StatusCode>) {
        self.requests[class_index(status)].inc();
    }

    /// Counts the time from the request head to the head of the backend's answer.
    pub fn request_seconds(&self, taken: Duration) {
        self.request_seconds.observe(taken.as_secs_f64());
    }

    /// Counts a session that ended.
    pub fn closed(&self, outcome: &Outcome) {
        let code = code_index(outcome.code);
        self.closes[outcome.initiator as usize][code]
            .get_or_init(|| {
                self.families.closes.get_or_create_owned(&CloseLabels {
                    route: Arc::clone(&self.route),
                    service: Arc::clone(&self.service),
                    initiator: outcome.initiator.as_str(),
                    code: CODES[code],
                })
            })
            .inc();
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMetrics")
            .field("route", &self.route)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

// === impl HandshakeEnd ===

impl HandshakeEnd {
    /// In the order of their declaration, which is the order of the counters.
    pub(super) const ALL: [Self; 17] = [
        Self::Upgraded,
        Self::BadRequest,
        Self::TooLarge,
        Self::NoRoute,
        Self::Misdirected,
        Self::NotUpgrade,
        Self::Denied,
        Self::RateLimited,
        Self::NoEndpoint,
        Self::Overloaded,
        Self::Draining,
        Self::ConnectFailed,
        Self::BadAnswer,
        Self::TimedOut,
        Self::Orphan,
        Self::RefusedByBackend,
        Self::ClientGone,
    ];

    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upgraded => "ok",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::NoRoute => "no_route",
            Self::Misdirected => "misdirected",
            Self::NotUpgrade => "not_upgrade",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::NoEndpoint => "no_endpoint",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::ConnectFailed => "connect_failed",
            Self::BadAnswer => "bad_answer",
            Self::TimedOut => "timeout",
            Self::Orphan => "orphan",
            Self::RefusedByBackend => "refused_by_backend",
            Self::ClientGone => "client_gone",
        }
    }
}

fn code_index(code: Option<u16>) -> usize {
    match code {
        Some(code @ 1000..=1015) => usize::from(code - 1000),
        Some(3000..=3999) => 16,
        Some(4000..=4999) => 17,
        _ => 18,
    }
}

fn class_index(status: Option<StatusCode>) -> usize {
    match status.map(|status| status.as_u16() / 100) {
        Some(class @ 2..=5) => usize::from(class - 2),
        // A backend may make up any number.
        Some(_) => CLASSES.len() - 2,
        None => CLASSES.len() - 1,
    }
}

/// Client, backend and router.
const INITIATORS: usize = Initiator::Router as usize + 1;

pub(super) const CLASSES: [&str; 6] = ["2xx", "3xx", "4xx", "5xx", "other", "none"];

pub(super) const CODES: [&str; 19] = [
    "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
    "1013", "1014", "1015", "3xxx", "4xxx", "none",
];
