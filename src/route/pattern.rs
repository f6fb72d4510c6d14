//! What a route matches, as its operator wrote it.
//!
//! In: the strings under `match:` of a route. Out: patterns that are well formed, or a [`PatternError`] that says what
//! to write instead.
//!
//! Promises:
//! - two patterns are equal when they match the same requests: neither the case of a host nor the name of a parameter
//!   tells them apart, so a route that could never be reached is found by comparing;
//! - `Display` shows what was written.
//!
//! Not here: which of several matching patterns wins ([`table`](super::table)).

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use http::{HeaderName, HeaderValue};

use super::{
    host::HostBuffer,
    path::{self, EncodedSlash},
};

/// What a route matches: all of it must.
///
/// `allow_encoded_slash` takes no part in equality: on a path without `%2F` nothing tells such routes apart.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub(crate) host: HostPattern,
    pub(crate) path: PathPattern,
    pub(crate) headers: Vec<FieldMatch>,
    pub(crate) query: Vec<FieldMatch>,
    pub(crate) allow_encoded_slash: bool,
}

/// The hosts of a route: a name, `*.suffix` for one or more labels before it, or `*` for any.
#[derive(Clone, Debug)]
pub struct HostPattern {
    text: Box<str>,
    hosts: Hosts,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hosts {
    Any,
    /// Without the `*.` before it.
    Below(Box<str>),
    Exact(Box<str>),
}

/// The paths of a route: literal segments, `{param}` for one segment that is not empty, and as the last segment
/// `{*rest}` for whatever follows.
///
/// `/ws/{*rest}` matches `/ws/a/b` and `/ws/`, and `/ws` too: a hub and what is below it are one route, and no stricter
/// route is left by leaving out a slash. Other than that a slash more or less is another path.
#[derive(Clone, Debug)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Param(Box<str>),
    Rest(Box<str>),
}

/// A header field or a query parameter that must be there, or must have a value.
///
/// Where a name occurs several times, one of them must match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldMatch {
    pub(crate) name: Box<str>,
    pub(crate) value: Option<Box<str>>,
}

/// Why a pattern cannot be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A host with a port.
    #[error("a host has no port here: a route serves every listener; write {0:?}")]
    Port(String),
    /// Something that is no host.
    #[error(
        "{0:?} is no host; write a name such as chat.example.com (punycode for other alphabets), *.example.com, * for \
         any, an IPv4 address, or an IPv6 address in brackets"
    )]
    Host(String),
    /// A path without its first slash.
    #[error("a path starts with a slash; write {0:?}")]
    Slash(String),
    /// A path that is longer than any request's that should be routed.
    #[error("a path has at most {longest} bytes here", longest = LONGEST)]
    Long,
    /// Braces that are not around a whole segment.
    #[error("{0:?}: braces go around a whole segment, {{name}} or as the last one {{*name}}")]
    Braces(String),
    /// A parameter without a proper name.
    #[error("{0:?}: a parameter's name has letters, digits and _")]
    Name(String),
    /// Two parameters of one name.
    #[error("the parameter {0:?} is there twice")]
    Repeated(String),
    /// `{*rest}` before the end.
    #[error("{{*{0}}} takes all that follows; only the last segment can be written so")]
    RestNotLast(String),
    /// A literal segment that no request can have, or that is refused before routes are looked at.
    #[error("the segment {0:?} can match no request: {1}")]
    Literal(String, &'static str),
    /// A header or query match that no request can have.
    #[error("{0:?} is no {1}")]
    Field(String, &'static str),
}

/// Bytes of a pattern or template. It bounds the depth of a table, which is walked recursively.
pub(super) const LONGEST: usize = 2048;

// === impl Pattern ===

impl Pattern {
    /// A pattern of the given parts. `allow_encoded_slash` lets it match paths with `%2F`.
    pub fn new(
        host: HostPattern,
        path: PathPattern,
        mut headers: Vec<FieldMatch>,
        mut query: Vec<FieldMatch>,
        allow_encoded_slash: bool,
    ) -> Self {
        // Equality must not see an order that has no meaning.
        for fields in [&mut headers, &mut query] {
            fields.sort();
            fields.dedup();
        }
        Self {
            host,
            path,
            headers,
            query,
            allow_encoded_slash,
        }
    }

    /// What it matches of hosts.
    pub fn host(&self) -> &HostPattern {
        &self.host
    }

    /// What it matches of paths.
    pub fn path(&self) -> &PathPattern {
        &self.path
    }

    fn identity(&self) -> (&HostPattern, &PathPattern, &[FieldMatch], &[FieldMatch]) {
        (&self.host, &self.path, &self.headers, &self.query)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)?;
        self.headers
            .iter()
            .try_for_each(|field| write!(f, " header {field}"))?;
        self.query
            .iter()
            .try_for_each(|field| write!(f, " query {field}"))
    }
}

// === impl HostPattern ===

impl HostPattern {
    /// Every host, and requests without one.
    pub fn any() -> Self {
        Self {
            text: "*".into(),
            hosts: Hosts::Any,
        }
    }

