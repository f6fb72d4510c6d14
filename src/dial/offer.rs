//! The handshake with the backend.
//!
//! In: a fresh connection and the request. Out: the stream and the bytes that came with a valid 101; or the backend's
//! refusal, whose body is still streaming; or what was wrong.
//!
//! - The connection carries this one request and is never pooled: a backend that disagrees about where the request ends
//!   can hurt nobody else (CVE-2026-2833, CVE-2026-58055).
//! - Only a 101 that fits the offered key upgrades (RFC 6455, 4.1); everything else that is a response is a refusal and
//!   passes.
//! - An answer's head is bounded by [`MAX_HEAD`]; informational answers are skipped, and the caller bounds the time.
//!
//! Not here: which endpoint, and whether another is tried ([`super`]).

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, response};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::verify::{BadUpgrade, verify_101};
use crate::listen::Upgrade;

/// What a backend made of a handshake.
#[derive(Debug)]
pub(super) enum Reply {
    /// A valid 101.
    Upgraded {
        head: response::Parts,
        stream: TcpStream,
        /// What came together with the head, copied out of hyper's buffer, which would stay as long as the session.
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
    Reset(#[source] Option<hyper::Error>),
    /// What came is no HTTP/1.1 response.
    #[error("the answer is not HTTP/1.1")]
    Garbage(#[source] hyper::Error),
    /// A 101 that does not fit the request.
    #[error(transparent)]
    BadUpgrade(#[from] BadUpgrade),
}

/// The longest response head that is read.
const MAX_HEAD: usize = 64 * 1024;

/// How long the body of a refusal may take; the client's patience usually ends earlier.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);

/// Offers the upgrade and waits for the answer; cancelling closes the connection.
pub(super) async fn offer(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
    upgrade: &Upgrade,
) -> Result<Reply, Unanswered> {
    let (mut sender, mut connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Unanswered::Reset(Some(error)))?;
    let mut answer = pin!(sender.send_request(request));
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
    let response = match response {
        Some(Ok(response)) => response,
        Some(Err(error)) if error.is_parse() => return Err(Unanswered::Garbage(error)),
        Some(Err(error)) => return Err(Unanswered::Reset(Some(error))),
        None => return Err(Unanswered::Reset(None)),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if !ended {
            tokio::spawn(timeout(REFUSAL_LIMIT, connection));
        }
        return Ok(Reply::Refused(response));
    }
    let (head, _) = response.into_parts();
    verify_101(&head, upgrade)?;
    let parts = connection.into_parts();
    Ok(Reply::Upgraded {
        head,
        stream: parts.io.into_inner(),
        early: parts.read_buf.to_vec(),
    })
}
