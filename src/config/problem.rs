//! What is wrong with a config file, all of it.
//!
//! In: problems as the walk over the file finds them. Out: [`Problems`], in the order of the file, one line each:
//! `file:line:column: field: what is wrong; what to write instead`.

use std::{
    cell::RefCell,
    fmt,
    path::{Path, PathBuf},
};

use super::tree::Mark;

/// One thing that is wrong with a config file.
#[derive(Clone, Debug)]
pub struct Problem {
    /// `None` when it is about the file as such.
    mark: Option<Mark>,
    field: String,
    message: String,
}

/// Everything that is wrong with a config file; at least one problem.
#[derive(Clone, Debug)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

/// Problems while they are collected. Shared by every section of the walk, hence the cell.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Vec<Problem>>);

// === impl Problem ===

impl Problem {
    /// Line and column, both from 1; `None` when the file could not be read at all.
    pub fn place(&self) -> Option<(usize, usize)> {
        self.mark.map(|mark| (mark.line, mark.column))
    }

    /// The path of keys to the value, such as `services.chat.balance`; empty for the file as a whole.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong, and what to write instead.
    pub fn message(&self) -> &str {
        &self.message
    }
}

// === impl Problems ===

impl Problems {
    pub(super) fn new(file: &Path, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.mark);
        Self {
            file: file.to_owned(),
            list,
        }
    }

    pub(super) fn with_file(file: &Path, message: String) -> Self {
        Self::new(
            file,
            vec![Problem {
                mark: None,
                field: String::new(),
                message,
            }],
        )
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(mark) = problem.mark {
                write!(f, ":{}:{}", mark.line, mark.column)?;
            }
            if !problem.field.is_empty() {
                write!(f, ": {}", problem.field)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

// === impl Notes ===

impl Notes {
    pub(super) fn add(&self, mark: Mark, field: &str, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem {
            mark: Some(mark),
            field: field.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn into_list(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// Text of the file as a message shows it: short, and with nothing in it that would move a terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let more = if text.chars().nth(MOST).is_some() {
        "..."
    } else {
        ""
    };
    let start: String = text.chars().take(MOST).collect();
    format!(
        "`{}{more}`",
        start
            .escape_debug()
            .to_string()
            .replace("\\\"", "\"")
            .replace("\\'", "'")
    )
}
