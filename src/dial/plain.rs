//! A request that is no handshake: to a backend and back, as it comes.
//!
//! In: a request that has passed every policy. Out: the backend's answer, its body still streaming, or one of our own.
//!
//! - Bodies pass both ways frame by frame, each read when the one before was written; nothing is kept, compressed or cut.
//!   Length and coding are written anew from what was parsed.
//! - It goes over a connection that is used again ([`pool`]) and never for a session.
//! - Another endpoint is asked where this one cannot have begun (no connection, nothing sent), or where a method that may be
//!   repeated came without a body and the connection ended before any answer. Nothing is repeated after an answer, but for what
//!   gives out an id ([`negotiate`]).
//! - Dial and picks have `handshake_timeout`, all together; the head of the answer has `response_timeout` from the last
//!   piece of the request; the answer's body has all the time it wants.
//! - Its endpoint counts it among its sessions until the answer's body has ended: a long poll is load as a session is.
//! - A poll or a stream of events that affinity ties to an endpoint ends when that endpoint's sessions are closed.
//! - A client that leaves ends it, and the connection to the backend with it.
//!
//! Informational answers end here, but for 100, which lets the body through.

mod ask;
mod link;
mod negotiate;
mod pool;
mod request;
mod trouble;
mod upload;

use std::sync::Arc;

use discovery::Endpoint;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header, request::Parts};
use tokio::time::Instant;
use tower::Service as _;

use self::{
    ask::{Reply, ask},
    link::{Download, Place, Turned},
    request::Outgoing,
    trouble::{Failed, Trouble},
};
use crate::{
    affinity::Tie,
    answer::Body,
    balance::{Bond, Lease, Pick, Tried},
    config, listen,
    policy::headers::strip_response,
    route::Matched,
    router::{Router, UnderWay},
    telemetry::metrics::RouteMetrics,
    timers::timeout_at,
};

/// A request on its way to a backend.
#[derive(Debug)]
pub(super) struct Exchange {
    router: Arc<Router>,
    matched: Matched,
    tie: Option<Tie>,
    request: Outgoing,
    started: Instant,
    under_way: UnderWay,
}

/// A backend's answer.
struct Answered {
    reply: Reply,
    lease: Lease,
}

/// Counts how a request was answered; a client that leaves drops it.
struct Tally {
    metrics: Arc<RouteMetrics>,
    started: Instant,
    status: Option<StatusCode>,
}

// === impl Exchange ===

impl Exchange {
    pub(super) fn new(
        router: &Arc<Router>,
        matched: Matched,
        tie: Option<Tie>,
        head: Parts,
        body: listen::Incoming,
    ) -> Self {
        let mut request = Outgoing::new(head, matched.upstream.clone(), body);
        if tie.as_ref().is_some_and(Tie::is_repeatable) {
            request.allow_repeating();
        }
        Self {
            router: Arc::clone(router),
            request,
            matched,
            tie,
            started: Instant::now(),
            under_way: router.begin(),
        }
    }

    pub(super) async fn run(mut self) -> Response<Body> {
        let mut tally = Tally {
            metrics: Arc::clone(&self.matched.planned.metrics),
            started: self.started,
            status: None,
        };
        let settings = self.matched.planned.service.settings.load_full();
        let mut turned = self
            .tie
            .clone()
            .filter(Tie::may_be_turned_away)
            .map(|tie| Box::pin(tie.turned_away()) as Turned);
        let attempt = tokio::select! {
            attempt = self.attempt(&settings) => attempt,
            answer = turned_away(&mut turned) => {
                tally.status = Some(answer.status());
                return answer;
            }
        };
        let response = match attempt {
            Ok(answered) => {
                tally.answered();
                let (endpoint, tie) = (Arc::clone(answered.lease.endpoint()), self.tie.take());
                let response = self.pass_on(answered, turned);
                match tie {
                    Some(tie) => tie.mint(&endpoint, response).await,
                    None => response,
                }
            }
            Err(failed) => {
                self.log_failure(&failed);
                failed.trouble.answer().into_response()
            }
        };
        tally.status = Some(response.status());
        response
    }

    async fn attempt(&mut self, settings: &Arc<config::Service>) -> Result<Answered, Failed> {
        match self.tie.as_ref().is_some_and(Tie::is_repeatable) && self.request.repeatable {
            true => self.negotiate(settings).await,
            false => self.attempt_in_turn(settings).await,
        }
    }

