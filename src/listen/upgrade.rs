//! A request for a WebSocket that begins its connection and is there in one piece, read without hyper.
//!
//! In: the first bytes of a connection. Out: a session; or an answer that is none, for hyper to write.
//!
//! - Nearly every request for a WebSocket is such a one, and hyper's server, made for many requests and their bodies, was
//!   a quarter of the work of a handshake.
//! - Whatever is not plainly that (another method, an absolute target, a body, a malformed or a long head, one in two
//!   pieces) is hyper's, from its first byte. So is every answer but a 101: hyper reads the request again, is told the
//!   answer, and goes on with the connection.
//! - Both read a head with httparse, and one that both would take is the same to both.
//! - While the answer is on its way a client that leaves ends its request, and so does one that only ends its stream: it
//!   may send nothing before the 101 (RFC 6455, 4.1). What it sends all the same is kept, up to [`EARLY`].
//!
//! Not here: whether the request is a valid one ([`handshake`](super::handshake)).

use std::{
    future::poll_fn,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, Version, request::Parts};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tower::Service;

use super::{Incoming, first::poll_some, linger::linger, serve::Connection};
use crate::{answer::Body, config::Limits, dial::Life, head, relay::Joinable};

/// The head of a request for a WebSocket.
pub(super) struct Asked {
    head: Parts,
    /// Bytes that it took.
    length: usize,
}

/// What becomes of a connection that goes on.
pub(super) enum Next<S> {
    Session(Life),
    Http(Box<Unfinished<S>>),
}

/// A connection that is to be gone on with in HTTP.
pub(super) struct Unfinished<S> {
    pub(super) stream: S,
    pub(super) connection: Connection,
    /// What was read of it.
    pub(super) seen: Bytes,
    /// The answer to the request that it begins with.
    pub(super) answer: Response<Body>,
}

/// The most fields of a head that is read here.
const FIELDS: usize = 64;

/// Bytes of a client that are taken before its 101.
const EARLY: usize = 64 * 1024;

/// What most heads of a 101 fit in.
const HEAD: usize = 512;

impl Asked {
    /// Reads the head, if it is plainly that of a request for a WebSocket.
    pub(super) fn read(seen: &Bytes, limits: &Limits) -> Option<Self> {
        // By far the most other requests can be told by this.
        if !seen.starts_with(b"GET /") {
            return None;
        }
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let Ok(httparse::Status::Complete(length)) = request.parse_with_uninit_headers(seen, &mut fields)
        else {
            return None;
        };
        let fits = length <= limits.request_head && request.headers.len() <= limits.request_headers;
        if !fits || request.version != Some(1) {
            return None;
        }
        if !asks_plainly(request.headers) {
            return None;
        }
        let head = parts(seen, &request)?;
        Some(Self { head, length })
    }

    /// Sends it through the stack and begins the session, or returns what there is to be answered.
    ///
    /// Not an `async fn`: its future would hold all of this twice.
    pub(super) fn serve<S>(
        self,
        mut stream: S,
        mut connection: Connection,
        seen: Bytes,
    ) -> impl Future<Output = Option<Next<S>>>
    where
        S: Joinable + Send + 'static,
    {
        let arrival = connection.arrival();
        let mut request = Request::from_parts(self.head, Incoming::empty());
        request.extensions_mut().insert(Arc::clone(&arrival));
        let length = self.length;
        let mut early = seen[length..].to_vec();
        async move {
            let Ok(()) = poll_fn(|cx| connection.stack.poll_ready(cx)).await;
            let answer = connection.stack.call(request);
            let Some(Ok(answer)) = unless_gone(answer, &mut stream, &mut early).await else {
                Box::pin(linger(stream)).await;
                return None;
            };
            match arrival.opening() {
                Some(opening) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    stream.write_all(&switching(&answer)).await.ok()?;
                    stream.flush().await.ok()?;
                    Some(Next::Session(opening.begin(stream, early, connection.permit)))
                }
                // A layer may have made something else of a 101, and then there is no session.
                _ => {
                    early.splice(..0, seen[..length].iter().copied());
                    Some(Next::Http(Box::new(Unfinished {
                        stream,
                        connection,
                        seen: early.into(),
                        answer,
                    })))
                }
            }
        }
    }
}

/// Whether the fields ask for a WebSocket, once, and announce nothing else.
fn asks_plainly(fields: &[httparse::Header<'_>]) -> bool {
    let mut upgrades = 0;
    for field in fields {
        // By its length most names need no closer look.
        match field.name.len() {
            7 if field.name.eq_ignore_ascii_case("upgrade") => {
                if !field.value.eq_ignore_ascii_case(b"websocket") {
                    return false;
                }
                upgrades += 1;
            }
            6 if field.name.eq_ignore_ascii_case("expect") => return false,
            14 if field.name.eq_ignore_ascii_case("content-length") => return false,
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => return false,
            _ => {}
        }
    }
    upgrades == 1
}

fn parts(seen: &Bytes, request: &httparse::Request<'_, '_>) -> Option<Parts> {
    let target = seen.slice_ref(request.path?.as_bytes());
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::GET;
    head.version = Version::HTTP_11;
    head.uri = Uri::from_maybe_shared(target).ok()?;
    head.headers = head::read(seen, request.headers, ADDED)?;
    Some(head)
}

/// Fields that the steps of the stack add, usually.
const ADDED: usize = 6;

/// Waits for the answer, and meanwhile for the client to leave: then there is none.
async fn unless_gone<S, T>(
    mut answer: impl Future<Output = T> + Unpin,
    stream: &mut S,
    early: &mut Vec<u8>,
) -> Option<T>
where
    S: AsyncRead + Unpin,
{
    poll_fn(|cx| {
        if let Poll::Ready(answer) = Pin::new(&mut answer).poll(cx) {
            return Poll::Ready(Some(answer));
        }
        while early.len() < EARLY {
            let before = early.len();
            let took = poll_some(cx, stream, EARLY - before, |bytes| {
                // Doubling would take twice of what is allowed.
                early.reserve_exact(bytes.len());
                early.extend_from_slice(bytes);
            });
            match ready!(took) {
                Ok(()) if early.len() > before => {}
                Ok(()) | Err(_) => return Poll::Ready(None),
            }
        }
        Poll::Pending
    })
    .await
}

/// The head of a 101 on the wire.
fn switching(answer: &Response<Body>) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    head::write(answer.headers(), &mut head);
    head
}

#[cfg(test)]
mod tests;
