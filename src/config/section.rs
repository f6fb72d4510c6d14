//! A map whose keys are known: takes them by name, and notes those that nothing took.
//!
//! In: a map of the tree, or nothing when a schema is being made. Out: its values, problems, and the description of
//! its keys. A section is read by a function that takes **every** key on every run, whatever the others were, and only
//! then puts the result together: so one run finds all problems, and a run over nothing knows all keys.
//!
//! Promises: a repeated key is a problem and its first value counts; a wrong optional value is noted and replaced by the
//! default, so that nothing else is reported because of it; an unknown key is noted with the known one nearest to it.

use serde_json::{Map, Value as Json, json};

use super::{
    problem::{Notes, shown},
    shape::{At, Located, Shape, path_of},
    suggest::nearest,
    tree::{self, Entry, Mark, Node, Value},
};

/// A map with known keys while it is read.
#[derive(Debug)]
pub(super) struct Section<'t> {
    notes: &'t Notes,
    path: String,
    mark: Mark,
    entries: Vec<&'t Entry>,
    known: Vec<&'static str>,
    /// Only while a schema is made: a description of every key for every endpoint of a list would be waste.
    described: Option<Described>,
}

#[derive(Debug, Default)]
struct Described {
    properties: Map<String, Json>,
    required: Vec<&'static str>,
}

/// The shape of a map that a function reads as a [`Section`].
pub(super) struct Object<F> {
    wants: &'static str,
    read: F,
}

// === impl Section ===

impl<'t> Section<'t> {
    /// A key that must be there.
    pub(super) fn required<S: Shape>(&mut self, key: &'static str, doc: &str, shape: &S) -> Option<S::Value> {
        self.describe(key, doc, shape, None);
        if let Some(described) = &mut self.described {
            described.required.push(key);
        }
        match self.entry(key) {
            Some(entry) => shape.read(&self.at(entry)),
            None => {
                let message = format!("is missing; write {}", shape.wants());
                self.notes.add(self.mark, &path_of(&self.path, key), message);
                None
            }
        }
    }

    /// A key that may be left out, and then means nothing.
    pub(super) fn optional<S: Shape>(&mut self, key: &'static str, doc: &str, shape: &S) -> Option<S::Value> {
        self.describe(key, doc, shape, None);
        shape.read(&self.at(self.entry(key)?))
    }

    /// A key that may be left out, and then means `default`: text as one would write it in the file.
    pub(super) fn or<S: Shape>(
        &mut self,
        key: &'static str,
        doc: &str,
        shape: &S,
        default: &str,
    ) -> S::Value {
        self.try_or(key, doc, shape, default)
            .unwrap_or_else(|| fixed(shape, &node_of(default)))
    }

    /// As [`or`](Self::or), but `None` when the value is wrong, for keys that others depend on.
    pub(super) fn try_or<S: Shape>(
        &mut self,
        key: &'static str,
        doc: &str,
        shape: &S,
        default: &str,
    ) -> Option<S::Value> {
        let node = node_of(default);
        self.describe(key, doc, shape, Some(node.to_json()));
        match self.entry(key) {
            Some(entry) => shape.read(&self.at(entry)),
            None => Some(fixed(shape, &node)),
        }
    }

    /// A map of known keys that may be left out; then each of its keys has its default. `read` must need none of them.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        doc: &str,
        wants: &'static str,
        read: impl Fn(&mut Section<'_>) -> Option<T>,
    ) -> T {
        self.or(key, doc, &Object::new(wants, read), "{}")
    }

    /// Whether the file has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether the file has no key here at all.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes a problem with the value of `key`, or with this section when the key is not written.
    pub(super) fn refuse(&self, key: &str, message: impl Into<String>) {
        let mark = self.entry(key).map_or(self.mark, |entry| entry.node.mark);
        self.notes.add(mark, &path_of(&self.path, key), message);
    }

    /// Notes a problem with a value that was read before.
    pub(super) fn refuse_at<T>(&self, located: &Located<T>, message: impl Into<String>) {
        self.notes.add(located.mark, &located.path, message);
    }

