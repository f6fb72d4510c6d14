//! engine.io, which carries socket.io: its `sid`, where it is given out and where it comes back.
//!
//! In: the answer to the first poll, and every request with a `sid`: polls, posts, the WebSocket that takes over. Out:
//! the answer with a tagged `sid`; and the answer of a server that does not know one.
//!
//! The first packet is `0{"sid":..}` in protocol 4, `118:0{"sid":..}` with its length in protocol 3, and either of them
//! as a string in a call of `___eio[0](..)` for clients that load it as a script. The tag comes last, so that what reads
//! the first twenty characters still finds them.
//!
//! A client that begins with a WebSocket has one connection and needs nothing of this.

use http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    query::{Case, parameter},
    signalr,
    tag::LENGTH,
};
use crate::answer::Body;

/// The parameter that holds the id.
pub(super) const PARAMETER: &str = "sid";

/// The first packet.
#[derive(Deserialize)]
struct Open<'a> {
    #[serde(borrow)]
    sid: &'a RawValue,
}

/// Whether a request begins a session by polling.
pub(super) fn is_opening(method: &Method, query: Option<&str>) -> bool {
    let of = |name| query.and_then(|query| parameter(query, name, Case::Exact));
    let polls = of("transport").is_some_and(|transport| transport.decoded() == b"polling");
    (method == Method::GET || method == Method::POST)
        && polls
        && of("EIO").is_some()
        && of(PARAMETER).is_none()
}

/// The answer to a first poll with its `sid` tagged by `tag`.
pub(super) fn splice(body: &str, tag: impl FnOnce(&[u8]) -> Option<String>) -> Option<String> {
    match body.strip_prefix("___eio[") {
        Some(_) => in_script(body, tag),
        None => in_payload(body, tag),
    }
}

fn in_payload(payload: &str, tag: impl FnOnce(&[u8]) -> Option<String>) -> Option<String> {
    let (digits, packets) = match payload.starts_with("0{") {
        true => (None, payload),
        false => payload
            .split_once(':')
            .map(|(digits, packets)| (Some(digits), packets))?,
    };
    let (open, after) = match digits {
        None => packets.split_at(packets.find(SEPARATOR).unwrap_or(packets.len())),
        Some(digits) => packets.split_at_checked(length(digits)?)?,
    };
    // Lengths are in UTF-16 units; the first packet is ASCII, in which all lengths are one.
    let object = open.strip_prefix('0').filter(|_| open.is_ascii())?;
    let Open { sid } = serde_json::from_str(object).ok()?;
    let object = signalr::insert(object, sid, tag)?;
    Some(match digits {
        None => format!("0{object}{after}"),
        Some(_) => format!("{}:0{object}{after}", object.len() + 1),
    })
}

/// The same inside a string of JavaScript.
fn in_script(body: &str, tag: impl FnOnce(&[u8]) -> Option<String>) -> Option<String> {
    let start = body.find('(')? + 1;
    let literal = body.get(start..body.rfind(')')?)?;
    let payload: String = serde_json::from_str(literal).ok()?;
    let mut given = None;
    in_payload(&payload, |id| {
        given = tag(id).map(|tag| (String::from_utf8_lossy(id).into_owned(), tag));
        given.as_ref().map(|(_, tag)| tag.clone())
    })?;
    let (id, tag) = given?;
    // An id that is written in another way than it reads is not found, and the answer stays as it is.
    let (before, after) = literal.split_once(&format!("\\\"sid\\\":\\\"{id}\\\""))?;
    let sid = format!("\\\"sid\\\":\\\"{id}{tag}\\\"");
    let before = match before.split_once(':') {
        Some((digits, rest)) if digits.len() > 1 && digits.bytes().skip(1).all(|b| b.is_ascii_digit()) => {
            format!("\"{}:{rest}", length(&digits[1..])? + LENGTH)
        }
        _ => before.to_owned(),
    };
    let end = start + literal.len();
    Some([&body[..start], &before, &sid, after, &body[end..]].concat())
}

