//! From a file to a checked config.
//!
//! In: the path of a file, or text. Out: a [`Config`], or the list of endpoints in a file of its own; or all [`Problems`].
//! Promises: it reads no more than [`tree::MAX_BYTES`] and nothing beside that one file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use discovery::Endpoint;

use super::{
    Config, Problems,
    check::{self, source::EndpointList},
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
    let over = bytes.len() as u64 == limit;
    match text(&bytes, path) {
        Ok(text) => parse(text, path),
        Err(_) if over => parse(&String::from_utf8_lossy(&bytes), path),
        Err(problems) => Err(problems),
    }
}

/// Checks the content of a file with a list as under `static`.
pub fn endpoints(content: &[u8], file: &Path) -> Result<Vec<Endpoint>, Problems> {
    let empty = "the file is empty; write a list such as `[127.0.0.1:9001]`, or `[]` for none";
    read(text(content, file)?, file, &EndpointList, empty)
}

fn text<'c>(content: &'c [u8], file: &Path) -> Result<&'c str, Problems> {
    str::from_utf8(content).map_err(|error| {
        let before = String::from_utf8_lossy(&content[..error.valid_up_to()]);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let mark = Mark {
            line: before.matches('\n').count() + 1,
            column,
        };
        let notes = Notes::default();
        notes.add(mark, "", "not UTF-8 from here on; save the file as UTF-8");
        Problems::new(file, notes.into_list())
    })
}

/// Checks the text of a config file. `file` is what problems call it, and where relative file names begin.
pub fn parse(text: &str, file: &Path) -> Result<Config, Problems> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let empty = "the file is empty; it needs at least `listeners`, `services` and `routes`";
    read(text, file, &check::file(folder), empty)
}

fn read<S: Shape>(text: &str, file: &Path, shape: &S, empty: &str) -> Result<S::Value, Problems> {
    let notes = Notes::default();
    let value = match tree::parse(text) {
        Ok(Some(root)) => shape.read(&At {
            notes: &notes,
            node: &root,
            path: String::new(),
            mark: root.mark,
        }),
        Ok(None) => {
            notes.add(Mark::START, "", empty);
            None
        }
        Err(fault) => {
            notes.add(fault.mark, "", fault.message);
            None
        }
    };
    match (value, notes.into_list()) {
        (Some(value), list) if list.is_empty() => Ok(value),
        (_, list) => Err(Problems::new(file, list)),
    }
}
