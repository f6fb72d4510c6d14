//! From a 101 to a session's end: what surrounds the relay.
//!
//! In: both streams, the lease on the endpoint. Out: a registered session, its two log lines, its counters, and the
//! verdict on an endpoint that drops sessions early.
//!
//! - A panic in a session costs this session only, and is logged as its end.
//! - A session owns no piece of the request: a header value would pin all that it was read into. It is made when the 101
//!   has been sent, not before, so that it is no larger than it needs to be.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use super::connect::Backend;
use crate::{
    balance::Lease,
    config::SessionLimits,
    listen::Permit,
    relay::{self, Ends, Initiator, Joinable, Outcome, Reason},
    router::{Planned, Router, UnderWay},
    session::{NewSession, Registered},
    telemetry::{metrics::RouteMetrics, sessions},
};

/// A session whose client has not been sent the 101 yet. Dropping it gives everything back.
#[derive(Debug)]
pub struct Opening {
    pub(super) router: Arc<Router>,
    pub(super) planned: Arc<Planned>,
    pub(super) client: std::net::SocketAddr,
    pub(super) backend: Backend,
    /// What the backend sent together with the 101.
    pub(super) early: Vec<u8>,
    pub(super) lease: Lease,
    pub(super) under_way: UnderWay,
}

/// A session from its 101 to its end, for a task to live it.
pub type Life = BoxFuture<'static, ()>;

/// What a session keeps besides the streams.
struct Seat {
    registered: Registered,
    lease: Lease,
    metrics: Arc<RouteMetrics>,
    _permit: Permit,
}

/// A backend that drops a session sooner than this, without a Close, did not mean to take it.
const EARLY: Duration = Duration::from_secs(1);

impl Opening {
    /// Registers the session, which lives as long as what is returned is polled: the 101 has been sent, and the stream is free
    /// of HTTP. `early` is what the client has sent since its request head.
    #[must_use]
    pub fn begin<C>(self, client: C, early: Vec<u8>, permit: Permit) -> Life
    where
        C: Joinable + Send + 'static,
    {
        let route = &self.planned.route;
        let new = NewSession {
            route: Arc::clone(&route.name),
            service: Arc::clone(&route.service),
            endpoint: Arc::clone(self.lease.endpoint()),
            client: self.client,
        };
        let seat = Seat {
            registered: self.router.sessions.open(permit.worker(), new),
            lease: self.lease,
            metrics: Arc::clone(&self.planned.metrics),
            _permit: permit,
        };
        drop(self.under_way);
        sessions::opened(seat.registered.session());
        // Each kind of stream has a relay of its own: the plain one splices, and is no larger for the other.
        let (client, limits) = ((client, early), &route.session);
        match self.backend {
            Backend::Plain(backend) => seat.join(client, (backend, self.early), limits),
            Backend::Tls(backend) => seat.join(client, (backend, self.early), limits),
        }
    }
}

impl Seat {
    /// Relays between two streams, each with what its peer has already sent.
    fn join<C, B>(self, client: (C, Vec<u8>), backend: (B, Vec<u8>), limits: &SessionLimits) -> Life
    where
        C: Joinable + Send + 'static,
        B: Joinable + Send + 'static,
    {
        let ends = Ends {
            client: client.0,
            early_client: client.1,
            backend: backend.0,
            early_backend: backend.1,
        };
        let relay = relay::run(ends, Arc::clone(self.registered.session()), limits);
        Box::pin(AssertUnwindSafe(relay).catch_unwind().map(move |ended| {
            self.leave(&ended.unwrap_or(Outcome {
                initiator: Initiator::Router,
                reason: Reason::Panic,
                code: None,
            }));
        }))
    }

    fn leave(self, outcome: &Outcome) {
        let session = self.registered.session();
        sessions::ended(session, outcome);
        self.metrics.closed(outcome);
        if outcome.initiator == Initiator::Backend
            && outcome.reason != Reason::Close
            && session.lived() < EARLY
        {
            self.lease.dropped_early();
        } else {
            self.lease.lasted();
        }
    }
}
