//! The number that a header, a parameter, a path or an address leads by.
//!
//! In: what the client sent. Out: 64 bits, the same in every replica, for
//! [`Bond::Hash`](crate::balance::Bond::Hash).
//!
//! Whoever chooses the value chooses the endpoint, and may choose one value for everything: so picks by hash are bounded
//! by load. An IPv6 client is its /64, which is what one network is given and may renumber within.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::query::{Case, parameter};
use crate::route::PathPattern;

/// By a header field; several lines count as one list.
pub(super) fn header(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    Some(number(lines.map(http::HeaderValue::as_bytes)))
}

/// By a query parameter.
pub(super) fn query(query: Option<&str>, name: &str) -> Option<u64> {
    let found = parameter(query?, name, Case::Exact)?;
    Some(number([found.decoded()].into_iter()))
}

/// By parameters of the route's path, all of which must be there.
pub(super) fn path(pattern: &PathPattern, path: &str, names: &[Box<str>]) -> Option<u64> {
    let values: Option<Vec<_>> = names.iter().map(|name| pattern.value(path, name)).collect();
    Some(number(values?.into_iter().map(str::as_bytes)))
}

/// By the client's address.
pub(super) fn client(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => number([&address.octets()[..]].into_iter()),
        IpAddr::V6(address) => number([&address.octets()[..8]].into_iter()),
    }
}

/// Where an id's moment is in a window, of 2^64.
pub(super) fn moment(id: &[u8]) -> u64 {
    number([id].into_iter())
}

fn number<'p>(parts: impl Iterator<Item = &'p [u8]>) -> u64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    u64::from_be_bytes(*digest.finalize().first_chunk().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn equal_values_lead_the_same_way_and_others_do_not() {
        let names: [Box<str>; 2] = ["server".into(), "session".into()];
        let pattern = PathPattern::parse("/echo/{server}/{session}/{*rest}").unwrap();
        let of = |text: &str| path(&pattern, text, &names);
        assert_eq!(of("/echo/001/abc/xhr"), of("/echo/001/abc/xhr_send"));
        assert_ne!(of("/echo/001/abc/xhr"), of("/echo/001/abd/xhr"));
        assert_ne!(of("/echo/0/01abc/xhr"), of("/echo/001/abc/xhr"));
        assert_eq!(of("/echo/001"), None);
        assert_eq!(
            query(Some("room=a%20b&x"), "room"),
            query(Some("room=a+b"), "room")
        );
        assert_eq!(query(Some("rooms=a"), "room"), None);
        assert_eq!(query(None, "room"), None);
        let name = HeaderName::from_static("x-tenant");
        let mut headers = HeaderMap::new();
        assert_eq!(header(&headers, &name), None);
        headers.append(&name, HeaderValue::from_static("a"));
        let one = header(&headers, &name);
        headers.append(&name, HeaderValue::from_static("b"));
        assert!(one.is_some() && one != header(&headers, &name));
    }

    #[test]
    fn a_client_is_its_address_and_behind_version_6_its_network() {
        let of = |text: &str| client(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
