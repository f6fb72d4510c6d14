//! Values of one word: flags, numbers, durations, sizes, names out of a set, and text with a grammar of its own.
//!
//! In: what the word may be. Out: a [`Shape`] that reads it, with a message that says what to write instead.
//! Promises: a number or a flag is never taken for text, nor text for them: what an editor's schema check would refuse
//! is refused here too.

use std::{fmt, ops::RangeInclusive, time::Duration};

use serde_json::{Value as Json, json};

use super::{
    problem::shown,
    shape::{At, Shape},
    suggest::nearest,
    tree::{Kind, Scalar, Value},
    units,
};

/// One word, read by `read`.
pub(super) struct Leaf<F> {
    wants: String,
    schema: Json,
    read: F,
}

// === impl Leaf ===

impl<T, F: Fn(&Scalar) -> Result<T, Wrong>> Leaf<F> {
    pub(super) fn new(wants: impl Into<String>, schema: Json, read: F) -> Self {
        Self {
            wants: wants.into(),
            schema,
            read,
        }
    }
}

impl<T, F: Fn(&Scalar) -> Result<T, Wrong>> Shape for Leaf<F> {
    type Value = T;

    fn wants(&self) -> String {
        self.wants.clone()
    }

    fn schema(&self) -> Json {
        self.schema.clone()
    }

    fn read(&self, at: &At<'_>) -> Option<T> {
        let scalar = match &at.node.value {
            Value::Scalar(scalar) if scalar.kind() != Kind::Null => scalar,
            _ => return at.refuse_type(&self.wants),
        };
        match (self.read)(scalar) {
            Ok(value) => Some(value),
            Err(Wrong::Type) => at.refuse_type(&self.wants),
            Err(Wrong::Value(why)) => at.refuse(format!("{} {why}", shown(&scalar.text))),
            Err(Wrong::Sentence(why)) => at.refuse(why),
        }
    }
}

impl<F> fmt::Debug for Leaf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("wants", &self.wants)
            .finish_non_exhaustive()
    }
}

/// Why a word does not fit.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It is of another type.
    Type,
    /// The rest of a sentence that begins with the word: what is wrong; what to write instead.
    Value(String),
    /// The same as a whole sentence.
    Sentence(String),
}

impl Wrong {
    pub(super) fn value(why: impl fmt::Display) -> Self {
        Self::Value(why.to_string())
    }
}

/// `true` or `false`.
pub(super) fn flag() -> impl Shape<Value = bool> {
    Leaf::new(
        "`true` or `false`",
        json!({ "type": "boolean" }),
        |scalar| match scalar.kind() {
            Kind::Flag(flag) => Ok(flag),
            _ => Err(Wrong::Type),
        },
    )
}

/// A whole number out of a range.
pub(super) fn whole(range: RangeInclusive<usize>) -> impl Shape<Value = usize> {
    let wants = format!("a whole number from {} to {}", range.start(), range.end());
    let schema = json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() });
    Leaf::new(wants, schema, move |scalar| read_whole(scalar, &range))
}

pub(super) fn read_whole(scalar: &Scalar, range: &RangeInclusive<usize>) -> Result<usize, Wrong> {
    if scalar.kind() != Kind::Number {
        return Err(Wrong::Type);
    }
    match scalar.text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(Wrong::Value(format!(
            "is out of range; write a whole number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

/// A duration out of a range; a bare `0` only where the range begins with it.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Shape<Value = Duration> {
    let mut schema = json!({ "type": "string", "pattern": "^[0-9.]+ ?[A-Za-zµ]+( ?[0-9.]+ ?[A-Za-zµ]+)*$" });
    if range.start().is_zero() {
        schema = json!({ "anyOf": [schema, { "enum": [0, "0"] }] });
    }
    Leaf::new("a duration such as `30s` or `1h 30m`", schema, move |scalar| {
        if let Kind::Flag(_) = scalar.kind() {
            return Err(Wrong::Type);
        }
        let duration = units::duration(&scalar.text).map_err(Wrong::value)?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (from, to) = (
            units::show_duration(*range.start()),
            units::show_duration(*range.end()),
        );
        Err(Wrong::Value(format!(
            "is out of range; write a duration from {from} to {to}"
        )))
    })
}

/// A size in bytes out of a range.
pub(super) fn size(range: RangeInclusive<usize>) -> impl Shape<Value = usize> {
    let schema = json!({ "anyOf": [
        { "type": "string", "pattern": "^[0-9]+ ?([KMG]i)?B?$" },
        { "type": "integer", "minimum": range.start(), "maximum": range.end() },
    ] });
    Leaf::new("a size such as `16KiB`", schema, move |scalar| {
        if let Kind::Flag(_) = scalar.kind() {
            return Err(Wrong::Type);
        }
        let bytes = units::size(&scalar.text).map_err(Wrong::value)?;
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| range.contains(bytes))
            .ok_or_else(|| {
                let show = |bytes: &usize| units::show_size(*bytes as u64);
                Wrong::Value(format!(
                    "is out of range; write a size from {} to {}",
                    show(range.start()),
                    show(range.end())
                ))
            })
    })
}

/// One of some names, and what each stands for.
pub(super) fn choice<T: Copy>(names: &'static [(&'static str, T)]) -> impl Shape<Value = T> {
    let known = || names.iter().map(|(name, _)| *name);
    let wants = format!("one of `{}`", known().collect::<Vec<_>>().join("`, `"));
    let schema = json!({ "enum": known().collect::<Vec<_>>() });
    Leaf::new(wants.clone(), schema, move |scalar| {
        if scalar.kind() != Kind::Text {
            return Err(Wrong::Type);
        }
        if let Some((_, value)) = names.iter().find(|(name, _)| *name == scalar.text) {
            return Ok(*value);
        }
        Err(Wrong::Value(match nearest(&scalar.text, known()) {
            Some(name) => format!("is unknown; did you mean `{name}`? Write {wants}"),
            None => format!("is unknown; write {wants}"),
        }))
    })
}

/// Text that `parse` understands; its error is a whole sentence.
pub(super) fn text<T, E: fmt::Display>(
    wants: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Shape<Value = T> {
    Leaf::new(wants, json!({ "type": "string" }), move |scalar| {
        match scalar.kind() {
            Kind::Text => parse(&scalar.text).map_err(|error| Wrong::Sentence(error.to_string())),
            _ => Err(Wrong::Type),
        }
    })
}
