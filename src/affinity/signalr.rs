//! ASP.NET Core SignalR: its ids, where they are given out and where they come back.
//!
//! In: the answer to a negotiate (`POST .../negotiate`), and every request with an `id`: WebSocket, SSE, long polling,
//! sends, DELETE, refresh. Out: the answer with a tagged id; and the answers of a server that does not know an id.
//!
//! - Clients that speak version 1 send back the `connectionToken`, all others the `connectionId`, which is then tagged
//!   although applications see it.
//! - An answer is changed by inserting the tag, never written anew. One that redirects (`url`) or refuses (`error`) names
//!   no id that would come back here.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    mint::Untouched,
    tag::{Flags, Kind},
};
use crate::answer::Body;

/// The parameter that holds the id; ASP.NET reads it in any case.
pub(super) const PARAMETER: &str = "id";

/// The answer to a negotiate, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Negotiated<'a> {
    negotiate_version: Option<u64>,
    #[serde(borrow)]
    connection_token: Option<&'a RawValue>,
    #[serde(borrow)]
    connection_id: Option<&'a RawValue>,
    use_stateful_reconnect: Option<bool>,
    url: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

/// Whether a request negotiates.
pub(super) fn is_negotiate(method: &Method, path: &str) -> bool {
    method == Method::POST && path.ends_with("/negotiate")
}

/// The answer to a negotiate with its id tagged by `tag`.
pub(super) fn splice(
    body: &str,
    tag: impl FnOnce(&[u8], Flags) -> Option<String>,
) -> Result<String, Untouched> {
    let answer: Negotiated<'_> = serde_json::from_str(body).map_err(|_| Untouched::Unmintable)?;
    if answer.url.is_some() || answer.error.is_some() {
        return Err(Untouched::NoId);
    }
    let version_0 = answer.negotiate_version.unwrap_or(0) < 1;
    let id = match version_0 {
        true => answer.connection_id,
        false => answer.connection_token,
    };
    let flags = Flags {
        stateful: answer.use_stateful_reconnect == Some(true),
        version_0,
        ..Flags::of(Kind::SignalR)
    };
    let spliced = id.and_then(|raw| insert(body, raw, |id| tag(id, flags)));
    spliced.ok_or(Untouched::Unmintable)
}

/// `text` with what `tag` makes of a string in it put before that string's last quote.
pub(super) fn insert(
    text: &str,
    raw: &RawValue,
    tag: impl FnOnce(&[u8]) -> Option<String>,
) -> Option<String> {
    let id: Cow<'_, str> = serde_json::from_str(raw.get()).ok()?;
    // The raw value is a part of the text.
    let start = raw.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start + raw.get().len() - 1;
    let (before, after) = text.split_at_checked(end)?;
    let tag = Some(id)
        .filter(|id| !id.is_empty())
        .and_then(|id| tag(id.as_bytes()))?;
    Some([before, &tag, after].concat())
}

/// Whether a request asks for the next messages of a long poll.
pub(super) fn is_poll(method: &Method, headers: &HeaderMap) -> bool {
    let mut accept = headers.get_all(header::ACCEPT).iter();
    method == Method::GET
        && !accept.any(|value| {
            let text = value.as_bytes().to_ascii_lowercase();
            text.windows(EVENTS.len()).any(|part| part == EVENTS)
        })
}

const EVENTS: &[u8] = b"text/event-stream";

/// What a server says of an id that it does not know: the client negotiates anew.
pub(super) fn unknown() -> Response<Body> {
    answer(StatusCode::NOT_FOUND, "text/plain", "No Connection with that ID")
}

/// What a server says to a poll of a connection that is over: the client reconnects without an error.
pub(super) fn over() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    no_store(&mut response);
    response
}

/// A whole answer in a backend's words.
pub(super) fn answer(status: StatusCode, kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    no_store(&mut response);
    response
}

fn no_store(response: &mut Response<Body>) {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what was tagged.
    fn spliced(body: &str) -> Result<String, Untouched> {
        splice(body, |id, flags| {
            let id = std::str::from_utf8(id).unwrap();
            let flags = (flags.stateful, flags.version_0);
            Some(format!(
                "<{id}{}{}>",
                if flags.0 { " s" } else { "" },
                if flags.1 { " 0" } else { "" }
            ))
        })
    }

    #[test]
    fn version_1_gets_its_token_tagged_and_nothing_else_changes() {
        let body = r#" {"connectionId":"pub","connectionToken" : "se=cr_t==","negotiateVersion":1, "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}],"x":1e3} "#;
        assert_eq!(
            spliced(body).unwrap(),
            body.replace("se=cr_t==", "se=cr_t==<se=cr_t==>")
        );
        let stateful = r#"{"negotiateVersion":2,"connectionToken":"t","useStatefulReconnect":true}"#;
        assert_eq!(
            spliced(stateful).unwrap(),
            stateful.replace("\"t\"", "\"t<t s>\"")
        );
    }

    #[test]
    fn version_0_gets_its_id_tagged() {
        for body in [
            r#"{"connectionId":"pub","availableTransports":[]}"#,
            r#"{"negotiateVersion":0,"connectionId":"pub","connectionToken":"t"}"#,
        ] {
            assert_eq!(spliced(body).unwrap(), body.replace("pub", "pub<pub 0>"));
        }
    }

    #[test]
    fn an_escaped_id_is_tagged_for_what_it_stands_for() {
        let body = "{\"negotiateVersion\":1,\"connectionToken\":\"a\\u002Bb\"}";
        assert_eq!(spliced(body).unwrap(), body.replace("02Bb", "02Bb<a+b>"));
    }

    #[test]
    fn a_redirect_or_an_error_names_no_id() {
        for body in [
            r#"{"url":"https://elsewhere/hub","accessToken":"x"}"#,
            r#"{"negotiateVersion":1,"connectionToken":"t","url":"/x"}"#,
            r#"{"error":"no"}"#,
        ] {
            assert_eq!(spliced(body), Err(Untouched::NoId), "{body}");
        }
        assert!(spliced(r#"{"connectionId":"a","url":null}"#).is_ok());
    }

    #[test]
    fn what_cannot_be_tagged_is_said_to_be_so() {
        for body in [
            "",
            "null",
            "[]",
            "not json",
            r#"{"connectionId":"a"} trailing"#,
            r#"{"connectionId":"a","connectionId":"b"}"#,
            r#"{"connectionId":7}"#,
            r#"{"connectionId":""}"#,
            r#"{"negotiateVersion":1,"connectionId":"a"}"#,
            r#"{"negotiateVersion":"1","connectionToken":"a"}"#,
        ] {
            assert_eq!(spliced(body), Err(Untouched::Unmintable), "{body}");
        }
    }

    #[test]
    fn only_a_post_to_the_path_negotiates() {
        assert!(is_negotiate(&Method::POST, "/hubs/chat/negotiate"));
        assert!(!is_negotiate(&Method::OPTIONS, "/hubs/chat/negotiate"));
        assert!(!is_negotiate(&Method::POST, "/hubs/chat/renegotiate"));
    }

    #[test]
    fn a_poll_is_a_get_that_wants_no_events() {
        let mut headers = HeaderMap::new();
        assert!(is_poll(&Method::GET, &headers) && !is_poll(&Method::POST, &headers));
        headers.insert(header::ACCEPT, HeaderValue::from_static("Text/Event-Stream;q=1"));
        assert!(!is_poll(&Method::GET, &headers));
    }
}