fn length(digits: &str) -> Option<usize> {
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// What a server says of a `sid` that it does not know: the client begins anew.
pub(super) fn unknown() -> Response<Body> {
    signalr::answer(
        StatusCode::BAD_REQUEST,
        "application/json",
        r#"{"code":1,"message":"Session ID unknown"}"#,
    )
}

/// Between the packets of protocol 4.
const SEPARATOR: char = '\u{1e}';

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as a real one.
    const TAG: &str = ".kABCDEFGHIJKLMNOPQRSTUVWX";

    fn spliced(body: &str) -> Option<String> {
        splice(body, |id| {
            assert_eq!(id, b"lv_VI97HAXpY6yYWAAAB");
            Some(TAG.to_owned())
        })
    }

    const OBJECT: &str = r#"{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":["websocket"],"pingInterval":25000,"maxPayload":1000000}"#;

    fn tagged(text: &str) -> String {
        text.replace("AAAB", &format!("AAAB{TAG}"))
    }

    #[test]
    fn protocol_4_gets_its_sid_tagged_and_nothing_else_changes() {
        for after in ["", "\u{1e}40", "\u{1e}40{\"sid\":\"lv\"}"] {
            let body = format!("0{OBJECT}{after}");
            assert_eq!(spliced(&body), Some(tagged(&body)));
        }
    }

    #[test]
    fn protocol_3_gets_its_length_changed_too() {
        let length = OBJECT.len() + 1;
        for after in ["", "2:40", "3:40/"] {
            let body = format!("{length}:0{OBJECT}{after}");
            let expected = tagged(&format!("{}:0{OBJECT}{after}", length + LENGTH));
            assert_eq!(spliced(&body), Some(expected));
        }
    }

    #[test]
    fn a_script_keeps_its_escapes() {
        let length = OBJECT.len() + 1;
        for (payload, expected) in [
            (format!("0{OBJECT}"), format!("0{OBJECT}")),
            (
                format!("{length}:0{OBJECT}2:40"),
                format!("{}:0{OBJECT}2:40", length + LENGTH),
            ),
        ] {
            let script = |payload: &str| format!("___eio[7]({});", serde_json::to_string(payload).unwrap());
            assert_eq!(spliced(&script(&payload)), Some(tagged(&script(&expected))));
        }
    }

    #[test]
    fn what_is_no_first_packet_stays_as_it_is() {
        let refuse = |body: &str| splice(body, |_| Some(TAG.to_owned()));
        for body in [
            "",
            "ok",
            "2",
            "0",
            "0{",
            "0{}",
            "0{\"sid\":1}",
            "0{\"sid\":\"\"}",
            "1{\"sid\":\"a\"}",
            "99:0{\"sid\":\"a\"}",
            "3:0{\"sid\":\"a\"}",
            "+14:0{\"sid\":\"a\"}",
            ":0{\"sid\":\"a\"}",
            "___eio[",
            "___eio[0](\"ok\");",
            "___eio[0])(",
            "___eio[0](7);",
            "0{\"sid\":\"\u{e4}\"}",
        ] {
            assert_eq!(refuse(body), None, "{body}");
        }
    }

    #[test]
    fn only_a_poll_without_a_sid_begins_a_session() {
        for (query, begins) in [
            ("EIO=4&transport=polling", true),
            ("EIO=3&transport=polling&t=x&b64=1", true),
            ("EIO=4&transport=polling&sid=a", false),
            ("EIO=4&transport=websocket", false),
            ("transport=polling", false),
            ("", false),
        ] {
            assert_eq!(is_opening(&Method::GET, Some(query)), begins, "{query}");
        }
        assert!(!is_opening(&Method::OPTIONS, Some("EIO=4&transport=polling")));
        assert!(!is_opening(&Method::GET, None));
    }
}
