//! A request head of HTTP/2 in the words of HTTP/1.1.
//!
//! In: the head of a request as HTTP/2 has it. Out: the same request as every step behind reads it, so that no rule of
//! theirs has a second form that could differ.
//!
//! - `:authority` is the `Host`. Where a client sends both they must agree, which routing checks.
//! - Cookies in several fields are one (RFC 9113, 8.2.3).
//! - An extended CONNECT for `websocket` (RFC 8441) is a GET with `Upgrade: websocket` and a key of our own: HTTP/2 has
//!   none, and the backend's answer is checked against it. Any other CONNECT stays one, and is refused as such.
//!
//! HTTP/2 has no fields that are about one connection: a request with one is malformed and does not come this far.
//!
//! Not here: whether the request is a proper one ([`handshake`](crate::listen::handshake)).

use base64::{Engine, engine::general_purpose::STANDARD};
use h2::ext::Protocol;
use http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts};

/// Translates it in place.
pub(super) fn translate(head: &mut Parts) {
    head.version = Version::HTTP_11;
    if let Some(authority) = head.uri.authority()
        && !head.headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(header::HOST, host);
    }
    join_cookies(&mut head.headers);
    let websocket = |protocol: &Protocol| protocol.as_str().eq_ignore_ascii_case("websocket");
    if head.method == Method::CONNECT && head.extensions.get().is_some_and(websocket) {
        head.method = Method::GET;
        let fields = &mut head.headers;
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(header::SEC_WEBSOCKET_KEY, key());
    }
}

/// A key for one handshake. It proves that the backend understood, and hides nothing (RFC 6455, 10.3 is about masks).
fn key() -> HeaderValue {
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    HeaderValue::try_from(key).expect("base64 makes a field value")
}

fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    let joined = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined));
    headers.insert(header::COOKIE, joined.expect("field values stay one when joined"));
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::listen::handshake::{BadHandshake, Kind, classify};

    fn connect(protocol: Option<&'static str>) -> Parts {
        let request = Request::connect("https://chat.example/room?x=1").version(Version::HTTP_2);
        let request = request.header("sec-websocket-version", "13");
        let mut head = request.body(()).unwrap().into_parts().0;
        head.extensions.extend({
            let mut extensions = http::Extensions::new();
            protocol.map(|protocol| extensions.insert(Protocol::from_static(protocol)));
            extensions
        });
        head
    }

    fn translated(mut head: Parts) -> Parts {
        translate(&mut head);
        head
    }

    #[test]
    fn an_extended_connect_is_a_handshake_with_a_key_of_our_own() {
        let one = translated(connect(Some("websocket")));
        let other = translated(connect(Some("WebSocket")));
        assert!(matches!(classify(&one), Ok(Kind::WebSocket(_))));
        assert!(matches!(classify(&other), Ok(Kind::WebSocket(_))));
        let key = |head: &Parts| head.headers[header::SEC_WEBSOCKET_KEY].clone();
        assert_ne!(key(&one), key(&other));
        assert_eq!(one.headers[header::HOST], "chat.example");
    }

    #[test]
    fn a_key_of_the_clients_is_replaced() {
        let mut head = connect(Some("websocket"));
        for _ in 0..2 {
            let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
            head.headers.append(header::SEC_WEBSOCKET_KEY, key);
        }
        let head = translated(head);
        assert!(matches!(classify(&head), Ok(Kind::WebSocket(_))));
        assert_ne!(
            head.headers[header::SEC_WEBSOCKET_KEY],
            "dGhlIHNhbXBsZSBub25jZQ=="
        );
    }

    #[test]
    fn any_other_connect_is_refused() {
        assert_eq!(classify(&translated(connect(None))), Err(BadHandshake::Connect));
        for protocol in ["h2c", "connect-udp", "websocket, h2c", ""] {
            let head = translated(connect(Some(protocol)));
            assert_eq!(classify(&head), Err(BadHandshake::Protocol), "{protocol}");
        }
    }

    #[test]
    fn a_handshake_with_a_body_or_of_another_version_is_refused() {
        let mut head = connect(Some("websocket"));
        head.headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert_eq!(classify(&translated(head)), Err(BadHandshake::Body));
        let mut head = connect(Some("websocket"));
        head.headers
            .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert_eq!(classify(&translated(head)), Err(BadHandshake::Version));
        let mut head = connect(Some("websocket"));
        head.headers.remove(header::SEC_WEBSOCKET_VERSION);
        assert_eq!(classify(&translated(head)), Err(BadHandshake::Version));
    }

    #[test]
    fn cookies_are_one_field_and_a_host_of_the_clients_stays() {
        let request = Request::get("https://a.example/")
            .version(Version::HTTP_2)
            .header("host", "b.example")
            .header("cookie", "a=1")
            .header("cookie", "b=2; c=3")
            .header("cookie", "d=\u{fc}");
        let head = translated(request.body(()).unwrap().into_parts().0);
        assert_eq!(
            head.headers.get_all(header::COOKIE).iter().collect::<Vec<_>>(),
            ["a=1; b=2; c=3; d=\u{fc}"]
        );
        assert_eq!(head.headers[header::HOST], "b.example");
        assert!(matches!(classify(&head), Ok(Kind::Plain)));
    }
}
