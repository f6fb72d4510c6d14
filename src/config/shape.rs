//! What a value of the file looks like: one description that reads it and explains it.
//!
//! In: a node of the tree with its path. Out: a checked value, or `None` after at least one problem was noted; and, from
//! the same object, the JSON Schema of that value. That both come from one object is what keeps them from drifting.
//!
//! Not here: single words ([`leaf`](super::leaf)), maps with known keys ([`section`](super::section)), lists and maps
//! of names ([`group`](super::group)).

use serde_json::Value as Json;

use super::{
    problem::Notes,
    tree::{Mark, Node, Value},
};

/// A value of the file: how it is read, and how it is described to an editor.
pub(super) trait Shape {
    /// What it is once read.
    type Value;

    /// What to write for it, as the end of a sentence: "write ...".
    fn wants(&self) -> String;

    /// Its JSON Schema, without description and default: those belong to the key.
    fn schema(&self) -> Json;

    /// Reads it. `None` only after a problem was noted.
    fn read(&self, at: &At<'_>) -> Option<Self::Value>;
}

/// A node, the path of keys to it, and where to note what is wrong with it.
#[derive(Debug)]
pub(super) struct At<'t> {
    pub(super) notes: &'t Notes,
    pub(super) node: &'t Node,
    pub(super) path: String,
    /// Where a reader looks for this value: its key, or the value itself in a list.
    pub(super) mark: Mark,
}

/// A value that was read, and its place, for what is only seen by comparing several.
#[derive(Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) path: String,
    pub(super) mark: Mark,
}

// === impl At ===

impl At<'_> {
    /// Notes a problem with this value; `None`, so that a reader can return it.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Option<T> {
        self.notes.add(self.node.mark, &self.path, message);
        None
    }

    /// Notes that this is a value of another type than `wants`.
    pub(super) fn refuse_type<T>(&self, wants: &str) -> Option<T> {
        let found = match &self.node.value {
            Value::List(_) => "is a list",
            Value::Map(_) => "is a map",
            Value::Scalar(scalar) => match scalar.kind() {
                super::tree::Kind::Null => {
                    return self.refuse(format!("has no value; write {wants}, or remove the key"));
                }
                super::tree::Kind::Flag(_) => "is a yes-or-no value",
                super::tree::Kind::Number => "is a number",
                super::tree::Kind::Text => "is text",
            },
        };
        self.refuse(format!("{found}; write {wants}"))
    }

    pub(super) fn located<T>(&self, value: T) -> Located<T> {
        Located {
            value,
            path: self.path.clone(),
            mark: self.node.mark,
        }
    }
}

/// The path of `key` inside `path`; a key that is not a plain word is quoted.
pub(super) fn path_of(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let key = if plain {
        key.to_owned()
    } else {
        super::problem::shown(key).replace('`', "\"")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}
