//! The fields that tell a backend about the client: `X-Forwarded-*`, `X-Real-IP`, `Forwarded` (RFC 7239).
//!
//! To a list a trusted proxy's peer is appended; a single value of its is kept. Where the route sets `Forwarded` and the
//! trusted proxy speaks only `X-Forwarded-*`, as most do, its chain is translated (RFC 7239 7.4): the client would be
//! lost otherwise.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    X_REAL_IP, drop_all,
    peer::{Peer, X_FORWARDED_FOR, parse_address},
};
use crate::{config::Forwarded, listen::handshake::tokens};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Whether a field is one of the family, those included that Longhaul never sets (`X-Forwarded-Prefix` and the like).
pub(super) fn is_forwarded(name: &HeaderName) -> bool {
    *name == header::FORWARDED || is_x_forwarded(name)
}

/// Sets what `mode` says and drops the rest of the family.
pub(super) fn set(headers: &mut HeaderMap, peer: &Peer, client: IpAddr, mode: Forwarded) {
    let (x, standard) = match mode {
        Forwarded::XForwarded => (true, false),
        Forwarded::Forwarded => (false, true),
        Forwarded::Both => (true, true),
        Forwarded::None => (false, false),
    };
    // Built first: it may need the X-Forwarded-* that are dropped next.
    let chain = standard.then(|| chain(headers, peer)).flatten();
    let trusted = peer.is_trusted();
    drop_all(headers, |name| is_x_forwarded(name) && !(trusted && x));
    match chain {
        Some(chain) => drop(headers.insert(header::FORWARDED, chain)),
        None => drop(headers.remove(header::FORWARDED)),
    }
    if x {
        set_x_forwarded(headers, peer, client);
    }
}

fn is_x_forwarded(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || *name == X_REAL_IP
}

/// What is there was said by a trusted proxy.
fn set_x_forwarded(headers: &mut HeaderMap, peer: &Peer, client: IpAddr) {
    let chain = match headers.contains_key(X_FORWARDED_FOR) {
        true => appended(headers, &X_FORWARDED_FOR, peer.text().as_bytes()),
        false => Some(peer.text().clone()),
    };
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| peer.text().clone()));
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    headers
        .entry(X_FORWARDED_PROTO)
        .or_insert_with(|| peer.forwarding().proto().clone());
    headers
        .entry(X_FORWARDED_PORT)
        .or_insert_with(|| peer.forwarding().port().clone());
    headers
        .entry(X_REAL_IP)
        .or_insert_with(|| match client == peer.address() {
            true => peer.text().clone(),
            false => HeaderValue::try_from(client.to_string()).expect("an address makes a field value"),
        });
}

/// All lines of a list as one, and one element more. One line, because some backends read only the first or the last.
fn appended(headers: &HeaderMap, name: &HeaderName, element: &[u8]) -> Option<HeaderValue> {
    let mut list = Vec::with_capacity(128);
    for token in headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .chain([element])
    {
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(token);
    }
    HeaderValue::try_from(list).ok()
}

/// The whole `Forwarded` for the backend.
fn chain(headers: &HeaderMap, peer: &Peer) -> Option<HeaderValue> {
    let mut out = Vec::with_capacity(128);
    if peer.is_trusted() && !headers.contains_key(header::FORWARDED) {
        translate(headers, &mut out);
    }
    push_node(&mut out, Some(peer.address()));
    push_pair(&mut out, b"host", headers.get(header::HOST));
    push_pair(&mut out, b"proto", Some(peer.forwarding().proto()));
    match peer.is_trusted() && headers.contains_key(header::FORWARDED) {
        true => appended(headers, &header::FORWARDED, &out),
        false => HeaderValue::try_from(out).ok(),
    }
}

/// Writes a chain of `X-Forwarded-For` as elements of `Forwarded`; the first is what the client's request looked like.
fn translate(headers: &HeaderMap, out: &mut Vec<u8>) {
    for entry in tokens(headers, &X_FORWARDED_FOR) {
        let first = out.is_empty();
        push_node(out, parse_address(entry));
        if first {
            push_pair(out, b"host", headers.get(X_FORWARDED_HOST));
            push_pair(out, b"proto", headers.get(X_FORWARDED_PROTO));
        }
    }
}

/// Begins an element. RFC 7239 6: an IPv6 address is quoted and in brackets.
fn push_node(out: &mut Vec<u8>, address: Option<IpAddr>) {
    if !out.is_empty() {
        out.extend_from_slice(b", ");
    }
    let node = match address {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        None => "for=unknown".to_owned(),
    };
    out.extend_from_slice(node.as_bytes());
}

fn push_pair(out: &mut Vec<u8>, name: &[u8], value: Option<&HeaderValue>) {
    let Some(value) = value.map(HeaderValue::as_bytes).filter(|value| !value.is_empty()) else {
        return;
    };
    out.push(b';');
    out.extend_from_slice(name);
    out.push(b'=');
    // RFC 9110 5.6.2 and 5.6.4: what is not a token is quoted, with quotes and backslashes escaped.
    if value
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
    {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
