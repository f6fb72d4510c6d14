//! The answer that gives out an id, with the tag on it.
//!
//! In: an answer as its backend sent it. Out: the same with its body changed, or untouched, and how that went.
//!
//! - At most [`LONGEST`] bytes of a body are held, and for at most [`PATIENCE`]; a longer or slower one goes on as it
//!   came, streamed.
//! - A changed body has its own `Content-Length`; what vouched for the old one goes.
//! - An encoded body is left alone. Backends are asked for none, and nobody would unpack what a stranger packed.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Response, StatusCode, header, response};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use crate::{
    answer::{Body, BoxError},
    timers::timeout_at,
};

/// Why an answer stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untouched {
    /// It gives out no id.
    NoId,
    /// It cannot be read, or nothing in it can be tagged.
    Unmintable,
}

/// Bytes of the longest answer that is held; real ones have a few hundred.
const LONGEST: usize = 64 * 1024;

/// How long an answer may take from its head to its end. It is one packet of a backend that has already answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// What says something of the body as it was.
static OF_THE_BODY: [HeaderName; 5] = [
    header::ETAG,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Puts what `splice` makes of the body in its place.
pub(super) async fn rewrite(
    response: Response<Body>,
    splice: impl FnOnce(&str) -> Result<String, Untouched>,
) -> (Response<Body>, Result<(), Untouched>) {
    if response.status() != StatusCode::OK {
        return (response, Err(Untouched::NoId));
    }
    let too_long = response.body().size_hint().lower() > LONGEST as u64;
    if is_encoded(response.headers()) || too_long {
        return (response, Err(Untouched::Unmintable));
    }
    let (head, body) = response.into_parts();
    let begun = Begun::read(body).await;
    let spliced = match begun.whole() {
        Some(bytes) => std::str::from_utf8(&bytes)
            .map_err(|_| Untouched::Unmintable)
            .and_then(splice),
        None => Err(Untouched::Unmintable),
    };
    match spliced {
        Ok(text) => (changed(head, text), Ok(())),
        Err(why) => (Response::from_parts(head, Body::new(begun)), Err(why)),
    }
}

fn changed(mut head: response::Parts, text: String) -> Response<Body> {
    for name in &OF_THE_BODY {
        head.headers.remove(name);
    }
    head.headers.insert(header::CONTENT_LENGTH, text.len().into());
    Response::from_parts(head, Body::new(http_body_util::Full::new(Bytes::from(text))))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// A body of which the beginning was read.
struct Begun {
    read: VecDeque<Frame<Bytes>>,
    failed: Option<BoxError>,
    /// `None` after the end.
    rest: Option<Body>,
}

// === impl Begun ===

impl Begun {
    async fn read(mut body: Body) -> Self {
        let mut begun = Self {
            read: VecDeque::new(),
            failed: None,
            rest: None,
        };
        let mut bytes = 0;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match timeout_at(deadline, body.frame()).await {
                Ok(None) => return begun,
                Ok(Some(Ok(frame))) => {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                    begun.read.push_back(frame);
                }
                Ok(Some(Err(error))) => {
                    begun.failed = Some(error);
                    return begun;
                }
                Err(_) => break,
            }
            if bytes > LONGEST {
                break;
            }
        }
        begun.rest = Some(body);
        begun
    }

    /// All of its bytes, if it was read to its end.
    fn whole(&self) -> Option<Bytes> {
        if self.rest.is_some() || self.failed.is_some() {
            return None;
        }
        let mut whole = BytesMut::new();
        for data in self.read.iter().filter_map(Frame::data_ref) {
            whole.extend_from_slice(data);
        }
        Some(whole.freeze())
    }
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && self.failed.is_none()
            && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read: usize = self.read.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            None if self.failed.is_some() => SizeHint::new(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read as u64);
        }
        hint.set_lower(rest.lower() + read as u64);
        hint
    }
}

#[cfg(test)]
mod tests;
