//! Which pages may open sessions and send requests: the Origin that browsers put into both.
//!
//! In: the `Origin` of a request and a route's list. Out: nothing, or 403 before any backend is dialled.
//!
//! - An origin is compared whole, as browsers write it (RFC 6454 6.2): scheme, host and port, never a part of them; so
//!   neither `https://evil-example.com` nor `https://example.com.evil` is `https://example.com`. Letter case does not matter.
//! - Several `Origin` fields, or one of several origins, are on no list. `null`, which sandboxed pages and files send, is
//!   only if it is written there.
//! - A request without `Origin` passes: it is no page's, or a page's own plain GET. Who can leave it out, can write
//!   anything there; the list protects users of browsers, and nothing else.
//!
//! Not here: what scripts of other origins may read ([`super::cors`]).

use http::{HeaderMap, StatusCode, header, request::Parts};

use crate::{
    answer::Answer,
    listen::Kind,
    route::Matched,
    router::{Planned, Router},
    telemetry::metrics::HandshakeEnd,
};

/// A list of origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

/// One origin, as browsers write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

/// Why a text is no origin; each says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadOrigin {
    /// No scheme.
    #[error("an origin begins with its scheme; write one such as `https://app.example.com`")]
    Scheme,
    /// Not a host with a port or without.
    #[error(
        "an origin is scheme, host and port and nothing more; write one such as `https://app.example.com`"
    )]
    Host,
    /// The port that browsers leave out.
    #[error("browsers leave out the usual port of a scheme; remove it")]
    UsualPort,
    /// A wildcard.
    #[error("an origin is compared whole; write each, or leave the key out to allow any")]
    Wildcard,
}

/// The step before the headers: lets pass what no page has sent, or one that the route's list allows.
pub fn check(_: &Router, head: &mut Parts) -> Result<(), Answer> {
    let Some(matched) = head.extensions.get::<Matched>() else {
        return Err(super::out_of_order());
    };
    let allowed = match &matched.planned.route.origins {
        None => true,
        Some(origins) => origins.allow(&head.headers),
    };
    match allowed {
        true => Ok(()),
        false => Err(refuse(&matched.planned, head.extensions.get())),
    }
}

fn refuse(planned: &Planned, kind: Option<&Kind>) -> Answer {
    let answer = Answer::new(
        StatusCode::FORBIDDEN,
        "this route does not take requests from pages of this origin",
    );
    match kind {
        Some(Kind::WebSocket(_)) => planned.metrics.handshake(HandshakeEnd::Denied),
        _ => planned.metrics.request(Some(answer.status)),
    }
    answer
}

// === impl Origins ===

impl Origins {
    /// These and no others.
    pub fn new(origins: Vec<Origin>) -> Self {
        Self(origins)
    }

    /// Whether `origin` is on the list.
    pub fn has(&self, origin: &[u8]) -> bool {
        self.0
            .iter()
            .any(|allowed| allowed.0.as_bytes().eq_ignore_ascii_case(origin))
    }

    fn allow(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(header::ORIGIN).iter();
        match (fields.next(), fields.next()) {
            (None, _) => true,
            (Some(origin), None) => self.has(origin.as_bytes()),
            (Some(_), Some(_)) => false,
        }
    }
}

// === impl Origin ===

impl Origin {
    /// Reads what one writes into a list.
    pub fn parse(text: &str) -> Result<Self, BadOrigin> {
        if text == "null" {
            return Ok(Self(text.into()));
        }
        if text.contains('*') {
            return Err(BadOrigin::Wildcard);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadOrigin::Scheme)?;
        let in_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(in_scheme) {
            return Err(BadOrigin::Scheme);
        }
        let authority: http::uri::Authority = rest.parse().map_err(|_| BadOrigin::Host)?;
        if authority.host().is_empty() || rest.contains('@') || rest.ends_with(':') {
            return Err(BadOrigin::Host);
        }
        let usual = match scheme.to_ascii_lowercase().as_str() {
            "https" | "wss" => Some(443),
            "http" | "ws" => Some(80),
            _ => None,
        };
        match authority.port() {
            Some(port) if usual == Some(port.as_u16()) => Err(BadOrigin::UsualPort),
            _ => Ok(Self(text.to_ascii_lowercase().into())),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Origins {
        let texts = ["https://Chat.example.com", "http://localhost:5173", "null"];
        Origins::new(texts.map(|text| Origin::parse(text).unwrap()).into())
    }

    fn allows(fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::ORIGIN, field.parse().unwrap());
        }
        list().allow(&headers)
    }

    #[test]
    fn an_origin_is_compared_whole_and_without_case() {
        assert!(allows(&["https://chat.example.com"]));
        assert!(allows(&["HTTPS://CHAT.example.com"]));
        assert!(allows(&["http://localhost:5173"]));
        assert!(allows(&["null"]));
        for other in [
            "http://chat.example.com",
            "https://evil-chat.example.com",
            "https://chat.example.com.evil",
            "https://chat.example.com:8443",
            "https://chat.example.com/",
            "https://chat.example.com https://evil.example",
            "http://localhost",
            "",
        ] {
            assert!(!allows(&[other]), "{other}");
        }
    }

    #[test]
    fn none_passes_and_two_do_not() {
        assert!(allows(&[]));
        assert!(!allows(&["https://chat.example.com", "https://chat.example.com"]));
    }

    #[test]
    fn what_no_browser_would_send_is_no_origin() {
        for (text, why) in [
            ("chat.example.com", BadOrigin::Scheme),
            ("://a", BadOrigin::Scheme),
            ("https://", BadOrigin::Host),
            ("https://a/", BadOrigin::Host),
            ("https://a/path", BadOrigin::Host),
            ("https://user@a", BadOrigin::Host),
            ("https://a:443", BadOrigin::UsualPort),
            ("http://a:80", BadOrigin::UsualPort),
            ("https://*.a", BadOrigin::Wildcard),
            ("*", BadOrigin::Wildcard),
        ] {
            assert_eq!(Origin::parse(text), Err(why), "{text}");
        }
        for text in [
            "capacitor://localhost",
            "chrome-extension://abc",
            "https://[::1]:8443",
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), text);
        }
    }
}
