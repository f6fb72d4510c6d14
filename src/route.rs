//! Step 2: which route takes a request.
//!
//! In: a request head that [`listen`](crate::listen) accepted. Out: a [`Found`] with the one route that takes it and the
//! path and query that its backend is to see, or the reason why there is none.
//!
//! Of all routes that match, the most specific wins. Compared in this order, the first difference decides:
//! 1. the host: a name, then the longest `*.suffix`, then any;
//! 2. the path, segment by segment from the left: a literal, then `{param}`, then `{*rest}`;
//! 3. more header matches, then more of them with a value; then the same for query matches;
//! 4. the order of the file.
//!
//! Promises:
//! - a path that two readers could read differently is refused ([`BadTarget`]), every other is matched and forwarded
//!   byte for byte as it came: nothing is decoded, merged or re-encoded;
//! - a look-up allocates nothing, and its time does not grow with the number of routes;
//! - a [`Table`] never changes: a reload builds another and swaps it as a whole.
//!
//! Not here: what a route demands ([`policy`](crate::policy)), and where its service's endpoints are
//! ([`balance`](crate::balance)).

mod choose;
mod fields;
mod host;
mod path;
mod pattern;
mod table;
mod target;
mod template;

pub use self::{
    choose::{Matched, choose},
    fields::FieldMatch,
    path::AmbiguousPath,
    pattern::{HostPattern, PathPattern, Pattern, PatternError},
    table::{Found, NoRoute, PathTooLong, Table},
    target::{BadTarget, Target},
    template::{Template, TemplateError},
};
