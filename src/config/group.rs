//! Several values of one shape: a list, one or a list, a map of names that the operator chose.
//!
//! In: the shape of one. Out: those that could be read, in the order of the file, each with its place; a broken one is
//! noted and left out, so that the others are checked all the same.

use std::{
    collections::{
        HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
    hash::Hash,
};

use serde_json::{Value as Json, json};

use super::{
    problem::{Notes, shown},
    section::without_repeats,
    shape::{At, Located, Shape, path_of},
    tree::Value,
};

/// A list.
#[derive(Debug)]
pub(super) struct Each<S> {
    pub(super) item: S,
    /// Whether it must have an item.
    pub(super) some: bool,
    pub(super) wants: &'static str,
}

/// One value, or a list of them.
#[derive(Debug)]
pub(super) struct OneOrEach<S>(pub(super) Each<S>);

/// A value of either of two shapes: words, or something with structure.
#[derive(Debug)]
pub(super) struct WordOr<W, S> {
    pub(super) word: W,
    pub(super) other: S,
}

/// A map whose keys are names that `key` accepts; its error is the rest of a sentence that begins with the name.
pub(super) struct Named<S, K> {
    pub(super) item: S,
    pub(super) key: K,
    pub(super) wants: &'static str,
}

/// A name of a [`Named`], and its value unless that is broken.
pub(super) type Entry<N, T> = (Located<N>, Option<T>);

// === impl Each ===

impl<S: Shape> Shape for Each<S> {
    type Value = Vec<Located<S::Value>>;

    fn wants(&self) -> String {
        self.wants.to_owned()
    }

    fn schema(&self) -> Json {
        let mut schema = json!({ "type": "array", "items": self.item.schema() });
        if self.some {
            schema["minItems"] = 1.into();
        }
        schema
    }

    fn read(&self, at: &At<'_>) -> Option<Self::Value> {
        let Value::List(items) = &at.node.value else {
            return at.refuse_type(self.wants);
        };
        if self.some && items.is_empty() {
            return at.refuse(format!("is empty; write {}", self.wants));
        }
        let read = |(index, node): (usize, _)| {
            let path = format!("{}[{index}]", at.path);
            let mut item = At {
                notes: at.notes,
                node,
                path,
                mark: at.mark,
            };
            item.mark = item.node.mark;
            self.item.read(&item).map(|value| item.located(value))
        };
        Some(items.iter().enumerate().filter_map(read).collect())
    }
}

// === impl OneOrEach ===

impl<S: Shape> Shape for OneOrEach<S> {
    type Value = Vec<Located<S::Value>>;

    fn wants(&self) -> String {
        self.0.wants()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.item.schema(), self.0.schema()] })
    }

    fn read(&self, at: &At<'_>) -> Option<Self::Value> {
        match &at.node.value {
            Value::List(_) => self.0.read(at),
            _ => self.0.item.read(at).map(|value| vec![at.located(value)]),
        }
    }
}

// === impl WordOr ===

impl<W: Shape, S: Shape<Value = W::Value>> Shape for WordOr<W, S> {
    type Value = W::Value;

    fn wants(&self) -> String {
        format!("{}, or {}", self.word.wants(), self.other.wants())
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [self.word.schema(), self.other.schema()] })
    }

    fn read(&self, at: &At<'_>) -> Option<Self::Value> {
        match &at.node.value {
            Value::Scalar(_) => self.word.read(at),
            _ => self.other.read(at),
        }
    }
}

// === impl Named ===

impl<S: Shape, N, K: Fn(&str) -> Result<N, String>> Shape for Named<S, K> {
    type Value = Vec<Entry<N, S::Value>>;

    fn wants(&self) -> String {
        self.wants.to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": self.item.schema() })
    }

    fn read(&self, at: &At<'_>) -> Option<Self::Value> {
        let Value::Map(entries) = &at.node.value else {
            return at.refuse_type(self.wants);
        };
        let mut read = Vec::with_capacity(entries.len());
        for entry in without_repeats(at, entries) {
            let at = At {
                notes: at.notes,
                node: &entry.node,
                path: path_of(&at.path, &entry.key),
                mark: entry.mark,
            };
            let value = self.item.read(&at);
            match (self.key)(&entry.key) {
                Ok(key) => read.push((
                    Located {
                        value: key,
                        path: at.path,
                        mark: entry.mark,
                    },
                    value,
                )),
                Err(why) => at.notes.add(
                    entry.mark,
                    &at.path,
                    format!("the name {} {why}", shown(&entry.key)),
                ),
            }
        }
        Some(read)
    }
}

impl<S: std::fmt::Debug, K> std::fmt::Debug for Named<S, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Named")
            .field("item", &self.item)
            .finish_non_exhaustive()
    }
}

/// Notes every item that is the `same` as an earlier one, with the place of both.
pub(super) fn refuse_twins<T, K: Eq + Hash>(
    notes: &Notes,
    items: &[Located<T>],
    says: &str,
    same: impl Fn(&T) -> K,
) {
    let mut first: HashMap<K, &Located<T>> = HashMap::new();
    for item in items {
        match first.entry(same(&item.value)) {
            Occupied(earlier) => {
                let Located { path, mark, .. } = earlier.get();
                let message = format!("{says} {path} in line {}; remove one of them", mark.line);
                notes.add(item.mark, &item.path, message);
            }
            Vacant(place) => {
                place.insert(item);
            }
        }
    }
}
