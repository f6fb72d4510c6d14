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

use super::FieldMatch;

mod host;
mod path;

pub use self::{host::HostPattern, path::PathPattern};
pub(in crate::route) use self::{
    host::Hosts,
    path::{LONGEST, Segment, literal},
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

    /// What decides between patterns of the same host and path: the greater is the more specific.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let valued = |fields: &[FieldMatch]| fields.iter().filter(|field| field.has_value()).count();
        (
            self.headers.len(),
            valued(&self.headers),
            self.query.len(),
            valued(&self.query),
        )
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

#[cfg(test)]
mod tests;
