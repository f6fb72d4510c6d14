//! One request of a connection, and its answer.
//!
//! In: a request and the stream that it came by. Out: the answer on that stream; or, for a WebSocket, a session on it.
//!
//! - A request that the client takes back is dropped at once, with its dial; one that was taken back before its turn
//!   came never has a dial (CVE-2023-44487).
//! - Every request has a [`Permit`] of its own while it lasts, and its session after it: a connection with a thousand
//!   sessions needs as many descriptors as a thousand connections do.
//! - The backend's 101 is a 200 here, and its 200 is none: it has not upgraded, and here that is what a 200 says. Nothing
//!   of what HTTP/1.1 says about its connection is said (RFC 8441, 5; RFC 9113, 8.2.2).
//!
//! Not here: what becomes of the request ([`crate::stack`]).

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts,
};
use hyper::body::Body as _;
use tokio::sync::oneshot;
use tower::ServiceExt;

use super::{
    Shared,
    body::{self, Body},
    outlet::Outlet,
    translate::translate,
    tunnel::Tunnel,
};
use crate::{
    answer::{self, Answer},
    listen::{Arrival, Incoming, Permit},
    relay::outbox::counted,
    telemetry::metrics::HandshakeEnd,
};

/// Answers one request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (mut head, recv) = request.into_parts();
    let bodiless = head.method == Method::HEAD;
    let permit = match admit(&shared, &head) {
        Ok(permit) => permit,
        Err(refusal) => return refuse(respond, refusal),
    };
    let (body, wanted, recv) = body_of(&head, recv);
    translate(&mut head);
    let arrival = shared.connection.arrival();
    head.extensions.insert(Arc::clone(&arrival));
    let asked = shared
        .connection
        .stack
        .clone()
        .oneshot(Request::from_parts(head, body));
    let Some(response) = unless_taken_back(&mut respond, pin!(asked), wanted).await else {
        shared.count_taken_back();
        return;
    };
    match (recv, response.status()) {
        (Some(recv), StatusCode::SWITCHING_PROTOCOLS) => open(&arrival, respond, response, recv, permit),
        // A layer of an embedder's own has made it up.
        (None, StatusCode::SWITCHING_PROTOCOLS) => respond.send_reset(Reason::INTERNAL_ERROR),
        (recv, status) => {
            drop(arrival.opening());
            let response = match recv.is_some() && status.is_success() {
                true => not_upgraded(),
                false => response,
            };
            reply(respond, response, bodiless).await;
        }
    }
}

/// The body of a request, and when it is wanted if the client waits for that. What follows a CONNECT is no body, and must
/// not be read as one.
fn body_of(head: &Parts, recv: RecvStream) -> (Incoming, Option<oneshot::Receiver<()>>, Option<RecvStream>) {
    if head.method == Method::CONNECT {
        return (Incoming::empty(), None, Some(recv));
    }
    let mut body = Body::new(recv, content_length(&head.headers));
    let wanted = head.headers.contains_key(header::EXPECT).then(|| body.wanted());
    (body.into(), wanted, None)
}

/// In place of a success that is no upgrade: to a CONNECT it would say that the WebSocket is open (RFC 9110, 9.3.6).
fn not_upgraded() -> Response<answer::Body> {
    let text = "the endpoint answered, but not as a WebSocket";
    Answer::new(StatusCode::BAD_GATEWAY, text).into_response()
}

/// A place for a request, unless it is too much.
fn admit(shared: &Shared, head: &Parts) -> Result<Permit, Answer> {
    let connection = &shared.connection;
    let refuse = |end| connection.router.metrics.unrouted().handshake(end);
    if head.headers.len() > connection.rules.limits.request_headers {
        refuse(HandshakeEnd::TooLarge);
        let text = "the request has too many fields";
        return Err(Answer::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text));
    }
    connection.permit.another().ok_or_else(|| {
        refuse(HandshakeEnd::Overloaded);
        Answer::unavailable("this router has no room for another request")
    })
}

/// Refuses a request that has no place: at once and without a body, for which a client that gives no window could make
/// this wait, and keep the request.
fn refuse(mut respond: SendResponse<Bytes>, refusal: Answer) {
    let (mut head, _) = refusal.into_response().into_parts();
    drop_connection_fields(&mut head.headers);
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    // Fails only if the client has left.
    let _ = respond.send_response(Response::from_parts(head, ()), true);
}

/// Waits for the answer; `None` if the client does not want it any more. It is told to go on once its body is `wanted`.
async fn unless_taken_back<F>(
    respond: &mut SendResponse<Bytes>,
    mut asked: Pin<&mut F>,
    mut wanted: Option<oneshot::Receiver<()>>,
) -> Option<Response<answer::Body>>
where
    F: Future<Output = Result<Response<answer::Body>, Infallible>>,
{
    poll_fn(|cx| {
        // Before the request is looked at: what is not wanted any more must not cost a dial.
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        let answered = asked.as_mut().poll(cx);
        if answered.is_pending()
            && let Some(Poll::Ready(said)) = wanted.as_mut().map(|wanted| Pin::new(wanted).poll(cx))
        {
            wanted = None;
            // Fails only if the client has left, which is seen next.
            let _ = said.map(|()| respond.send_informational(go_on()));
        }
        answered.map(Result::ok)
    })
    .await
}

fn go_on() -> Response<()> {
    let mut go_on = Response::new(());
    *go_on.status_mut() = StatusCode::CONTINUE;
    go_on
}

/// Tells the client that its WebSocket is open, and begins the session.
fn open(
    arrival: &Arrival,
    mut respond: SendResponse<Bytes>,
    response: Response<answer::Body>,
    recv: RecvStream,
    permit: Permit,
) {
    let Some(opening) = arrival.opening() else {
        return respond.send_reset(Reason::INTERNAL_ERROR);
    };
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::OK;
    drop_connection_fields(&mut head.headers);
    head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
    // Fails only if the client has left meanwhile.
    if let Ok(send) = respond.send_response(Response::from_parts(head, ()), false) {
        tokio::spawn(counted(opening.begin(
            Tunnel::new(Outlet::new(send), recv),
            Vec::new(),
            permit,
        )));
    }
}

async fn reply(mut respond: SendResponse<Bytes>, response: Response<answer::Body>, bodiless: bool) {
    let (mut head, body) = response.into_parts();
    drop_connection_fields(&mut head.headers);
    if let Some(length @ 1..) = body.size_hint().exact() {
        head.headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(length.into());
    }
    let done = bodiless || body.is_end_stream();
    let sent = respond.send_response(Response::from_parts(head, ()), done);
    if let Ok(send) = sent
        && !done
    {
        body::send(body, Outlet::new(send)).await;
    }
}

/// What an answer must not say in HTTP/2.
fn drop_connection_fields(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::TRANSFER_ENCODING,
        KEEP_ALIVE,
        PROXY_CONNECTION,
    ] {
        headers.remove(name);
    }
}

/// What it says; HTTP/2 has refused it if that could be read in two ways.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::to_str)?;
    length.ok()?.parse().ok()
}
