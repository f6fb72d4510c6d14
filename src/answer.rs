//! What Longhaul itself answers before the 101, and the body type of every answer.
//!
//! In: a cause. Out: a short response that says what happened and never who else is behind it.
//!
//! - Every answer of our own is `no-store`; 503 says when to come back, with jitter, so that clients turned away
//!   together do not return together; 426 names the version (RFC 6455, 4.2.2).
//! - A browser shows a script none of this: it sees only that the handshake failed (WHATWG). The text is for people
//!   with a terminal.
//!
//! Not here: a backend's refusal, which passes as it came ([`crate::dial`]).

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// The body of a response to a client.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Empty,
    Text(Option<Bytes>),
    Backend(Incoming),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

/// Why a body could not be read to its end.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status line.
    pub status: StatusCode,
    /// One line for people.
    pub text: String,
    /// The connection ends after it.
    pub close: bool,
    /// When to come back, in seconds.
    pub retry_after: Option<u32>,
    /// A field that its status demands.
    pub field: Option<(HeaderName, HeaderValue)>,
}

// === impl Answer ===

impl Answer {
    /// A response with this status and one line of text.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            close: false,
            retry_after: None,
            field: None,
        }
    }

    /// 503: come back in one to five seconds.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self {
            retry_after: Some(fastrand::u32(1..=5)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }

    /// The connection ends after it.
    pub fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// As a response.
    pub fn into_response(self) -> Response<Body> {
        let mut text = self.text;
        text.push('\n');
        let mut response = Response::new(Body(Kind::Text(Some(text.into()))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        if let Some((name, value)) = self.field {
            headers.insert(name, value);
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

// === impl Body ===

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A backend's body, streamed as it comes.
    pub const fn backend(body: Incoming) -> Self {
        Self(Kind::Backend(body))
    }

    /// Any other body, for layers of those who embed Longhaul.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Boxed(body.map_err(Into::into).boxed_unsync()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Text(text) => Poll::Ready(text.take().map(|text| Ok::<_, Infallible>(Frame::data(text))))
                .map_err(Into::into),
            Kind::Backend(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Text(text) => text.is_none(),
            Kind::Backend(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Kind::Backend(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}
