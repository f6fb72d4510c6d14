//! The fields of an HTTP/1 head, between bytes and a map.
//!
//! In: what httparse has found in a piece of bytes, or a map. Out: the same fields in the same order, which share the piece's
//! memory, or as they are on the wire.
//!
//! Not here: which heads are read without hyper ([`listen`](crate::listen), [`dial`](crate::dial)).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The fields, with room for so many more; `None` where hyper would not take one either.
pub(crate) fn read(seen: &Bytes, fields: &[httparse::Header<'_>], more: usize) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len() + more);
    for field in fields {
        let name = usual(field.name).or_else(|| HeaderName::from_bytes(field.name.as_bytes()).ok())?;
        let value = HeaderValue::from_maybe_shared(seen.slice_ref(field.value)).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

/// A name that most handshakes have, as most peers write it: reading any name takes ten times as long.
fn usual(name: &str) -> Option<HeaderName> {
    Some(match name {
        "Host" => header::HOST,
        "Connection" => header::CONNECTION,
        "Upgrade" => header::UPGRADE,
        "Sec-WebSocket-Key" => header::SEC_WEBSOCKET_KEY,
        "Sec-WebSocket-Version" => header::SEC_WEBSOCKET_VERSION,
        "Sec-WebSocket-Accept" => header::SEC_WEBSOCKET_ACCEPT,
        "Sec-WebSocket-Extensions" => header::SEC_WEBSOCKET_EXTENSIONS,
        "Sec-WebSocket-Protocol" => header::SEC_WEBSOCKET_PROTOCOL,
        "Origin" => header::ORIGIN,
        "User-Agent" => header::USER_AGENT,
        "Cookie" => header::COOKIE,
        "Authorization" => header::AUTHORIZATION,
        "Accept-Encoding" => header::ACCEPT_ENCODING,
        "Accept-Language" => header::ACCEPT_LANGUAGE,
        "Cache-Control" => header::CACHE_CONTROL,
        "Pragma" => header::PRAGMA,
        "Date" => header::DATE,
        "Server" => header::SERVER,
        _ => return None,
    })
}

/// Writes the fields and the empty line that ends a head.
pub(crate) fn write(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_name_is_the_one_that_it_says() {
        for name in [
            "Host",
            "Connection",
            "Upgrade",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Protocol",
            "Origin",
            "User-Agent",
            "Cookie",
            "Authorization",
            "Accept-Encoding",
            "Accept-Language",
            "Cache-Control",
            "Pragma",
            "Date",
            "Server",
        ] {
            assert_eq!(
                usual(name),
                HeaderName::from_bytes(name.as_bytes()).ok(),
                "{name}"
            );
        }
        assert_eq!(usual("host"), None);
    }
}
