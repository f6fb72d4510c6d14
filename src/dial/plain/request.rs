//! A plain request as backends see it.
//!
//! In: the request's head, cleaned by the policies, and its body. Out: the request for each try, framed anew.
//!
//! Not here: what of the header passes ([`headers`](crate::policy::headers)).

use std::{net::SocketAddr, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header, request::Parts,
    uri::PathAndQuery,
};
use hyper::body::Body as _;

use super::upload::{Progress, Upload};
use crate::listen::{Incoming, handshake::tokens};

/// A request that is to be sent, perhaps more than once.
#[derive(Debug)]
pub(super) struct Outgoing {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    /// Gone once a part of it may have been sent.
    body: Option<Incoming>,
    /// The body waits for the backend's 100.
    hold: bool,
    /// The version that the client speaks.
    pub(super) version: Version,
    /// It may be sent again although it was sent: its method says so (RFC 9110 9.2.2), and it has no body.
    pub(super) repeatable: bool,
}

impl Outgoing {
    pub(super) fn new(head: Parts, target: PathAndQuery, body: Incoming) -> Self {
        let body = Some(body).filter(|body| !body.is_end_stream());
        let mut outgoing = Self {
            repeatable: body.is_none() && head.method.is_idempotent(),
            hold: false,
            method: head.method,
            target,
            headers: head.headers,
            body,
            version: head.version,
        };
        outgoing.say_where_it_ends();
        outgoing.heed_expectation();
        outgoing.name_host(&head.uri);
        outgoing
    }

    /// The request for the endpoint at this address.
    pub(super) fn make(&mut self, address: SocketAddr) -> (Request<Upload>, Arc<Progress>) {
        let upload = Upload::new(self.body.take(), self.hold);
        let progress = upload.progress();
        let mut request = Request::new(upload);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.clone());
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().entry(header::HOST).or_insert_with(|| {
            // HTTP/1.0 may come without; HTTP/1.1, which it goes on as, may not.
            HeaderValue::try_from(address.to_string()).expect("an address makes a field value")
        });
        if self.hold {
            let progress = Arc::clone(&progress);
            hyper::ext::on_informational(&mut request, move |answer| {
                if answer.status() == StatusCode::CONTINUE {
                    progress.release();
                }
            });
        }
        (request, progress)
    }

    /// The same request for another endpoint, where it may be repeated.
    pub(super) fn again(&self) -> Self {
        Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: None,
            hold: false,
            version: self.version,
            repeatable: self.repeatable,
        }
    }

    /// The header as it goes out.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// It may be sent again, whatever its method says, unless it has a body.
    pub(super) fn allow_repeating(&mut self) {
        self.repeatable |= self.body.is_none();
    }

    /// Takes back a request of which nothing was sent.
    pub(super) fn take_back(&mut self, request: Request<Upload>) {
        self.body = request.into_body().into_inner();
    }

    fn say_where_it_ends(&mut self) {
        let said = self.headers.contains_key(header::CONTENT_LENGTH);
        match &self.body {
            // Some servers answer 411 to a POST that does not say that it has no body.
            None if !said && [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) => {
                self.headers
                    .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Some(_) if !said => {
                self.headers
                    .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            _ => {}
        }
    }

    /// An expectation without a body, or in HTTP/1.0, means nothing (RFC 9110 10.1.1).
    fn heed_expectation(&mut self) {
        if self.body.is_none() || self.version < Version::HTTP_11 {
            self.headers.remove(header::EXPECT);
        }
        self.hold = tokens(&self.headers, &header::EXPECT)
            .any(|expected| expected.eq_ignore_ascii_case(b"100-continue"));
    }

    /// HTTP/2 names it in the target alone.
    fn name_host(&mut self, uri: &Uri) {
        let host = uri
            .authority()
            .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        if let Some(host) = host {
            self.headers.entry(header::HOST).or_insert(host);
        }
    }
}
