//! Who may ask the admin address for what; decided from the head of a request, before it is routed.
//!
//! In: a request head, the address that is bound, the token file. Out: nothing, or the refusal that is the answer.
//!
//! The rules, in order:
//! 1. Exactly one Host. On a loopback address it must be a loopback address or `localhost`: a page whose name was rebound
//!    to 127.0.0.1 sends its own name. Elsewhere probes and scrapers come by any name, and what is not for all needs the
//!    token, which no foreign page has.
//! 2. An Origin must be that of the Host: no other site's script gets an answer.
//! 3. Anything but GET and HEAD needs the token, on every path; without a `token_file` all of it is refused.
//! 4. On an address that is not loopback, so do `/api`, the console and all else except `/livez`, `/readyz`, `/metrics` and
//!    the console's script and style, which hold no data.

use std::{
    fs::File,
    hint::black_box,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use axum::{
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Version,
        header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE},
        request,
        uri::Authority,
    },
    response::Response,
};

/// The file that holds the admin token.
///
/// Read anew for every request that needs it, so that a replaced file counts at once.
#[derive(Debug, Default)]
pub struct TokenFile(ArcSwapOption<PathBuf>);

/// The rules of one admin address.
#[derive(Debug)]
pub(super) struct Rules {
    loopback: bool,
    token: Arc<TokenFile>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a request needs exactly one valid Host")]
    NoHost,
    #[error("the Host is not a name of this address; use its IP address or localhost")]
    ForeignHost,
    #[error("the Origin is another site")]
    ForeignOrigin,
    #[error("this needs a token, and the config names no admin.token_file")]
    NoTokenFile,
    #[error("this needs a token, and the file of admin.token_file cannot be read or is empty")]
    UnreadableToken,
    #[error("this needs the admin token: Authorization: Bearer <token>")]
    WrongToken,
}

// === impl TokenFile ===

impl TokenFile {
    /// The file at this path; with `None` nothing that needs a token is allowed.
    pub fn new(path: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self(ArcSwapOption::from_pointee(path)))
    }

    /// Takes another file from now on.
    pub fn set(&self, path: Option<PathBuf>) {
        self.0.store(path.map(Arc::new));
    }

    fn check(&self, head: &HeaderMap) -> Result<(), Refusal> {
        let path = self.0.load_full().ok_or(Refusal::NoTokenFile)?;
        let token = read_token(&path).map_err(|error| {
            tracing::warn!(%error, "the admin token cannot be read");
            Refusal::UnreadableToken
        })?;
        let given = sole(head, &AUTHORIZATION)
            .and_then(bearer)
            .ok_or(Refusal::WrongToken)?;
        if equal_in_constant_time(given, token.trim_ascii()) {
            Ok(())
        } else {
            Err(Refusal::WrongToken)
        }
    }
}

// === impl Rules ===

impl Rules {
    pub(super) fn new(bound: SocketAddr, token: Arc<TokenFile>) -> Self {
        Self {
            loopback: bound.ip().to_canonical().is_loopback(),
            token,
        }
    }

    pub(super) fn check(&self, request: &request::Parts) -> Result<(), Refusal> {
        let host = self.host(request)?;
        same_origin(&request.headers, host.as_ref())?;
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if reads && (self.loopback || OPEN.contains(&request.uri.path())) {
            return Ok(());
        }
        self.token.check(&request.headers)
    }

    fn host(&self, request: &request::Parts) -> Result<Option<Authority>, Refusal> {
        // No browser sends HTTP/1.0, and some health checkers do, without a Host.
        if request.version == Version::HTTP_10 && !request.headers.contains_key(HOST) {
            return Ok(None);
        }
        let host = sole(&request.headers, &HOST)
            .and_then(|host| Authority::try_from(host.as_bytes()).ok())
            .filter(|host| !host.as_str().contains('@'))
            .ok_or(Refusal::NoHost)?;
        // A target in absolute form overrules Host, so both must be the same.
        if request.uri.authority().is_some_and(|target| *target != host) {
            return Err(Refusal::NoHost);
        }
        if self.loopback && !is_loopback(host.host()) {
            return Err(Refusal::ForeignHost);
        }
        Ok(Some(host))
    }
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn response(self) -> Response {
        let status = match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin | Self::NoTokenFile | Self::UnreadableToken => StatusCode::FORBIDDEN,
            Self::WrongToken => StatusCode::UNAUTHORIZED,
        };
        let mut response = super::error(status, &self.to_string());
        if self == Self::WrongToken {
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn same_origin(head: &HeaderMap, host: Option<&Authority>) -> Result<(), Refusal> {
    if !head.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = sole(head, &ORIGIN).and_then(|origin| origin.to_str().ok());
    let site = origin.and_then(|origin| {
        // Behind a proxy that ends TLS the page is https and this hop is not.
        origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
    });
    match (site, host) {
        (Some(site), Some(host)) if site.eq_ignore_ascii_case(host.as_str()) => Ok(()),
        _ => Err(Refusal::ForeignOrigin),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    match address {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// The value of a field that comes exactly once.
fn sole<'a>(head: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = head.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

fn read_token(path: &PathBuf) -> io::Result<Vec<u8>> {
    let mut token = Vec::new();
    File::open(path)?.take(MAX_TOKEN).read_to_end(&mut token)?;
    if token.trim_ascii().is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(token)
}

/// Takes as long for a near miss as for a far one; how long depends on `given` alone, which its sender knows.
fn equal_in_constant_time(given: &[u8], token: &[u8]) -> bool {
    let mut difference = given.len() ^ token.len();
    for (byte, expected) in given.iter().zip(token.iter().cycle()) {
        difference = black_box(difference | usize::from(byte ^ expected));
    }
    difference == 0
}

/// More than any token; a path that leads to something endless is read no further.
const MAX_TOKEN: u64 = 4096;

/// Open to all on every address.
const OPEN: [&str; 5] = ["/livez", "/readyz", "/metrics", "/console.js", "/console.css"];

#[cfg(test)]
mod tests;
