//! The body of a request, whatever it came by.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::http2;
use crate::answer::BoxError;

/// The body of a client's request, read as it comes. Nothing is taken from the client that nobody has asked for.
#[derive(Debug)]
pub struct Incoming(Kind);

#[derive(Debug)]
enum Kind {
    Empty,
    Http1(hyper::body::Incoming),
    Http2(http2::Body),
}

impl Incoming {
    /// No body.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }
}

impl From<hyper::body::Incoming> for Incoming {
    fn from(body: hyper::body::Incoming) -> Self {
        Self(Kind::Http1(body))
    }
}

impl From<http2::Body> for Incoming {
    fn from(body: http2::Body) -> Self {
        Self(Kind::Http2(body))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Http1(body) => body.is_end_stream(),
            Kind::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Http1(body) => body.size_hint(),
            Kind::Http2(body) => body.size_hint(),
        }
    }
}
