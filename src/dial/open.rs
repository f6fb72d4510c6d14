//! From a 101 to a session's end: what surrounds the relay.
//!
//! In: both streams, the lease on the endpoint. Out: a registered session, its two log lines, its counters, and the
//! verdict on an endpoint that drops sessions early.
//!
//! - A session is its own task; a panic in it costs this session only, and is logged as its end.
//! - The task owns no piece of the request: a header value would pin the 8 KiB that it was read into.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    balance::Lease,
    config::SessionLimits,
    listen::Arrival,
    relay::{self, Ends, Initiator, Outcome, Reason},
    route::Matched,
    router::{Router, UnderWay},
    session::{NewSession, Registered},
    telemetry::{metrics::RouteMetrics, sessions},
};

/// A session whose client has not seen the 101 yet.
pub(super) struct Opening {
    pub(super) on_upgrade: OnUpgrade,
    pub(super) backend: TcpStream,
    pub(super) early: Vec<u8>,
    pub(super) lease: Lease,
    pub(super) under_way: UnderWay,
}

/// What a session's task keeps besides the streams.
struct Seat {
    registered: Registered,
    lease: Lease,
    metrics: Arc<RouteMetrics>,
    limits: SessionLimits,
    /// Its place among the process's connections.
    _arrival: Arc<Arrival>,
}

/// The 101 leaves at once or the client is gone.
const SWITCH_LIMIT: Duration = Duration::from_secs(10);

/// A backend that drops a session sooner than this, without a Close, did not mean to take it.
const EARLY: Duration = Duration::from_secs(1);

/// Starts the session's task, which waits until the 101 has been sent.
pub(super) fn spawn(opening: Opening, router: &Arc<Router>, arrival: &Arc<Arrival>, matched: &Matched) {
    let route = &matched.planned.route;
    let new = NewSession {
        route: Arc::clone(&route.name),
        service: Arc::clone(&route.service),
        endpoint: Arc::clone(opening.lease.endpoint()),
        client: matched.client,
    };
    let limits = route.session;
    let metrics = Arc::clone(&matched.planned.metrics);
    let (router, arrival) = (Arc::clone(router), Arc::clone(arrival));
    tokio::spawn(async move {
        let Opening {
            on_upgrade,
            backend,
            early,
            lease,
            under_way,
        } = opening;
        let Ok(Ok(upgraded)) = timeout(SWITCH_LIMIT, on_upgrade).await else {
            // The client left; the backend's connection and the lease go with this task.
            return;
        };
        let registered = router.sessions.open(arrival.worker(), new);
        drop((router, under_way));
        let seat = Seat {
            registered,
            lease,
            metrics,
            limits,
            _arrival: arrival,
        };
        sessions::opened(seat.registered.session());
        match take_back(upgraded) {
            Ok((client, early_client)) => {
                seat.run(Ends {
                    client,
                    early_client,
                    backend,
                    early_backend: early,
                })
                .await;
            }
            Err(upgraded) => {
                let client = TokioIo::new(upgraded);
                seat.run(Ends {
                    client,
                    early_client: Vec::new(),
                    backend,
                    early_backend: early,
                })
                .await;
            }
        }
    });
}

/// The plain socket, out of hyper's hands, with what hyper had read ahead.
fn take_back(upgraded: Upgraded) -> Result<(TcpStream, Vec<u8>), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>()?;
    Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
}

impl Seat {
    async fn run<C>(self, ends: Ends<C, TcpStream>)
    where
        C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let session = self.registered.session();
        let relay = AssertUnwindSafe(relay::run(ends, session, &self.limits)).catch_unwind();
        let outcome = relay.await.unwrap_or(Outcome {
            initiator: Initiator::Router,
            reason: Reason::Panic,
            code: None,
        });
        sessions::ended(session, &outcome);
        self.metrics.closed(&outcome);
        if outcome.initiator == Initiator::Backend && outcome.reason != Reason::Close && session.age() < EARLY
        {
            self.lease.dropped_early();
        } else {
            self.lease.lasted();
        }
    }
}
