//! Whether a backend's 101 really opens a WebSocket.
//!
//! In: the head of the backend's answer and the client's [`Upgrade`]. Out: nothing, or a [`BadUpgrade`], which the
//! client sees as a 502.
//!
//! Everything that RFC 6455 4.1 demands of a 101 is checked here, before anything is promised to the client. A backend
//! that says 101 by mistake or on someone's order would otherwise be a tunnel past every rule of the route. An answer
//! other than a 101 is a refusal, which is passed through and not brought here.
//!
//! Not here: subprotocol and extensions, which are agreed between client and backend and judged by the client.

use http::{StatusCode, header, response::Parts};

use crate::listen::handshake::{Upgrade, tokens};

/// What is wrong with a backend's 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadUpgrade {
    /// It is no 101.
    #[error("the backend answered {0} where a 101 was expected")]
    Status(StatusCode),
    /// No upgrade, another one, or several.
    #[error("the backend's 101 does not say Upgrade: websocket, and that alone")]
    Upgrade,
    /// No `Connection: upgrade`.
    #[error("the backend's 101 does not say Connection: upgrade")]
    Connection,
    /// None, or several.
    #[error("the backend's 101 must have exactly one Sec-WebSocket-Accept")]
    AcceptCount,
    /// The answer to another key.
    #[error(
        "the Sec-WebSocket-Accept of the backend's 101 does not answer the key; is something caching before it?"
    )]
    AcceptValue,
    /// `Content-Length` or `Transfer-Encoding`.
    #[error("the backend's 101 announces a body")]
    Body,
}

/// Checks a backend's 101 against the request that it answers.
pub fn verify_101(answer: &Parts, upgrade: &Upgrade) -> Result<(), BadUpgrade> {
    if answer.status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadUpgrade::Status(answer.status));
    }
    let headers = &answer.headers;
    let mut protocols = tokens(headers, &header::UPGRADE);
    let websocket = protocols
        .next()
        .is_some_and(|token| token.eq_ignore_ascii_case(b"websocket"));
    if !websocket || protocols.next().is_some() {
        return Err(BadUpgrade::Upgrade);
    }
    if !tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return Err(BadUpgrade::Connection);
    }
    let mut accepts = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    match (accepts.next(), accepts.next()) {
        (Some(accept), None) if accept.as_bytes() == upgrade.accept() => {}
        (Some(_), None) => return Err(BadUpgrade::AcceptValue),
        _ => return Err(BadUpgrade::AcceptCount),
    }
    match headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING) {
        true => Err(BadUpgrade::Body),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;
    use crate::listen::handshake::{Kind, classify};

    const ACCEPT: (&str, &str) = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    const GOOD: [(&str, &str); 3] = [("upgrade", "websocket"), ("connection", "Upgrade"), ACCEPT];

    fn upgrade() -> Upgrade {
        let request = Request::get("/")
            .header("host", "a")
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        match classify(&request.body(()).unwrap().into_parts().0) {
            Ok(Kind::WebSocket(upgrade)) => upgrade,
            other => panic!("{other:?}"),
        }
    }

    fn verify(status: u16, fields: &[(&str, &str)]) -> Result<(), BadUpgrade> {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        verify_101(&answer.body(()).unwrap().into_parts().0, &upgrade())
    }

    /// A good answer whose field of this name is replaced by others.
    fn with(name: &str, fields: &[(&str, &str)]) -> Result<(), BadUpgrade> {
        let kept = GOOD.iter().filter(|(other, _)| *other != name);
        verify(101, &kept.chain(fields).copied().collect::<Vec<_>>())
    }

    #[test]
    fn a_complete_101_passes() {
        assert_eq!(verify(101, &GOOD), Ok(()));
        assert_eq!(with("upgrade", &[("upgrade", "WebSocket")]), Ok(()));
        assert_eq!(
            with("connection", &[("connection", "keep-alive, upgrade")]),
            Ok(())
        );
        assert_eq!(with("", &[("sec-websocket-protocol", "chat")]), Ok(()));
    }

    #[test]
    fn a_101_that_opens_no_websocket_is_refused() {
        assert_eq!(verify(200, &GOOD), Err(BadUpgrade::Status(StatusCode::OK)));
        assert_eq!(with("upgrade", &[]), Err(BadUpgrade::Upgrade));
        assert_eq!(with("upgrade", &[("upgrade", "h2c")]), Err(BadUpgrade::Upgrade));
        assert_eq!(
            with("upgrade", &[("upgrade", "websocket, h2c")]),
            Err(BadUpgrade::Upgrade)
        );
        assert_eq!(with("", &[("upgrade", "websocket")]), Err(BadUpgrade::Upgrade));
        assert_eq!(with("connection", &[]), Err(BadUpgrade::Connection));
        assert_eq!(
            with("connection", &[("connection", "close")]),
            Err(BadUpgrade::Connection)
        );
    }

    #[test]
    fn the_accept_must_answer_the_key_once() {
        let name = "sec-websocket-accept";
        assert_eq!(with(name, &[]), Err(BadUpgrade::AcceptCount));
        assert_eq!(with("", &[ACCEPT]), Err(BadUpgrade::AcceptCount));
        for value in [
            "",
            "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
            "dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_eq!(
                with(name, &[(name, value)]),
                Err(BadUpgrade::AcceptValue),
                "{value}"
            );
        }
    }

    #[test]
    fn a_101_with_a_body_is_refused() {
        assert_eq!(with("", &[("content-length", "0")]), Err(BadUpgrade::Body));
        assert_eq!(with("", &[("content-length", "5")]), Err(BadUpgrade::Body));
        assert_eq!(
            with("", &[("transfer-encoding", "chunked")]),
            Err(BadUpgrade::Body)
        );
    }
}