    /// Reads `chat.example.com`, `*.example.com`, `[::1]` or `*`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::any());
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        let mut buffer = HostBuffer::new();
        let Ok(host) = buffer.normalise(name) else {
            return Err(match text.rsplit_once(':') {
                Some((host, port)) if is_port(port) && Self::parse(host).is_ok() => {
                    PatternError::Port(host.to_owned())
                }
                _ => PatternError::Host(text.to_owned()),
            });
        };
        let hosts = match wildcard {
            true if host.starts_with('[') => return Err(PatternError::Host(text.to_owned())),
            true => Hosts::Below(host.into()),
            false => Hosts::Exact(host.into()),
        };
        Ok(Self {
            text: text.into(),
            hosts,
        })
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.hosts
    }
}

impl PartialEq for HostPattern {
    fn eq(&self, other: &Self) -> bool {
        self.hosts == other.hosts
    }
}

impl Eq for HostPattern {}

impl Hash for HostPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hosts.hash(state);
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl PathPattern ===

impl PathPattern {
    /// Reads `/chat`, `/rooms/{room}/ws` or `/gateway/{*rest}`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > LONGEST {
            return Err(PatternError::Long);
        }
        let Some(path) = text.strip_prefix('/') else {
            return Err(PatternError::Slash(format!("/{text}")));
        };
        let segments: Box<[Segment]> = path.split('/').map(Segment::parse).collect::<Result<_, _>>()?;
        for (at, segment) in segments.iter().enumerate() {
            let Some(name) = segment.name() else { continue };
            if matches!(segment, Segment::Rest(_)) && at + 1 < segments.len() {
                return Err(PatternError::RestNotLast(name.to_owned()));
            }
            if segments[..at].iter().any(|earlier| earlier.name() == Some(name)) {
                return Err(PatternError::Repeated(name.to_owned()));
            }
        }
        Ok(Self {
            text: text.into(),
            segments,
        })
    }

    /// The names of its parameters, from the left.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.segments == other.segments
    }
}

impl Eq for PathPattern {}

impl Hash for PathPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.segments.hash(state);
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl Segment ===

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.contains(['{', '}']) {
            return literal(text).map(|()| Self::Literal(text.into()));
        }
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let Some(inner) = inner.filter(|inner| !inner.contains(['{', '}'])) else {
            return Err(PatternError::Braces(text.to_owned()));
        };
        let (name, rest) = match inner.strip_prefix('*') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(PatternError::Name(text.to_owned()));
        }
        Ok(if rest {
            Self::Rest(name.into())
        } else {
            Self::Param(name.into())
        })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Param(name) | Self::Rest(name) => Some(name),
        }
    }

    /// What takes part in equality: everything but a parameter's name.
    fn shape(&self) -> (u8, &str) {
        match self {
            Self::Literal(text) => (0, text),
            Self::Param(_) => (1, ""),
            Self::Rest(_) => (2, ""),
        }
    }
}

impl PartialEq for Segment {
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape()
    }
}

impl Eq for Segment {}

impl Hash for Segment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shape().hash(state);
    }
}

// === impl FieldMatch ===

impl FieldMatch {
    /// A header field: its name in any case, and the whole of its value if it must have one.
    pub fn header(name: &str, value: Option<&str>) -> Result<Self, PatternError> {
        let field =
            HeaderName::try_from(name).map_err(|_| PatternError::Field(name.to_owned(), "header name"))?;
        if let Some(value) = value {
            // What a parser strips from around a value can never be matched.
            let trimmed = value.trim_matches([' ', '\t']) == value;
            if !trimmed || HeaderValue::from_str(value).is_err() {
                return Err(PatternError::Field(value.to_owned(), "header value"));
            }
        }
        Ok(Self {
            name: field.as_str().into(),
            value: value.map(Into::into),
        })
    }

    /// A query parameter, name and value as they are after percent-decoding.
    pub fn query(name: &str, value: Option<&str>) -> Result<Self, PatternError> {
        if name.is_empty() {
            return Err(PatternError::Field(name.to_owned(), "query parameter"));
        }
        Ok(Self {
            name: name.into(),
            value: value.map(Into::into),
        })
    }
}

impl fmt::Display for FieldMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

/// Refuses a literal segment that would never be reached, so that the mistake is found when the file is read.
pub(super) fn literal(text: &str) -> Result<(), PatternError> {
    let refuse = |why| Err(PatternError::Literal(text.to_owned(), why));
    if !text.is_ascii() {
        return refuse("write the percent escapes that clients send");
    }
    // RFC 3986 3.3: pchar
    let pchar = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&b);
    if !text.bytes().all(pchar) {
        return refuse("such a character is never part of a path");
    }
    match path::judge(text) {
        Ok(EncodedSlash::Absent) => Ok(()),
        Ok(EncodedSlash::Present) => refuse("only a parameter can hold an encoded slash"),
        Err(_) => refuse("such a path is refused, because it can be read in two ways"),
    }
}

#[cfg(test)]
mod tests;
