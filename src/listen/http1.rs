//! HTTP/1.1 on one connection, until it turns out to be HTTP/2.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    pin::Pin,
    sync::Arc,
    task::{self, Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use hyper::{
    server::conn::http1::{self, Parts},
    service::Service,
};
use hyper_util::rt::TokioIo;
use tower::{ServiceExt, util::Oneshot};

use super::{
    Arrival, Incoming,
    first::await_some,
    http2,
    linger::linger,
    preface::Sniffed,
    serve::Connection,
    upgrade::{Asked, Next, Unfinished},
};
use crate::{answer::Body, dial::Life, relay::Joinable, stack::Stack, timers::HyperTimer};

/// Serves one connection until it ends or becomes a session; `seen` is what was read of it, if anything was.
///
/// Not an `async fn`: its future would hold all of this twice.
pub(super) fn serve<S>(
    mut stream: S,
    connection: Connection,
    seen: Option<Bytes>,
) -> impl Future<Output = Option<Life>>
where
    S: Joinable + Send + 'static,
{
    let deadline = connection.deadline();
    async move {
        let seen = match seen {
            Some(seen) => seen,
            None => match await_some(&mut stream, deadline).await {
                Some(seen) => seen,
                None => {
                    Box::pin(linger(stream)).await;
                    return None;
                }
            },
        };
        // Boxed: what waits for its head or its backend has no room for HTTP.
        let Some(asked) = Asked::read(&seen, &connection.rules.limits) else {
            return Box::pin(converse(stream, connection, seen, None)).await;
        };
        match asked.serve(stream, connection, seen).await? {
            Next::Session(session) => Some(session),
            Next::Http(unfinished) => {
                let Unfinished {
                    stream,
                    connection,
                    seen,
                    answer,
                } = *unfinished;
                Box::pin(converse(stream, connection, seen, Some(answer))).await
            }
        }
    }
}

/// Has hyper serve a connection from what was `seen` of it; the first request may have been answered already.
async fn converse<S>(
    stream: S,
    connection: Connection,
    seen: Bytes,
    answer: Option<Response<Body>>,
) -> Option<Life>
where
    S: Joinable + Send + 'static,
{
    // hyper drops an answer to a bad request that it cannot write at once; and what is read ahead of the event loop may
    // come before it is known that it can.
    if let Some(socket) = stream.socket() {
        let _ = socket.writable().await;
    }
    let arrival = connection.arrival();
    let is_answered = answer.is_some();
    let requests = Requests {
        arrival: Arc::clone(&arrival),
        stack: connection.stack.clone(),
        answer: Cell::new(answer),
    };
    let limits = &connection.rules.limits;
    let mut http = http1::Builder::new();
    // The clock of the first head has run since accept; hyper starts its own at the first poll.
    let ran = if is_answered {
        Duration::ZERO
    } else {
        connection.at.elapsed()
    };
    http.timer(HyperTimer)
        .header_read_timeout(limits.request_deadline.saturating_sub(ran))
        .max_buf_size(limits.request_head);
    if limits.request_headers != HYPER_HEADERS {
        http.max_headers(limits.request_headers);
    }
    let stream = Sniffed::new(stream, seen, connection.rules.http2);
    let mut http = http.serve_connection(TokioIo::new(stream), requests);
    let served = poll_fn(|cx| http.poll_without_shutdown(cx)).await;
    let Parts { io, read_buf, .. } = http.into_parts();
    // An error is the client's: too slow, too long, gone. hyper has answered where an answer was due.
    match (served, arrival.opening()) {
        (Ok(()), Some(opening)) => {
            let (stream, unread) = io.into_inner().into_parts();
            return Some(opening.begin(stream, [read_buf, unread].concat(), connection.permit));
        }
        _ => match io.into_inner().into_http2() {
            // Boxed: hardly any connection needs it, and all would have room for it.
            Ok(stream) => Box::pin(http2::serve(stream, connection)).await,
            Err(stream) => linger(stream).await,
        },
    }
    None
}

/// The number of fields that hyper takes without an allocation.
const HYPER_HEADERS: usize = 100;

/// The requests of one connection, each sent through the stack.
struct Requests {
    arrival: Arc<Arrival>,
    stack: Stack,
    /// To the first of them, where the stack has seen it already.
    answer: Cell<Option<Response<Body>>>,
}

impl Service<Request<hyper::body::Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let reply = if let Some(answer) = self.answer.take() {
            Either::Left(ready(Ok(answer)))
        } else {
            let mut request = request.map(Incoming::from);
            request.extensions_mut().insert(Arc::clone(&self.arrival));
            Either::Right(self.stack.clone().oneshot(request))
        };
        Answering {
            reply,
            arrival: Arc::clone(&self.arrival),
        }
    }
}

type Reply = Result<Response<Body>, Infallible>;

/// The answer to a request. A layer may have made something else of a 101: then there is no session.
struct Answering {
    reply: Either<Ready<Reply>, Oneshot<Stack, Request<Incoming>>>,
    arrival: Arc<Arrival>,
}

impl Future for Answering {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = task::ready!(Pin::new(&mut self.reply).poll(cx))?;
        if reply.status() != StatusCode::SWITCHING_PROTOCOLS {
            drop(self.arrival.opening());
        }
        Poll::Ready(Ok(reply))
    }
}
