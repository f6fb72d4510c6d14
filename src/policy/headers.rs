//! What of a request's header reaches the backend, and of a refusal's the client.
//!
//! In: the header as it came, the [`Peer`] it came from, the route it takes. Out: the same map, changed in place.
//!
//! - First goes what belongs to one connection: the hop-by-hop fields and every field that `Connection` nominates. Only
//!   then is anything of ours set, so no nomination can reach it.
//! - A nomination is not obeyed for fields that policies judge, that frame the message or that a proxy vouches for
//!   (`Cookie`, `Authorization`, `Origin`, `Host`, `Content-*`, `Sec-WebSocket-*`, the forwarded fields, `X-Request-Id`):
//!   RFC 9110 7.6.1 forbids it, and the backend must judge the request that Longhaul judged.
//! - A name such as `X_Forwarded_For` that CGI-like backends read as a field which Longhaul sets, or as one that frames
//!   the message, is dropped whoever sent it.
//! - The forwarded fields and `X-Request-Id` are believed from trusted proxies alone and replaced for all others. A
//!   family that the route does not set is dropped: a backend must not read a client's word for ours.
//! - All else stays byte for byte, repeated fields in their order.
//!
//! Not here: whether framing and `Host` can be believed ([`handshake`](crate::listen::handshake)).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{
    config::{HostRewrite, Route},
    listen::handshake::{Kind, tokens},
};

mod forwarded;
mod peer;

pub use self::peer::{Forwarding, Peer};

/// Turns a client's header into the one for the backend. Returns the client's address, for the log: the peer's, or what
/// the trusted proxies say of it.
pub fn to_backend(headers: &mut HeaderMap, peer: &Peer, route: &Route, kind: Kind) -> IpAddr {
    let client = peer.client(headers);
    match kind {
        Kind::WebSocket(_) => {
            upgrade_next_hop(headers, |name| is_of_a_body(name) || is_alias(name));
        }
        Kind::Plain => {
            let trailers = tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
            drop_hop_by_hop(headers, is_alias);
            if trailers {
                // RFC 9110 10.1.4: whoever sends TE nominates it.
                headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
        }
    }
    forwarded::set(headers, peer, client, route.forwarded);
    set_request_id(headers, peer);
    if let HostRewrite::Set(host) = &route.host {
        headers.insert(header::HOST, host.clone());
    }
    client
}

/// What a request for a WebSocket has no use for: its length can only be 0; without a body there is nothing to go on with
/// (RFC 9110, 10.1.1), and a 100 before the 101 only confuses; nor can there be trailers.
fn is_of_a_body(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::EXPECT || *name == header::TRAILER
}

/// Turns a backend's 101 into the one for the client.
pub fn switching(headers: &mut HeaderMap) {
    upgrade_next_hop(headers, |_| false);
}

/// Drops what belongs to the backend's connection from an answer that is no 101.
///
/// A 426 must say what to upgrade to (RFC 9110 15.5.22): there, and only for `websocket`, that is said again.
pub fn strip_response(status: StatusCode, headers: &mut HeaderMap) {
    let websocket = status == StatusCode::UPGRADE_REQUIRED
        && tokens(headers, &header::UPGRADE).any(|token| token.eq_ignore_ascii_case(b"websocket"));
    drop_hop_by_hop(headers, |_| false);
    say_length_once(headers);
    if websocket {
        say_upgrade(headers);
    }
}

/// A length that was said several times was the same each time, or the answer would not have been read; but neither every
/// client nor what writes the answer takes it so (RFC 9110 8.6).
fn say_length_once(headers: &mut HeaderMap) {
    let mut lengths = tokens(headers, &header::CONTENT_LENGTH);
    let (Some(length), Some(_)) = (lengths.next(), lengths.next()) else {
        return;
    };
    if let Ok(length) = HeaderValue::from_bytes(length) {
        drop(lengths);
        headers.insert(header::CONTENT_LENGTH, length);
    }
}

/// Drops from a client's trailers what would be told by somebody else, or judged, if it were in the header: some backends
/// make no difference.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    drop_all(trailers, |name| {
        is_hop_by_hop(name) || is_essential(name) || is_alias(name)
    });
}

/// What one connection says to the next and to nobody after it. Not `Trailer`, which names what follows the body.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
    // RFC 7540 3.2.1, gone with RFC 9113; meant for the connection in any case
    "http2-settings",
];

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Drops what belongs to one connection, and what else is `doomed`: all names are looked at once.
fn drop_hop_by_hop(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let nominated = nominated(headers);
    drop_all(headers, |name| {
        is_hop_by_hop(name) || nominated.contains(name) || doomed(name)
    });
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// The same, but the next hop is to be upgraded as well: that is said in the place where it was said to us.
fn upgrade_next_hop(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let nominated = nominated(headers);
    say_upgrade(headers);
    drop_all(headers, |name| {
        let said = *name == header::CONNECTION || *name == header::UPGRADE;
        !said && (is_hop_by_hop(name) || nominated.contains(name) || doomed(name))
    });
}

fn say_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// The fields that `Connection` names and that go with it. Nearly always they are all in the list above, and then nothing
/// is allocated.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &header::CONNECTION)
        .filter(|token| !COMMON.iter().any(|common| token.eq_ignore_ascii_case(common)))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_essential(name))
        .collect()
}

/// One look at each name that is there costs less than a search for each that might be.
fn drop_all(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| doomed(name)).cloned().collect();
    for name in &names {
        headers.remove(name);
    }
}

/// Nominations that need no look-up.
const COMMON: [&[u8]; 3] = [b"upgrade", b"keep-alive", b"close"];

/// Whether a field stays though `Connection` nominates it.
fn is_essential(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::COOKIE
        || *name == header::SET_COOKIE
        || *name == header::AUTHORIZATION
        || *name == header::ORIGIN
        || *name == X_REQUEST_ID
        || forwarded::is_forwarded(name)
        || ["sec-websocket-", "content-"]
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
}

/// Whether a name with `_` becomes one of these when `_` is read as `-`.
fn is_alias(name: &HeaderName) -> bool {
    let name = name.as_str();
    let reads_as = |start: &str| {
        name.bytes()
            .map(|b| if b == b'_' { b'-' } else { b })
            .take(start.len())
            .eq(start.bytes())
    };
    name.as_bytes().contains(&b'_')
        && (["x-forwarded-", "sec-websocket-", "content-"]
            .iter()
            .any(|prefix| reads_as(prefix))
            || [X_REQUEST_ID.as_str(), X_REAL_IP.as_str()]
                .iter()
                .chain(&HOP_BY_HOP)
                .any(|managed| name.len() == managed.len() && reads_as(managed)))
}

/// Keeps a trusted proxy's id and makes one otherwise.
fn set_request_id(headers: &mut HeaderMap, peer: &Peer) {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    let usable = |id: &HeaderValue| {
        (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if peer.is_trusted() && given.next().is_some_and(usable) && given.next().is_none() {
        return;
    }
    // By hand: formatting a number of 128 bits costs as much as the routing of its request.
    let mut id = [0; 32];
    fastrand::fill(&mut id);
    for digit in &mut id {
        *digit = b"0123456789abcdef"[usize::from(*digit % 16)];
    }
    headers.insert(
        X_REQUEST_ID,
        HeaderValue::from_bytes(&id).expect("hexadecimal digits make a field value"),
    );
}

/// Bytes of a request id that is believed; it goes into every log on the way.
const LONGEST_ID: usize = 128;

#[cfg(test)]
mod tests;
