//! YAML text as a tree of nodes that know their place.
//!
//! In: text. Out: scalars, lists and maps, each with line and column; or the one place where the text stops being YAML.
//!
//! Promises: JSON is read as the subset of YAML it is; words keep the meaning of YAML 1.2 (`on` and `yes` are text); the
//! text, its depth and its number of nodes are bounded; what would give one piece of text two places (anchors, aliases)
//! or hide its type (tags) is refused, and so are directives and a second document. Keys are kept in order, repeated
//! ones too: only the walker can name the field in which that happened.
//!
//! The only file that knows the YAML parser. Not here: what a key means ([`section`](super::section)).

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle};

/// A place in the text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) mark: Mark,
    pub(super) node: Node,
}

/// A word of the text, unquoted.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    plain: bool,
}

/// What YAML 1.2 (its core schema) takes a scalar for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Flag(bool),
    Number,
    Text,
}

/// Where the text stops being a tree, and why.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) mark: Mark,
    pub(super) message: String,
}

// === impl Mark ===

impl Mark {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    fn of(marker: &Marker) -> Self {
        Self {
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }

    fn fault(self, message: impl Into<String>) -> Fault {
        Fault {
            mark: self,
            message: message.into(),
        }
    }

    fn too_deep(self) -> Fault {
        self.fault(format!(
            "more than {MAX_DEPTH} levels deep; no key of the file is that deep"
        ))
    }
}

// === impl Scalar ===

impl Scalar {
    pub(super) fn kind(&self) -> Kind {
        match self.text.as_str() {
            _ if !self.plain => Kind::Text,
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" => Kind::Flag(true),
            "false" | "False" | "FALSE" => Kind::Flag(false),
            text if is_number(text) => Kind::Number,
            _ => Kind::Text,
        }
    }
}

// === impl Node ===

impl Node {
    /// The same value in JSON, for a schema's `default`.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
            Value::Scalar(scalar) => match scalar.kind() {
                Kind::Null => serde_json::Value::Null,
                Kind::Flag(flag) => flag.into(),
                Kind::Number => scalar
                    .text
                    .parse()
                    .map(serde_json::Value::Number)
                    .unwrap_or_default(),
                Kind::Text => scalar.text.as_str().into(),
            },
        }
    }
}

/// Reads one document; `None` when there is none in the text.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Mark::START.fault(format!(
            "the file is larger than {} MiB; split the service lists",
            MAX_BYTES >> 20
        )));
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        // Another crate in the tree may turn the parser's comments on.
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut growing = Growing::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let mark = Mark::of(error.marker());
            match error.kind() {
                ErrorKind::RecursionLimitExceeded => mark.too_deep(),
                _ => mark.fault(format!("{}; the text is not YAML from here on", error.info())),
            }
        })?;
        growing.take(event, Mark::of(&span.start))?;
    }
    Ok(growing.root)
}

/// The tree while events come in; a stack instead of recursion, so that no text decides how deep the program's own
/// stack grows.
#[derive(Default)]
struct Growing {
    open: Vec<(Mark, Open)>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

enum Open {
    List(Vec<Node>),
    /// The entries so far, and the key that waits for its value.
    Map(Vec<Entry>, Option<(String, Mark)>),
}

// === impl Growing ===

impl Growing {
    fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(mark.fault("a second document begins here; keep one document in a file"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_properties(anchor, tag.is_some(), mark)?;
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                self.place(Node {
                    mark,
                    value: Value::Scalar(scalar),
                })
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_properties(anchor, tag.is_some(), mark)?;
                self.open(mark, Open::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_properties(anchor, tag.is_some(), mark)?;
                self.open(mark, Open::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            _ => Err(mark.fault("an alias (`*name`) is not supported; write the value out")),
        }
    }

    fn open(&mut self, mark: Mark, open: Open) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(mark.too_deep());
        }
        if let Some((_, Open::Map(_, None))) = self.open.last() {
            return Err(mark.fault("a list or map is used as a key; write a name"));
        }
        self.open.push((mark, open));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        match self.open.pop() {
            Some((mark, Open::List(items))) => self.place(Node {
                mark,
                value: Value::List(items),
            }),
            Some((mark, Open::Map(entries, _))) => self.place(Node {
                mark,
                value: Value::Map(entries),
            }),
            None => Ok(()),
        }
    }

    fn place(&mut self, node: Node) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(node
                .mark
                .fault(format!("more than {MAX_NODES} values; split the service lists")));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((_, Open::List(items))) => items.push(node),
            Some((_, Open::Map(entries, waiting))) => match (waiting.take(), node.value) {
                (Some((key, mark)), value) => entries.push(Entry {
                    key,
                    mark,
                    node: Node {
                        mark: node.mark,
                        value,
                    },
                }),
                (None, Value::Scalar(scalar)) => *waiting = Some((scalar.text, node.mark)),
                (None, _) => return Err(node.mark.fault("a list or map is used as a key; write a name")),
            },
        }
        Ok(())
    }
}

fn refuse_properties(anchor: usize, tagged: bool, mark: Mark) -> Result<(), Fault> {
    if anchor != 0 {
        return Err(mark.fault("an anchor (`&name`) is not supported; write the value where it is needed"));
    }
    if tagged {
        return Err(mark.fault("a tag (`!name`) is not supported; write the value alone"));
    }
    Ok(())
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let based = |prefix, radix| {
        digits
            .strip_prefix(prefix)
            .is_some_and(|rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    let decimal = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    based("0x", 16)
        || based("0o", 8)
        || matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
        || digits.chars().all(decimal) && digits.parse::<f64>().is_ok()
}

/// The size of the largest Kubernetes ConfigMap: a larger file is not a config but a mistake.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Four times what the deepest key needs.
const MAX_DEPTH: usize = 32;
/// Room for 30,000 endpoints with a weight each, and few enough to keep a hostile file under 50 MB of memory.
const MAX_NODES: usize = 200_000;

#[cfg(test)]
mod tests;
