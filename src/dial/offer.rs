//! The handshake with the backend.
//!
//! In: a fresh connection and what is unsent of the request's head. Out: the stream and the bytes that came with a valid
//! 101; or the backend's refusal, whose body is still streaming; or what was wrong.
//!
//! - The connection carries this one request and is never pooled: a backend that disagrees about where the request ends
//!   can hurt nobody else (CVE-2026-2833, CVE-2026-58055).
//! - Only a 101 that fits the offered key upgrades (RFC 6455, 4.1); everything else that is a response is a refusal and
//!   passes.
//! - An answer that begins with a whole 101 is read here, and costs one buffer of [`SHORT`]. Every other answer, and every
//!   one that is wrong or long, is hyper's, from its first byte ([`Replay`]): it bounds the head by [`MAX_HEAD`], skips
//!   informational answers and reads bodies. The caller bounds the time.
//!
//! Not here: which endpoint, and whether another is tried ([`super`]).

use std::{future::poll_fn, io, pin::pin, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, response};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    connect::Backend,
    replay::Replay,
    verify::{BadUpgrade, verify_101},
};
use crate::{head, listen::Upgrade, timers::timeout, tls};

/// What a backend made of a handshake.
#[derive(Debug)]
pub(super) enum Reply {
    /// A valid 101.
    Upgraded {
        head: response::Parts,
        stream: Backend,
        /// What came together with the head, copied out of the buffer, which would stay as long as the session.
        early: Vec<u8>,
    },
    /// Any other answer.
    Refused(Response<Incoming>),
}

/// Why a backend's answer is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The connection ended or failed before any answer.
    #[error("the connection ended before an answer")]
    Reset(#[source] io::Error),
    /// The endpoint wants another certificate of ours than it was shown, or one at all.
    #[error("the endpoint does not take our certificate: {0}")]
    OwnCertificate(#[source] io::Error),
    /// What came is no HTTP/1.1 response.
    #[error("the answer is not HTTP/1.1")]
    Garbage(#[source] hyper::Error),
    /// A 101 that does not fit the request.
    #[error(transparent)]
    BadUpgrade(#[from] BadUpgrade),
}

/// The longest head of a 101 that is read without hyper, and the most fields that it may have.
const SHORT: usize = 1024;
const FEW: usize = 32;

/// The longest response head that is read.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// How long the body of a refusal may take; the client's patience usually ends earlier.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);

/// Sends what is unsent of the request's head and waits for the answer; cancelling closes the connection.
pub(super) async fn offer(
    mut stream: Backend,
    unsent: &[u8],
    upgrade: &Upgrade,
) -> Result<Reply, Unanswered> {
    if !unsent.is_empty() {
        stream.write_all(unsent).await.map_err(ended)?;
        // TLS may hold back the end of what it was given.
        stream.flush().await.map_err(ended)?;
    }
    let mut buffer = BytesMut::with_capacity(SHORT);
    loop {
        if stream.read_buf(&mut buffer).await.map_err(ended)? == 0 {
            return Err(Unanswered::Reset(io::ErrorKind::UnexpectedEof.into()));
        }
        let seen = buffer.freeze();
        match Beginning::of(&seen) {
            Beginning::Switching(head, length) => {
                verify_101(&head, upgrade)?;
                let early = seen[length..].to_vec();
                return Ok(Reply::Upgraded { head, stream, early });
            }
            Beginning::Unclear if seen.len() < SHORT => buffer = seen.into(),
            Beginning::Unclear | Beginning::Other => {
                // Boxed: hardly any handshake needs it, and all would have room for it.
                return Box::pin(hear_out(Replay::new(seen, stream), upgrade)).await;
            }
        }
    }
}

/// What a backend's answer is, as far as it has come.
enum Beginning {
    /// A whole head of a 101, and how long it is.
    Switching(response::Parts, usize),
    /// It may become one.
    Unclear,
    /// Anything else.
    Other,
}

impl Beginning {
    fn of(seen: &Bytes) -> Self {
        let mut fields = [httparse::EMPTY_HEADER; FEW];
        let mut answer = httparse::Response::new(&mut fields);
        let length = match answer.parse(seen) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Self::Unclear,
            Err(_) => return Self::Other,
        };
        if (answer.version, answer.code) != (Some(1), Some(101)) {
            return Self::Other;
        }
        let Some(headers) = head::read(seen, answer.headers, 0) else {
            return Self::Other;
        };
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        head.headers = headers;
        Self::Switching(head, length)
    }
}

/// Has hyper read the answer.
async fn hear_out(stream: Replay<Backend>, upgrade: &Upgrade) -> Result<Reply, Unanswered> {
    let (mut sender, mut connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // Only its method matters, to how the answer is read: the request has been sent.
    let mut answer = pin!(sender.send_request(Request::new(Empty::<Bytes>::new())));
    let mut ended = false;
    let response = poll_fn(|cx| {
        if !ended {
            // Its error reaches the answer, which says more.
            ended = connection.poll_without_shutdown(cx).is_ready();
        }
        match answer.as_mut().poll(cx) {
            Poll::Pending if ended => Poll::Ready(None),
            answer => answer.map(Some),
        }
    })
    .await;
    let response = response
        .ok_or_else(|| Unanswered::Reset(io::ErrorKind::UnexpectedEof.into()))?
        .map_err(failed)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if !ended {
            tokio::spawn(timeout(REFUSAL_LIMIT, connection));
        }
        return Ok(Reply::Refused(response));
    }
    let (head, _) = response.into_parts();
    verify_101(&head, upgrade)?;
    let parts = connection.into_parts();
    let (stream, unread) = parts.io.into_inner().into_parts();
    Ok(Reply::Upgraded {
        head,
        stream,
        early: [parts.read_buf, unread].concat(),
    })
}

fn ended(error: io::Error) -> Unanswered {
    match tls::refuses_our_certificate(&error) {
        true => Unanswered::OwnCertificate(error),
        false => Unanswered::Reset(error),
    }
}

fn failed(error: hyper::Error) -> Unanswered {
    if error.is_parse() {
        Unanswered::Garbage(error)
    } else {
        Unanswered::Reset(io::Error::other(error))
    }
}
