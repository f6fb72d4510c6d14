//! The server below the admin routes: HTTP/1.1 with every bound set.
//!
//! In: a listener and a [`Site`]. Out: one answer per connection, with the headers that keep browsers strict.
//!
//! Bounds: [`CONNECTIONS`] at once, the oldest gives way; [`DEADLINE`] from accept to the last byte of the answer; a head of
//! [`HEAD_BYTES`] and [`HEAD_FIELDS`]; no body over [`BODY_BYTES`]. One request per connection makes the deadline a total
//! one: there is no idle connection to bound apart.

use std::{collections::VecDeque, convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::{access::Rules, console};

/// What every connection shares.
pub(super) struct Site {
    pub(super) rules: Rules,
    pub(super) router: Router,
}

pub(super) async fn run(listener: TcpListener, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    // Dropping the set at the end cuts what is open.
    let mut connections = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = stream else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        by_age.retain(|connection| !connection.is_finished());
        if by_age.len() >= CONNECTIONS
            && let Some(oldest) = by_age.pop_front()
        {
            oldest.abort();
        }
        by_age.push_back(connections.spawn(connection(stream, Arc::clone(&site))));
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let answer = service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(DEADLINE, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

// === impl Site ===

impl Site {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let wants_page = request.uri().path() == "/" && request.method() == Method::GET;
        let (head, body) = request.into_parts();
        let mut response = if let Err(refusal) = self.rules.check(&head) {
            let mut response = refusal.response();
            if wants_page && response.status() == StatusCode::UNAUTHORIZED {
                // A browser cannot send the token by itself: the page, which holds no data, asks for it.
                *response.body_mut() = Body::from(console::PAGE);
                let html = HeaderValue::from_static(console::HTML);
                response.headers_mut().insert(header::CONTENT_TYPE, html);
                response.headers_mut().remove(header::CONTENT_LENGTH);
            }
            response
        } else if body.size_hint().upper().is_none_or(|most| most > BODY_BYTES) {
            super::error(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body")
        } else {
            let request = Request::from_parts(head, Body::empty());
            match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        for (name, value) in STRICT {
            let headers = response.headers_mut();
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        response
    }
}

/// On every answer, unless a page sets its own.
const STRICT: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// An operator's browser, a scraper and the probes of a node need a handful.
pub(super) const CONNECTIONS: usize = 64;

/// As long as a scraper waits by default.
const DEADLINE: Duration = Duration::from_secs(10);

const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 64;

/// Clients that send an empty JSON object with a POST are let be.
const BODY_BYTES: u64 = 1024;

/// Out of descriptors, accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