    /// Tries until one answers, or until no other may be asked.
    async fn attempt_in_turn(&mut self, settings: &Arc<config::Service>) -> Result<Answered, Failed> {
        let mut tried = Tried::new();
        let mut last = None;
        loop {
            let lease = match self.lease(settings, &tried).await {
                Ok(lease) => lease,
                // What went wrong with the endpoints that there are says more than that there are no others.
                Err(trouble) => return Err(last.unwrap_or_else(|| Failed::new(trouble, None, &tried))),
            };
            let endpoint = Arc::clone(lease.endpoint());
            tried.add(&endpoint.identity);
            let place = self.place(settings, &endpoint);
            let deadline = self.deadline(settings);
            let trouble = match ask(&mut self.request, &place, deadline).await {
                Ok(reply) => return Ok(Answered::new(reply, lease)),
                Err(trouble) => trouble,
            };
            if let Some(failure) = trouble.blame() {
                lease.failed(failure);
            }
            let again = trouble.may_retry(settings.retry) && tried.len() < settings.retry.attempts;
            let failed = Failed::new(trouble, Some(endpoint.address), &tried);
            if !again {
                return Err(failed);
            }
            last = Some(failed);
        }
    }

    /// By when it must be connected.
    fn deadline(&self, settings: &config::Service) -> Instant {
        self.started + settings.handshake_timeout
    }

    async fn lease(&self, settings: &config::Service, tried: &Tried) -> Result<Lease, Trouble> {
        let deadline = self.deadline(settings);
        let mut balance = self.matched.planned.service.balance.clone();
        match timeout_at(deadline, balance.call(self.pick(tried))).await {
            Ok(picked) => picked.map_err(Trouble::Unavailable),
            Err(_) => Err(Trouble::NotKnown),
        }
    }

    fn place(&self, settings: &Arc<config::Service>, endpoint: &Endpoint) -> Place {
        let planned = &self.matched.planned;
        let tls = planned
            .service
            .target(settings, &planned.route, self.request.headers());
        Place::new(settings, endpoint, tls)
    }

    fn pick(&self, tried: &Tried) -> Pick {
        let bond = self.tie.as_ref().map_or(Bond::None, Tie::bond);
        Pick::except(tried.clone()).bound(bond)
    }

    fn pass_on(self, answered: Answered, turned: Option<Turned>) -> Response<Body> {
        let Answered { reply, lease } = answered;
        let Reply {
            response,
            link,
            progress,
        } = reply;
        let (mut head, body) = response.into_parts();
        tracing::debug!(
            target: "longhaul::request",
            route = %self.matched.planned.route.name,
            service = %self.matched.planned.route.service,
            endpoint = %lease.endpoint().address,
            client = %self.matched.client,
            status = head.status.as_u16(),
            used = link.used,
            "request answered",
        );
        strip_response(head.status, &mut head.headers);
        head.extensions.clear();
        head.version = Version::HTTP_11;
        if self.router.is_draining() && self.request.version <= Version::HTTP_11 {
            head.headers
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // Anything else ends by itself; events go on for as long as their client listens.
        let turned = turned.filter(|_| is_event_stream(&head.headers));
        let body = Download::new(body, link, progress, (lease, self.under_way), turned);
        Response::from_parts(head, Body::new(body))
    }

    fn log_failure(&self, failed: &Failed) {
        if failed.trouble.is_clients() {
            return;
        }
        let planned = &self.matched.planned;
        let Some(untold) = planned.service.failures.tell() else {
            return;
        };
        tracing::warn!(
            target: "longhaul::request",
            route = %planned.route.name,
            service = %planned.route.service,
            endpoint = failed.endpoint.map(tracing::field::display),
            client = %self.matched.client,
            tries = failed.tries,
            reason = %failed.trouble,
            untold,
            "request failed",
        );
    }
}

async fn turned_away(turned: &mut Option<Turned>) -> Response<Body> {
    match turned {
        Some(turned) => turned.await,
        None => std::future::pending().await,
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    media.is_some_and(|media| media.len() >= 17 && media[..17].eq_ignore_ascii_case(b"text/event-stream"))
}

// === impl Answered ===

impl Answered {
    fn new(reply: Reply, lease: Lease) -> Self {
        lease.established();
        Self { reply, lease }
    }
}

// === impl Failed ===

impl Failed {
    fn new(trouble: Trouble, endpoint: Option<std::net::SocketAddr>, tried: &Tried) -> Self {
        Self {
            trouble,
            endpoint,
            tries: tried.len(),
        }
    }
}

// === impl Tally ===

impl Tally {
    fn answered(&self) {
        self.metrics.request_seconds(self.started.elapsed());
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.metrics.request(self.status);
    }
}
