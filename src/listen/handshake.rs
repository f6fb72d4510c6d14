//! Whether a request head asks for a WebSocket, and whether anything about it could be read in two ways.
//!
//! In: the head of an HTTP/1 request, as httparse read it, or of an HTTP/2 request in the same words. Out: a [`Kind`], or a
//! [`BadHandshake`] with its status.
//!
//! - The length of the body has one reading: one `Content-Length` of digits, or one `Transfer-Encoding: chunked` in
//!   HTTP/1.1, not both. Everything else is a 400 that ends the connection, because what follows on it is anyone's
//!   guess. HTTP/1.1 has exactly one `Host`. CONNECT is never served.
//! - `Upgrade: websocket`, alone, in HTTP/1.1, asks for a WebSocket. From there on RFC 6455 4.2.1 holds to the letter,
//!   and no body may come with it: a request that only looks like a handshake is refused, never passed on as plain.
//! - `websocket` among other protocols is refused: what the backend would choose is not known.
//! - Any other upgrade, and any in HTTP/1.0, is a plain request whose `Upgrade` is stripped on the way.
//!
//! Not here: the target and the value of `Host` ([`Target`](crate::route::Target)); folded lines and control characters,
//! which the parser refuses; bare line feeds, which it takes and which end here; what reaches the backend
//! ([`headers`](crate::policy::headers)).

use base64::{Engine, engine::general_purpose::STANDARD};
use h2::ext::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use sha1::{Digest, Sha1};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A WebSocket.
    WebSocket(Upgrade),
    /// An answer.
    Plain,
}

/// A valid request for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    key: [u8; KEY],
}

/// Why a request is refused before any route is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHandshake {
    /// CONNECT.
    #[error("CONNECT is not served")]
    Connect,
    /// Extended CONNECT for something else than a WebSocket.
    #[error("the only protocol that is served is websocket")]
    Protocol,
    /// None in HTTP/1.1, or two.
    #[error("there must be exactly one Host field")]
    Host,
    /// Where the body ends could be read in two ways.
    #[error(transparent)]
    Framing(#[from] BadFraming),
    /// `websocket` and something else.
    #[error("websocket must be the only protocol in Upgrade")]
    Among,
    /// Another method than GET.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// No `Connection: upgrade`.
    #[error("Upgrade: websocket came without Connection: upgrade, as a proxy on the way may leave it")]
    Connection,
    /// Another version than 13, none, or several.
    #[error("the WebSocket version must be 13")]
    Version,
    /// No key, two, or one that is not 16 bytes in base64.
    #[error("there must be exactly one Sec-WebSocket-Key of 16 bytes in base64")]
    Key,
    /// A body, or what announces one.
    #[error("a request for a WebSocket has no body")]
    Body,
}

/// Why it is not certain where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFraming {
    /// Both ways to say it.
    #[error("Content-Length and Transfer-Encoding came together")]
    Both,
    /// Several, or something other than digits.
    #[error("there must be at most one Content-Length, of digits")]
    ContentLength,
    /// Anything but one `chunked`.
    #[error("the only transfer coding is one chunked")]
    Coding,
    /// A transfer coding in HTTP/1.0.
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    Http10,
}

/// Bytes of a key: 16 in base64.
const KEY: usize = 24;

/// Bytes of the answer to a key: 20 in base64.
const ACCEPT: usize = 28;

/// Tells what a request head asks for.
pub fn classify(parts: &Parts) -> Result<Kind, BadHandshake> {
    if parts.method == Method::CONNECT {
        let extended = parts.extensions.get::<Protocol>().is_some();
        return Err(if extended {
            BadHandshake::Protocol
        } else {
            BadHandshake::Connect
        });
    }
    if parts.version > Version::HTTP_11 {
        return Ok(Kind::Plain);
    }
    let hosts = parts.headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && parts.version == Version::HTTP_11) {
        return Err(BadHandshake::Host);
    }
    let body = announced_body(parts)?;
    if parts.version != Version::HTTP_11 || !asks_for_websocket(&parts.headers)? {
        return Ok(Kind::Plain);
    }
    let upgrade = Upgrade::parse(parts)?;
    match body {
        Body::None => Ok(Kind::WebSocket(upgrade)),
        Body::Some => Err(BadHandshake::Body),
    }
}

