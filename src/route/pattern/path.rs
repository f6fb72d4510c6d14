//! The `path:` of a route's match.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use super::PatternError;
use crate::route::path::{self, EncodedSlash};

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

/// Bytes of a pattern or template. It bounds the depth of a table, which is walked recursively.
pub(in crate::route) const LONGEST: usize = 2048;

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

    /// What the parameter `name` stands for in a path that this matches; `None` if it is not there.
    pub(crate) fn value<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        let at = self
            .segments
            .iter()
            .position(|segment| segment.name() == Some(name))?;
        let (slash, _) = path.match_indices('/').nth(at)?;
        let onwards = &path[slash + 1..];
        match self.segments[at] {
            Segment::Rest(_) => Some(onwards),
            Segment::Literal(_) | Segment::Param(_) => onwards.split('/').next(),
        }
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

/// Refuses a literal segment that would never be reached, so that the mistake is found when the file is read.
pub(in crate::route) fn literal(text: &str) -> Result<(), PatternError> {
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
