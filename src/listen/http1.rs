//! HTTP/1.1 on one connection.

use std::{
    convert::Infallible,
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::http1::{self, Parts},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
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
    let arrival = Arc::new(Arrival {
        address,
        peer,
        opening: Mutex::default(),
    });
    let requests = Requests {
        arrival: Arc::clone(&arrival),
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
    let mut connection = http.serve_connection(TokioIo::new(stream), requests);
    let served = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let Parts { io, read_buf, .. } = connection.into_parts();
    // An error is the client's: too slow, too long, gone. hyper has answered where an answer was due.
    match (served, arrival.opening()) {
        (Ok(()), Some(opening)) => opening.begin(io.into_inner(), read_buf.to_vec(), permit),
        _ => linger(io.into_inner()).await,
    }
}

/// Closes without losing the last answer: a socket that is closed with unread bytes is reset, and a reset can overtake
/// what was sent (RFC 9112, 9.6).
async fn linger(mut stream: TcpStream) {
    let rest = async {
        let mut discarded = [0; 1024];
        let _ = stream.shutdown().await;
        while matches!(stream.read(&mut discarded).await, Ok(1..)) {}
    };
    let _ = timeout(LINGER, rest).await;
}

/// How long the end of a client's stream is waited for after the last answer.
const LINGER: Duration = Duration::from_secs(1);

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