/// The elements of a comma-separated field over all its lines, without the empty ones.
pub(crate) fn tokens<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'h [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|&b| b == b','))
        .map(|token| token.trim_ascii())
        .filter(|token| !token.is_empty())
}

// === impl Upgrade ===

impl Upgrade {
    fn parse(parts: &Parts) -> Result<Self, BadHandshake> {
        if parts.method != Method::GET {
            return Err(BadHandshake::Method);
        }
        if !tokens(&parts.headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
            return Err(BadHandshake::Connection);
        }
        let version = only(&parts.headers, &header::SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version != VERSION) {
            return Err(BadHandshake::Version);
        }
        let key = only(&parts.headers, &header::SEC_WEBSOCKET_KEY).and_then(|value| key(value.as_bytes()));
        key.map(|key| Self { key }).ok_or(BadHandshake::Key)
    }

    /// What `Sec-WebSocket-Accept` must say.
    pub fn accept(&self) -> [u8; ACCEPT] {
        // RFC 6455 1.3
        let digest = Sha1::new()
            .chain_update(self.key)
            .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let mut accept = [0; ACCEPT];
        STANDARD
            .encode_slice(digest.finalize(), &mut accept)
            .expect("20 bytes are 28 in base64");
        accept
    }
}

// === impl BadHandshake ===

impl BadHandshake {
    /// What the client is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Protocol => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Host
            | Self::Framing(_)
            | Self::Among
            | Self::Method
            | Self::Connection
            | Self::Key
            | Self::Body => StatusCode::BAD_REQUEST,
        }
    }

    /// The field that its status demands of the answer.
    pub fn field(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Connect => Some((header::ALLOW, HeaderValue::from_static(METHODS))),
            Self::Version => Some((header::SEC_WEBSOCKET_VERSION, VERSION)),
            _ => None,
        }
    }

    /// Whether the connection ends with the answer. Only a client that has another version to offer may go on: after
    /// the rest, the bytes that follow may be frames, a tunnel or a body, and must not be read as a request.
    pub fn closes(self) -> bool {
        !matches!(self, Self::Version)
    }
}

/// What `Allow` says where CONNECT is refused.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The only version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Whether a body may follow.
enum Body {
    None,
    Some,
}

fn announced_body(parts: &Parts) -> Result<Body, BadFraming> {
    let coded = parts.headers.contains_key(header::TRANSFER_ENCODING);
    let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), coded) {
        (None, false) => Ok(Body::None),
        (Some(_), true) => Err(BadFraming::Both),
        (None, true) if parts.version != Version::HTTP_11 => Err(BadFraming::Http10),
        (None, true) => {
            let mut codings = tokens(&parts.headers, &header::TRANSFER_ENCODING);
            let chunked = codings
                .next()
                .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
            if chunked && codings.next().is_none() {
                Ok(Body::Some)
            } else {
                Err(BadFraming::Coding)
            }
        }
        (Some(length), false) => match (content_length(length), lengths.next()) {
            (Some(0), None) => Ok(Body::None),
            (Some(_), None) => Ok(Body::Some),
            _ => Err(BadFraming::ContentLength),
        },
    }
}

fn content_length(value: &HeaderValue) -> Option<u64> {
    // The parser of integers would take a sign.
    let digits = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

fn asks_for_websocket(headers: &HeaderMap) -> Result<bool, BadHandshake> {
    let mut protocols = 0;
    let mut websocket = false;
    for token in tokens(headers, &header::UPGRADE) {
        protocols += 1;
        websocket |= token.eq_ignore_ascii_case(b"websocket");
    }
    if websocket && protocols > 1 {
        Err(BadHandshake::Among)
    } else {
        Ok(websocket)
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

fn key(value: &[u8]) -> Option<[u8; KEY]> {
    let text = value.strip_suffix(b"==")?;
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    // The two bits that 16 bytes leave over in the last digit are not judged: clients fill them as they like, and the
    // answer is computed over the text.
    value
        .try_into()
        .ok()
        .filter(|_: &[u8; KEY]| text.iter().all(base64))
}

#[cfg(test)]
mod tests;
