//! The fields of an HTTP/1 head, between bytes and a map.
//!
//! In: what httparse has found in a piece of bytes, or a map. Out: the same fields in the same order, which share the piece's
//! memory, or as they are on the wire.
//!
//! Not here: which heads are read without hyper ([`listen`](crate::listen), [`dial`](crate::dial)).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields, with room for so many more; `None` where hyper would not take one either.
pub(crate) fn read(seen: &Bytes, fields: &[httparse::Header<'_>], more: usize) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len() + more);
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(seen.slice_ref(field.value)).ok()?;
        headers.append(name, value);
    }
    Some(headers)
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
