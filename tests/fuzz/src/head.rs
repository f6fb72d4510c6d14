//! Heads of requests and answers from the bytes of a fuzzer.
//!
//! In: a line, and behind it a line per field, `name: value`. Out: what `http` makes of it, as a server would hand it
//! over; nothing if that refuses it.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, request, response};

/// `GET /path` and fields; HTTP/1.0 if the line ends so.
pub fn request(bytes: &[u8]) -> Option<request::Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let version = |word: &[u8]| match word {
        b"HTTP/1.0" => http::Version::HTTP_10,
        b"HTTP/2.0" => http::Version::HTTP_2,
        _ => http::Version::HTTP_11,
    };
    let request = Request::builder()
        .method(words.next()?)
        .uri(words.next()?)
        .version(version(words.next().unwrap_or_default()));
    let (mut parts, ()) = request.body(()).ok()?.into_parts();
    parts.headers = fields(lines);
    Some(parts)
}

/// A status and fields.
pub fn answer(bytes: &[u8]) -> Option<response::Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let response = Response::builder().status(lines.next()?);
    let (mut parts, ()) = response.body(()).ok()?.into_parts();
    parts.headers = fields(lines);
    Some(parts)
}

fn fields<'b>(lines: impl Iterator<Item = &'b [u8]>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

/// The elements of a field over all its lines, in lower case.
pub fn elements(fields: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    let lines = fields.get_all(name).iter();
    let all = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let all = all.map(|element| element.trim_ascii().to_ascii_lowercase());
    all.filter(|element| !element.is_empty()).collect()
}
