//! From a file to a checked config.
//!
//! In: the path of a file, or text. Out: a [`Config`], or all [`Problems`].
//! Promises: it reads no more than [`tree::MAX_BYTES`] and nothing beside that one file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    Config, Problems, check,
    problem::Notes,
    shape::{At, Shape},
    tree::{self, Mark},
};

/// Reads and checks a config file.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let mut bytes = Vec::new();
    // One byte more than is parsed: a file that is too large is refused by the parser, not cut.
    let limit = tree::MAX_BYTES as u64 + 1;
    let read: io::Result<_> = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(Problems::with_file(path, format!("cannot be read: {error}")));
    }
    match str::from_utf8(&bytes) {
        Ok(text) => parse(text, path),
        Err(_) if bytes.len() as u64 == limit => parse(&String::from_utf8_lossy(&bytes), path),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let mark = Mark {
                line: before.matches('\n').count() + 1,
                column,
            };
            let notes = Notes::default();
            notes.add(mark, "", "not UTF-8 from here on; save the file as UTF-8");
            Err(Problems::new(path, notes.into_list()))
        }
    }
}

/// Checks the text of a config file. `file` is what problems call it, and where relative file names begin.
pub fn parse(text: &str, file: &Path) -> Result<Config, Problems> {
    let notes = Notes::default();
    let folder = file.parent().unwrap_or(Path::new(""));
    let config = match tree::parse(text) {
        Ok(Some(root)) => check::file(folder).read(&At {
            notes: &notes,
            node: &root,
            path: String::new(),
            mark: root.mark,
        }),
        Ok(None) => {
            notes.add(
                Mark::START,
                "",
                "the file is empty; it needs at least `listeners`, `services` and `routes`",
            );
            None
        }
        Err(fault) => {
            notes.add(fault.mark, "", fault.message);
            None
        }
    };
    match (config, notes.into_list()) {
        (Some(config), list) if list.is_empty() => Ok(config),
        (_, list) => Err(Problems::new(file, list)),
    }
}
