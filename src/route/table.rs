//! All routes, compiled for look-up.
//!
//! In: the routes of a configuration in the order of the file. Out: a [`Table`], which finds the most specific route
//! for a request by the rules at the top of [`route`](super).
//!
//! One tree of path segments for each host that any route names. A look-up walks the tree of the exact host, then those
//! of the wildcards from the longest, then the one for any host. In a tree it tries the literal child first, then the
//! parameter, then the rest, and turns back where a branch ends without a route. A node is reached by one way only, so
//! a look-up visits each at most once; only routes that share host and path are compared one by one.
//!
//! Not here: well-formed patterns ([`pattern`](super::pattern)), judged paths ([`target`](super::target)).

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, uri::PathAndQuery};

use super::{
    Pattern, Target,
    pattern::{Hosts, Segment},
};
use crate::config::Route;

/// All routes, compiled for look-up. It never changes: a reload builds another.
#[derive(Debug, Default)]
pub struct Table {
    exact: HashMap<Box<str>, Node>,
    below: HashMap<Box<str>, Node>,
    any: Node,
}

/// The route that takes a request.
#[derive(Clone, Debug)]
pub struct Found {
    /// The route.
    pub route: Arc<Route>,
}

/// Why no route takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoute {
    /// Nothing matches.
    #[error("no route matches")]
    Nothing,
    /// The path has `%2F` and no route that matches allows it.
    #[error("the path has an encoded slash and no route that matches allows it")]
    EncodedSlash,
}

/// The path that the rewrite makes is longer than a request target can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rewritten path is too long")]
pub struct PathTooLong;

/// A place in a path: what was read so far led here.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Self>,
    param: Option<Box<Self>>,
    /// Routes whose path ends here, the most specific first.
    here: Vec<Arc<Route>>,
    /// Routes that take all that follows, the most specific first.
    rest: Vec<Arc<Route>>,
}

#[derive(Clone, Copy)]
struct Question<'q> {
    target: &'q Target<'q>,
    headers: &'q HeaderMap,
}

// === impl Table ===

impl Table {
    /// Compiles routes that are in the order of the file.
    pub fn new(routes: &[Arc<Route>]) -> Self {
        let mut table = Self::default();
        for route in routes {
            let tree = match route.pattern.host().hosts() {
                Hosts::Any => &mut table.any,
                Hosts::Exact(name) => table.exact.entry(name.clone()).or_default(),
                Hosts::Below(suffix) => table.below.entry(suffix.clone()).or_default(),
            };
            tree.insert(route.pattern.path().segments(), route);
        }
        table
    }

    /// The most specific route that takes this request.
    pub fn find(&self, target: &Target<'_>, headers: &HeaderMap) -> Result<Found, NoRoute> {
        let question = Question { target, headers };
        let trees = target.host().into_iter().flat_map(|host| {
            let exact = self.exact.get(host);
            let suffixes = host
                .match_indices('.')
                .filter_map(|(dot, _)| self.below.get(&host[dot + 1..]));
            exact.into_iter().chain(suffixes)
        });
        trees
            .chain([&self.any])
            .find_map(|tree| tree.find(target.path().strip_prefix('/'), question))
            .map(|route| Found {
                route: Arc::clone(route),
            })
            .ok_or(match target.has_encoded_slash() {
                true => NoRoute::EncodedSlash,
                false => NoRoute::Nothing,
            })
    }
}

// === impl Found ===

impl Found {
    /// What the backend is asked for: the path rewritten if the route says so, the query as it came.
    ///
    /// `target` is the one that this was found for.
    pub fn upstream(&self, target: &Target<'_>) -> Result<PathAndQuery, PathTooLong> {
        let Some(rewrite) = &self.route.rewrite else {
            return in_origin_form(target);
        };
        joined(rewrite.expand(target.path()), target.query())
    }
}

// === impl NoRoute ===

impl NoRoute {
    /// What the client is answered.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Nothing => StatusCode::NOT_FOUND,
            Self::EncodedSlash => StatusCode::BAD_REQUEST,
        }
    }
}

// === impl PathTooLong ===

impl PathTooLong {
    /// What the client is answered.
    pub fn status(self) -> StatusCode {
        StatusCode::URI_TOO_LONG
    }
}

// === impl Node ===

impl Node {
    fn insert(&mut self, path: &[Segment], route: &Arc<Route>) {
        let Some((segment, after)) = path.split_first() else {
            return insert_ranked(&mut self.here, route);
        };
        match segment {
            Segment::Literal(text) => self
                .literals
                .entry(text.clone())
                .or_default()
                .insert(after, route),
            Segment::Param(_) => self.param.get_or_insert_default().insert(after, route),
            Segment::Rest(_) => insert_ranked(&mut self.rest, route),
        }
    }

    /// `path` is what follows the slash after this place; `None` where the path ended.
    fn find(&self, path: Option<&str>, question: Question<'_>) -> Option<&Arc<Route>> {
        let Some(path) = path else {
            return question
                .first_of(&self.here)
                .or_else(|| question.first_of(&self.rest));
        };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        let literal = self.literals.get(segment);
        let param = self.param.as_deref().filter(|_| !segment.is_empty());
        literal
            .into_iter()
            .chain(param)
            .find_map(|node| node.find(after, question))
            .or_else(|| question.first_of(&self.rest))
    }
}

// === impl Question ===

impl Question<'_> {
    fn first_of<'n>(&self, routes: &'n [Arc<Route>]) -> Option<&'n Arc<Route>> {
        routes.iter().find(|route| self.suits(&route.pattern))
    }

    fn suits(&self, pattern: &Pattern) -> bool {
        (pattern.allow_encoded_slash || !self.target.has_encoded_slash())
            && pattern.headers.iter().all(|field| field.in_headers(self.headers))
            && pattern
                .query
                .iter()
                .all(|field| field.in_query(self.target.query().unwrap_or_default()))
    }
}

fn insert_ranked(routes: &mut Vec<Arc<Route>>, route: &Arc<Route>) {
    let rank = route.pattern.rank();
    // Behind its equals: the order of the file decides last.
    let at = routes.partition_point(|other| other.pattern.rank() >= rank);
    routes.insert(at, Arc::clone(route));
}

fn in_origin_form(target: &Target<'_>) -> Result<PathAndQuery, PathTooLong> {
    match target.whole() {
        whole if whole.as_str().starts_with('/') => Ok(whole.clone()),
        // `http://host?query` has no path at all, which RFC 9112 3.2.1 sends on as `/`.
        _ => joined("/".to_owned(), target.query()),
    }
}

fn joined(mut path: String, query: Option<&str>) -> Result<PathAndQuery, PathTooLong> {
    if let Some(query) = query {
        path.reserve_exact(query.len() + 1);
        path.push('?');
        path.push_str(query);
    }
    // All of it came out of a valid target or a checked template, so only its length can be wrong.
    PathAndQuery::from_maybe_shared(Bytes::from(path)).map_err(|_| PathTooLong)
}

#[cfg(test)]
mod tests;
