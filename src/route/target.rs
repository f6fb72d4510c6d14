//! The host, path and query that a request asks for, read in the one way that its backend will read them.
//!
//! In: a request head. Out: a [`Target`], or a [`BadTarget`], which is a 400.
//!
//! - origin-form (`/chat?room=1`): as it is.
//! - absolute-form (`http://host/chat`), which RFC 9112 3.2.2 obliges servers to take: its host is the host, and `Host`,
//!   if there is one, must name the same host and port. RFC 9112 would have `Host` ignored; but it reaches the backend.
//! - asterisk-form (`OPTIONS *`): refused, it asks about a server and names nothing that a route could take.
//! - authority-form: only CONNECT has it, refused by [`handshake`](crate::listen) before it comes here.
//!
//! `:authority` of HTTP/2 counts as absolute-form. A request without any host (HTTP/1.0) is matched by routes for any
//! host. A fragment never gets here: the HTTP parser drops it, so no backend sees it either.

use http::{HeaderMap, StatusCode, Uri, header, request::Parts, uri::PathAndQuery};

use super::{
    host::{BadHost, HostBuffer},
    path::{self, AmbiguousPath, EncodedSlash},
};

/// What a request asks for.
#[derive(Debug)]
pub struct Target<'r> {
    host: Option<HostBuffer>,
    whole: &'r PathAndQuery,
    slash: EncodedSlash,
}

/// Why a request's target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTarget {
    /// Two readers could read the path differently.
    #[error(transparent)]
    Path(#[from] AmbiguousPath),
    /// The host is none.
    #[error("the Host is no host name or address")]
    Host,
    /// Two Host fields.
    #[error("there is more than one Host field")]
    HostRepeated,
    /// The target says one host, the Host field another.
    #[error("the Host field names another host than the request target")]
    HostDiffers,
    /// Neither origin-form nor absolute-form with http or https.
    #[error("the request target is neither a path nor an http or https address")]
    Form,
}

// === impl Target ===

impl<'r> Target<'r> {
    /// Reads the target of a request.
    pub fn of(parts: &'r Parts) -> Result<Self, BadTarget> {
        let whole = parts
            .uri
            .path_and_query()
            .filter(|it| it.as_str() != "*")
            .ok_or(BadTarget::Form)?;
        let field = host_field(&parts.headers)?;
        let host = match (parts.uri.authority(), field) {
            (Some(_), field) => Some(absolute(&parts.uri, field)?),
            (None, Some(field)) => Some(split_port(field)?.0),
            (None, None) => None,
        };
        let slash = path::judge(whole.path())?;
        Ok(Self { host, whole, slash })
    }

    /// The host in lower case, without port; `None` if the request has none.
    pub fn host(&self) -> Option<&str> {
        self.host.as_ref().map(HostBuffer::as_str)
    }

    /// The path as it came.
    pub fn path(&self) -> &'r str {
        self.whole.path()
    }

    /// The query as it came, without its question mark.
    pub fn query(&self) -> Option<&'r str> {
        self.whole.query()
    }

    pub(super) fn whole(&self) -> &'r PathAndQuery {
        self.whole
    }

    pub(super) fn has_encoded_slash(&self) -> bool {
        self.slash == EncodedSlash::Present
    }
}

// === impl BadTarget ===

impl BadTarget {
    /// What the client is answered.
    pub fn status(self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

impl From<BadHost> for BadTarget {
    fn from(_: BadHost) -> Self {
        Self::Host
    }
}

fn host_field(headers: &HeaderMap) -> Result<Option<&str>, BadTarget> {
    let mut fields = headers.get_all(header::HOST).iter();
    let first = fields.next();
    if fields.next().is_some() {
        return Err(BadTarget::HostRepeated);
    }
    first
        .map(|value| value.to_str().map_err(|_| BadTarget::Host))
        .transpose()
}

fn absolute(uri: &Uri, field: Option<&str>) -> Result<HostBuffer, BadTarget> {
    let default = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(BadTarget::Form),
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let (host, port) = split_port(authority)?;
    if let Some(field) = field {
        let (other, other_port) = split_port(field)?;
        let same_port = port.unwrap_or(default) == other_port.unwrap_or(default);
        if host.as_str() != other.as_str() || !same_port {
            return Err(BadTarget::HostDiffers);
        }
    }
    Ok(host)
}

/// Takes `host[:port]` apart. RFC 3986 lets the port be empty.
fn split_port(authority: &str) -> Result<(HostBuffer, Option<u16>), BadTarget> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| BadTarget::Host)?)
        }
        _ => return Err(BadTarget::Host),
    };
    Ok((HostBuffer::of(host)?, port))
}

#[cfg(test)]
mod tests;
