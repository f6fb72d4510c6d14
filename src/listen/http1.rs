//! HTTP/1.1 on one connection.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;
use tower::{ServiceExt, util::Oneshot};

use super::{Accepted, Arrival};
use crate::{answer::Body, policy::headers::Peer, stack::Stack};

/// Serves one connection until it ends or is upgraded.
pub async fn serve(accepted: Accepted, stack: Stack) {
    let Accepted {
        stream,
        address,
        permit,
        site,
        at,
    } = accepted;
    let rules = site.rules.load_full();
    let peer = Peer::new(address, &rules.forwarding);
    let requests = Requests {
        arrival: Arc::new(Arrival {
            address,
            peer,
            permit,
        }),
        stack,
    };
    let mut http = http1::Builder::new();
    // The clock of the head has run since accept; hyper starts its own at the first poll.
    let left = rules.limits.request_deadline.saturating_sub(Instant::now() - at);
    http.timer(TokioTimer::new())
        .header_read_timeout(left)
        .max_buf_size(rules.limits.request_head);
    if rules.limits.request_headers != HYPER_HEADERS {
        http.max_headers(rules.limits.request_headers);
    }
    // Its errors are the client's: too slow, too long, gone. hyper has answered where an answer was due.
    let _ = http
        .serve_connection(TokioIo::new(stream), requests)
        .with_upgrades()
        .await;
}

/// The number of fields that hyper takes without an allocation.
const HYPER_HEADERS: usize = 100;

/// The requests of one connection, each sent through the stack.
struct Requests {
    arrival: Arc<Arrival>,
    stack: Stack,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Oneshot<Stack, Request<Incoming>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Arc::clone(&self.arrival));
        self.stack.clone().oneshot(request)
    }
}