    /// Where problems are noted.
    pub(super) fn notes(&self) -> &'t Notes {
        self.notes
    }

    fn new(at: &At<'t>, entries: &'t [Entry]) -> Self {
        Self {
            notes: at.notes,
            path: at.path.clone(),
            mark: at.mark,
            entries: without_repeats(at, entries),
            known: Vec::new(),
            described: None,
        }
    }

    fn over_nothing(notes: &'t Notes) -> Self {
        Self {
            notes,
            path: String::new(),
            mark: Mark::START,
            entries: Vec::new(),
            known: Vec::new(),
            described: Some(Described::default()),
        }
    }

    fn entry(&self, key: &str) -> Option<&'t Entry> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }

    fn at(&self, entry: &'t Entry) -> At<'t> {
        At {
            notes: self.notes,
            node: &entry.node,
            path: path_of(&self.path, &entry.key),
            mark: entry.mark,
        }
    }

    fn describe(&mut self, key: &'static str, doc: &str, shape: &impl Shape, default: Option<Json>) {
        self.known.push(key);
        let Some(described) = &mut self.described else {
            return;
        };
        let mut schema = shape.schema();
        schema["description"] = doc.into();
        if let Some(default) = default {
            schema["default"] = default;
        }
        described.properties.insert(key.to_owned(), schema);
    }

    fn note_unknown(&self) {
        for entry in self
            .entries
            .iter()
            .filter(|entry| !self.known.contains(&entry.key.as_str()))
        {
            let message = match nearest(&entry.key, self.known.iter().copied()) {
                Some(key) => format!("unknown key; did you mean `{key}`?"),
                None => format!("unknown key; known here: `{}`", self.known.join("`, `")),
            };
            self.notes
                .add(entry.mark, &path_of(&self.path, &entry.key), message);
        }
    }
}

fn node_of(default: &str) -> Node {
    tree::parse(default)
        .ok()
        .flatten()
        .expect("a default is a constant that parses")
}

fn fixed<S: Shape>(shape: &S, node: &Node) -> S::Value {
    let at = At {
        notes: &Notes::default(),
        node,
        path: String::new(),
        mark: node.mark,
    };
    shape
        .read(&at)
        .expect("a default is a constant that fits its key")
}

/// The first of each key; the others are noted.
pub(super) fn without_repeats<'t>(at: &At<'t>, entries: &'t [Entry]) -> Vec<&'t Entry> {
    let mut first = std::collections::HashMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        let earlier = *first.entry(entry.key.as_str()).or_insert(entry.mark);
        if earlier == entry.mark {
            kept.push(entry);
        } else {
            let message = format!(
                "repeats the key {} of line {}; remove one of them",
                shown(&entry.key),
                earlier.line
            );
            at.notes.add(entry.mark, &path_of(&at.path, &entry.key), message);
        }
    }
    kept
}

// === impl Object ===

impl<T, F: Fn(&mut Section<'_>) -> Option<T>> Object<F> {
    /// `read` returns `None` only after a problem was noted, and takes every key on every run.
    pub(super) fn new(wants: &'static str, read: F) -> Self {
        Self { wants, read }
    }
}

impl<T, F: Fn(&mut Section<'_>) -> Option<T>> Shape for Object<F> {
    type Value = T;

    fn wants(&self) -> String {
        self.wants.to_owned()
    }

    fn schema(&self) -> Json {
        let notes = Notes::default();
        let mut section = Section::over_nothing(&notes);
        (self.read)(&mut section);
        let Described { properties, required } = section.described.unwrap_or_default();
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        let Value::Map(entries) = &at.node.value else {
            return at.refuse_type(self.wants);
        };
        let mut section = Section::new(at, entries);
        let value = (self.read)(&mut section);
        section.note_unknown();
        value
    }
}

impl<F> std::fmt::Debug for Object<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("wants", &self.wants)
            .finish_non_exhaustive()
    }
}
