//! Step 5: a handshake becomes a session.
//!
//! In: a request that has passed every policy. Out: the backend's 101 or its refusal, or an answer of our own; and, after
//! a 101, the life of a session, for its connection's task to live.
//!
//! - Nothing is promised before the backend said 101: until then another endpoint may be tried, and the client has seen
//!   nothing.
//! - All tries together have `handshake_timeout`. When a try has been silent for half of it another endpoint is tried
//!   beside it, if `retry` allows it and there is one; who answers first has the session.
//! - A client that leaves cancels the dial. Where its request came in pieces and it has sent more since, that is noticed
//!   only when the handshake ends.
//! - What the backend answers otherwise (401, 403, 404, 503 with its body) passes through.
//!
//! A request that is no handshake takes the way of `dial/plain.rs`. Not here: which endpoint ([`crate::balance`]), the
//! session itself ([`crate::relay`]).

mod attempt;
mod connect;
mod offer;
mod open;
mod plain;
mod replay;
pub mod verify;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use discovery::Endpoint;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode, response};
use tokio::time::Instant;

use self::attempt::{Attempts, Failed, Offered, Success};
pub use self::open::{Life, Opening};
use crate::{
    affinity::Tie,
    answer::Body,
    balance::Bond,
    head,
    listen::{Arrival, Incoming, Kind, Upgrade},
    policy::{
        headers::{self, strip_response},
        out_of_order,
    },
    route::Matched,
    router::{Planned, Router, UnderWay},
    telemetry::metrics::HandshakeEnd,
};

/// The innermost service of the stack.
#[derive(Clone, Debug)]
pub struct Forward {
    router: Arc<Router>,
}

/// A handshake on its way to a backend.
#[derive(Debug)]
struct Handshake {
    router: Arc<Router>,
    arrival: Arc<Arrival>,
    upgrade: Upgrade,
    matched: Matched,
    headers: HeaderMap,
    started: Instant,
    under_way: UnderWay,
    tie: Option<Tie>,
}

/// Counts how a handshake ended; a client that leaves drops it.
struct Verdict {
    planned: Arc<Planned>,
    started: Instant,
    end: HandshakeEnd,
}

/// What most request heads fit in.
const HEAD: usize = 1024;

// === impl Forward ===

impl Forward {
    /// Dials the endpoints of this router's services.
    pub fn new(router: Arc<Router>) -> Self {
        Self { router }
    }
}

impl tower::Service<Request<Incoming>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let extensions = &mut head.extensions;
        let (Some(arrival), Some(kind), Some(matched)) =
            (extensions.remove(), extensions.remove(), extensions.remove())
        else {
            // Only a stack that was composed without the steps before this one gets here.
            return Box::pin(std::future::ready(Ok(out_of_order().into_response())));
        };
        let tie = extensions.remove();
        let Kind::WebSocket(upgrade) = kind else {
            let exchange = plain::Exchange::new(&self.router, matched, tie, head, body);
            return Box::pin(async move { Ok(exchange.run().await) });
        };
        let handshake = Handshake {
            router: Arc::clone(&self.router),
            arrival,
            upgrade,
            matched,
            headers: head.headers,
            started: Instant::now(),
            under_way: self.router.begin(),
            tie,
        };
        Box::pin(async move { Ok(handshake.run().await) })
    }
}

// === impl Handshake ===

impl Handshake {
    /// Not an `async fn`: its future would hold the handshake twice.
    fn run(self) -> impl Future<Output = Response<Body>> {
        let mut verdict = Verdict::new(&self);
        async move {
            match self.attempt().await {
                Ok(Success::Upgraded {
                    head,
                    stream,
                    early,
                    lease,
                }) => {
                    verdict.reached(HandshakeEnd::Upgraded);
                    let response = self.minted(lease.endpoint(), switching(head)).await;
                    self.arrival.hand_over(Opening {
                        router: self.router,
                        planned: self.matched.planned,
                        client: self.matched.client,
                        backend: stream,
                        early,
                        lease,
                        under_way: self.under_way,
                    });
                    response
                }
                Ok(Success::Refused { response, endpoint }) => {
                    verdict.reached(HandshakeEnd::RefusedByBackend);
                    self.minted(&endpoint, refusal(response)).await
                }
                Err(failed) => {
                    verdict.failed(failed.end);
                    self.log_failure(&failed);
                    failed.answer().into_response()
                }
            }
        }
    }

    async fn attempt(&self) -> Result<Success, Failed> {
        let service = &self.matched.planned.service;
        let settings = service.settings.load_full();
        let head = self.head();
        let route = &self.matched.planned.route;
        let tls = service.target(&settings, route, &self.headers);
        let offered = Offered {
            upgrade: &self.upgrade,
            head: &head,
            tls: tls.as_ref(),
        };
        Attempts::new(service.balance.clone(), &settings, self.started, offered)
            .bound(self.tie.as_ref().map_or(Bond::None, Tie::bond))
            .run()
            .await
    }

    /// The answer with what ties the client to its endpoint.
    async fn minted(&self, endpoint: &Endpoint, response: Response<Body>) -> Response<Body> {
        match &self.tie {
            // Boxed: without affinity there is no room for it.
            Some(tie) => Box::pin(tie.mint(endpoint, response)).await,
            None => response,
        }
    }

    /// The request's head as every backend that is tried is to see it.
    fn head(&self) -> Vec<u8> {
        let target = self.matched.upstream.as_str();
        let mut head = Vec::with_capacity(HEAD);
        for part in [b"GET ", target.as_bytes(), b" HTTP/1.1\r\n"] {
            head.extend_from_slice(part);
        }
        head::write(&self.headers, &mut head);
        head
    }

    fn log_failure(&self, failed: &Failed) {
        let planned = &self.matched.planned;
        // A line for each of ten thousand clients that come back would say no more than the first.
        let Some(untold) = planned.service.failures.tell() else {
            return;
        };
        tracing::warn!(
            target: "longhaul::handshake",
            route = %planned.route.name,
            service = %planned.route.service,
            endpoint = failed.endpoint.map(tracing::field::display),
            client = %self.matched.client,
            tries = failed.tries,
            reason = %failed,
            untold,
            "handshake failed",
        );
    }
}

/// The backend's 101 for the client: its own fields, without what was meant for one hop.
fn switching(head: response::Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = head.headers;
    headers::switching(response.headers_mut());
    response
}

fn refusal(response: Response<hyper::body::Incoming>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    strip_response(head.status, &mut head.headers);
    head.extensions.clear();
    head.version = http::Version::HTTP_11;
    Response::from_parts(head, Body::backend(body))
}

// === impl Verdict ===

impl Verdict {
    fn new(handshake: &Handshake) -> Self {
        Self {
            planned: Arc::clone(&handshake.matched.planned),
            started: handshake.started,
            end: HandshakeEnd::ClientGone,
        }
    }

    fn failed(&mut self, end: HandshakeEnd) {
        self.end = end;
    }

    fn reached(&mut self, end: HandshakeEnd) {
        self.end = end;
        self.planned.metrics.handshake_seconds(self.started.elapsed());
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        self.planned.metrics.handshake(self.end);
    }
}
