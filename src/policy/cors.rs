//! What scripts of other origins may send and read (the CORS protocol of the Fetch standard).
//!
//! In: a request whose route is known and has `cors`. Out: the answer to a preflight, without a dial; or whatever the steps
//! behind answer, with the fields that let the script read it.
//!
//! - The fields are on every answer, Longhaul's own included: without them a script cannot tell a 503 from no network.
//! - A backend's own `Access-Control-Allow-Origin` and `-Credentials` are replaced: with two, browsers refuse the answer.
//! - An origin that is not allowed gets the answer without the fields, and its preflight a 403. It is the browser that
//!   obeys; what must not even be asked for is for `origins` to say ([`super::origin`]).
//!
//! A route without `cors` pays for none of this. WebSockets need none of it.

use std::{
    future::ready,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, Either};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, response};
use tower::{Layer, Service, layer::layer_fn};

use super::origin::Origins;
use crate::{
    answer::{Answer, Body},
    listen::handshake::tokens,
    route::Matched,
    router::Planned,
};

/// What a route lets scripts of other origins do.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose scripts; `None` is anyone's.
    pub origins: Option<Origins>,
    /// Whether browsers may add cookies and other credentials.
    pub credentials: bool,
    /// The header fields that they may send; `None` is any that they ask for.
    pub headers: Option<HeaderValue>,
    /// The methods that they may use.
    pub methods: HeaderValue,
    /// How long a browser may remember this.
    pub max_age: Duration,
}

/// The step of the stack.
pub fn layer<S>() -> impl Layer<S, Service = Cors<S>> + Clone {
    layer_fn(|inner| Cors { inner })
}

/// See [`layer`].
#[derive(Clone, Debug)]
pub struct Cors<S> {
    inner: S,
}

/// What an answer to one request has to say.
struct Grant {
    planned: Arc<Planned>,
    /// The request's origin, if it is allowed.
    origin: Option<HeaderValue>,
}

impl<S, B> Service<Request<B>> for Cors<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some((grant, rules)) = Grant::of(&request) else {
            return Either::Left(self.inner.call(request));
        };
        if is_preflight(&request) {
            let answer = grant.preflight(&rules, request.headers());
            return Either::Right(Box::pin(ready(Ok(answer))));
        }
        let answer = self.inner.call(request);
        Either::Right(Box::pin(async move {
            let (mut head, body) = answer.await?.into_parts();
            grant.write(&rules, &mut head);
            Ok(Response::from_parts(head, body))
        }))
    }
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

// === impl Grant ===

impl Grant {
    fn of<B>(request: &Request<B>) -> Option<(Self, Arc<Rules>)> {
        let planned = &request.extensions().get::<Matched>()?.planned;
        let rules = planned.route.cors.as_ref()?;
        let mut fields = request.headers().get_all(header::ORIGIN).iter();
        let origin = fields.next().filter(|_| fields.next().is_none());
        let allowed = |origin: &&HeaderValue| {
            let origins = rules.origins.as_ref();
            origins.is_none_or(|origins| origins.has(origin.as_bytes()))
        };
        let grant = Self {
            planned: Arc::clone(planned),
            origin: origin.filter(allowed).cloned(),
        };
        Some((grant, Arc::clone(rules)))
    }

    /// The answer to the question whether a request may be sent.
    fn preflight(&self, rules: &Rules, asked: &HeaderMap) -> Response<Body> {
        let mut answer = Response::new(Body::empty());
        if self.origin.is_none() {
            let text = "this route answers no scripts of this origin";
            answer = Answer::new(StatusCode::FORBIDDEN, text).into_response();
        } else {
            *answer.status_mut() = StatusCode::NO_CONTENT;
            let headers = answer.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, rules.methods.clone());
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, rules.max_age.as_secs().into());
            // Said one by one: with credentials `*` would mean a field of that name.
            let any = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
            if let Some(allowed) = rules.headers.as_ref().or(any) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
            }
            headers.insert(
                header::VARY,
                HeaderValue::from_static("Access-Control-Request-Headers"),
            );
        }
        self.planned.metrics.request(Some(answer.status()));
        let (mut head, body) = answer.into_parts();
        self.write(rules, &mut head);
        Response::from_parts(head, body)
    }

    fn write(&self, rules: &Rules, answer: &mut response::Parts) {
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let headers = &mut answer.headers;
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if rules.origins.is_none() {
            // The same for all, and so a cache may give it to all.
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return;
        }
        if let Some(origin) = &self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if rules.credentials {
                headers.insert(
                    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                    HeaderValue::from_static("true"),
                );
            }
        }
        let varies = |token: &[u8]| token.eq_ignore_ascii_case(b"origin") || token == b"*";
        if !tokens(headers, &header::VARY).any(varies) {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}
