//! The path that a backend is asked for.
//!
//! In: `rewrite:` of a route, such as `/hubs/{hub}/{rest}`. Out: a [`Template`] whose every name is a parameter of the
//! route's path, which turns a path that the route matched into the path for the backend.
//!
//! Promises:
//! - a parameter's bytes are kept as they came, escapes included; the query is no part of the template and never
//!   changed;
//! - where `{*rest}` matched without its slash (`/ws` by `/ws/{*rest}`) the slash before `{rest}` is left out too:
//!   `/hub/{rest}` gives `/hub` for `/ws` and `/hub/` for `/ws/`;
//! - no path that every reader reads alike becomes one that is read in two ways. So `{rest}`, which may be empty and
//!   may hold slashes, stands for whole segments, and no segment has `.` or `..` alone beside a parameter, which may
//!   start with `;` or end with `%2F`.

use std::fmt;

use super::pattern::{LONGEST, PathPattern, PatternError, Segment, literal};

/// The path sent to the backend.
#[derive(Clone, Debug)]
pub struct Template {
    text: Box<str>,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(Box<str>),
    /// The path's segment at this place.
    Segment(usize),
    /// All of the path from this segment on.
    Rest(usize),
}

/// Why a template cannot be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A path without its first slash.
    #[error("a path starts with a slash; write {0:?}")]
    Slash(String),
    /// A query or fragment.
    #[error("the query is always kept as it came, so it is no part of the rewrite; write the path alone")]
    Query,
    /// Too many bytes.
    #[error("a rewrite has at most {longest} bytes", longest = LONGEST)]
    Long,
    /// A brace without its other.
    #[error("{0:?}: write a parameter as {{name}}")]
    Braces(String),
    /// A name that is no parameter of the path.
    #[error("the path has no parameter {name:?}; {known}")]
    Unknown {
        /// What was written.
        name: String,
        /// Which there are.
        known: String,
    },
    /// `{rest}` beside other text.
    #[error("{{{0}}} may hold slashes or nothing, so it stands alone between slashes")]
    RestNotAlone(String),
    /// Dots before a parameter.
    #[error("the segment {0:?} is or could become a dot segment")]
    Dots(String),
    /// A literal that backends would not agree on.
    #[error(transparent)]
    Literal(#[from] PatternError),
}

// === impl Template ===

impl Template {
    /// Reads a template whose names are parameters of `path`.
    pub fn parse(text: &str, path: &PathPattern) -> Result<Self, TemplateError> {
        if text.len() > LONGEST {
            return Err(TemplateError::Long);
        }
        if text.contains(['?', '#']) {
            return Err(TemplateError::Query);
        }
        let Some(segments) = text.strip_prefix('/') else {
            return Err(TemplateError::Slash(format!("/{text}")));
        };
        let mut pieces = Vec::new();
        for segment in segments.split('/') {
            push_literal(&mut pieces, "/");
            parse_segment(segment, path, &mut pieces)?;
        }
        Ok(Self {
            text: text.into(),
            pieces: pieces.into(),
        })
    }

    /// The path for the backend, for a path that the route's pattern matched.
    pub(super) fn expand(&self, path: &str) -> String {
        let mut out = String::with_capacity(self.text.len() + path.len());
        for piece in &self.pieces {
            match *piece {
                Piece::Literal(ref text) => out.push_str(text),
                Piece::Segment(at) => out.push_str(segment(path, at).unwrap_or_default()),
                Piece::Rest(at) => match rest(path, at) {
                    Some(rest) => out.push_str(rest),
                    None => drop(out.pop()),
                },
            }
        }
        if out.is_empty() {
            out.push('/');
        }
        out
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse_segment(segment: &str, path: &PathPattern, pieces: &mut Vec<Piece>) -> Result<(), TemplateError> {
    let mut text = segment;
    while let Some((before, after)) = text.split_once('{') {
        let braces = || TemplateError::Braces(segment.to_owned());
        let (name, after) = after.split_once('}').ok_or_else(braces)?;
        let piece = parameter(name, path)?;
        if matches!(piece, Piece::Rest(_)) && segment.len() != name.len() + 2 {
            return Err(TemplateError::RestNotAlone(name.to_owned()));
        }
        add_literal(before, pieces)?;
        pieces.push(piece);
        text = after;
    }
    add_literal(text, pieces)?;
    // A parameter may start with `;`, which ends the name of a segment for servlet containers, or end with `%2F`.
    match segment
        .split(['{', '}'])
        .step_by(2)
        .any(|literal| matches!(literal, "." | ".."))
    {
        true => Err(TemplateError::Dots(segment.to_owned())),
        false => Ok(()),
    }
}

fn add_literal(text: &str, pieces: &mut Vec<Piece>) -> Result<(), TemplateError> {
    if text.contains('}') {
        return Err(TemplateError::Braces(text.to_owned()));
    }
    // What dots alone may stand beside is judged for the segment as a whole.
    if !text.bytes().all(|b| b == b'.') {
        literal(text)?;
    }
    push_literal(pieces, text);
    Ok(())
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Literal(last)) => *last = format!("{last}{text}").into(),
        _ if text.is_empty() => {}
        _ => pieces.push(Piece::Literal(text.into())),
    }
}

fn parameter(name: &str, path: &PathPattern) -> Result<Piece, TemplateError> {
    for (at, segment) in path.segments().iter().enumerate() {
        match segment {
            Segment::Param(known) if **known == *name => return Ok(Piece::Segment(at)),
            Segment::Rest(known) if **known == *name => return Ok(Piece::Rest(at)),
            Segment::Literal(_) | Segment::Param(_) | Segment::Rest(_) => {}
        }
    }
    let known: Vec<String> = path.names().map(|name| format!("{{{name}}}")).collect();
    let known = match known.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", known.join(", ")),
    };
    Err(TemplateError::Unknown {
        name: name.to_owned(),
        known,
    })
}

fn segment(path: &str, at: usize) -> Option<&str> {
    path.split('/').nth(at + 1)
}

/// What follows the slash before the segment at `at`; `None` when the path ends without that slash.
fn rest(path: &str, at: usize) -> Option<&str> {
    path.match_indices('/')
        .nth(at)
        .map(|(slash, _)| &path[slash + 1..])
}

#[cfg(test)]
mod tests;
