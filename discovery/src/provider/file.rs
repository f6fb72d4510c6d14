//! A list of endpoints in a file: `file` in the config.
//!
//! In: a path, and a function that reads the form of the file. Out: the list, anew whenever the file has other content:
//! written over, replaced by another file, or swapped as a ConfigMap volume does.
//!
//! - A file that is half written, wrong or missing changes nothing: the last list stays, and the error says what is wrong
//!   and where. Once it is right again, it counts.
//! - An empty list is what the operator wrote, so it is believed. A file without anything in it is not an empty list;
//!   that is for the reading function to refuse.
//! - Each look at the file is a sign of life, two a minute if nothing else happens.

mod json;

use std::{
    fmt,
    fs::File as Handle,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::spawn_blocking;

use crate::{
    Endpoint,
    files::Changes,
    provider::{Error, Provider, Publisher, Running},
};

/// A list of endpoints in a file.
pub struct File {
    path: PathBuf,
    form: Form,
    /// Begun before the file is read, so that no change falls between.
    changes: Option<Changes>,
}

/// Reads the content of a file; its error names the place in the file.
pub type Form = Arc<dyn Fn(&[u8], &Path) -> Result<Vec<Endpoint>, Fault> + Send + Sync>;

/// What is wrong with a file.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

// === impl File ===

impl File {
    /// The list in the file at `path`, which has this form.
    pub fn new(path: impl Into<PathBuf>, form: Form) -> Self {
        Self {
            path: path.into(),
            form,
            changes: None,
        }
    }

    /// As [`new`](Self::new), for a JSON list of `"ip:port"` and of `{"address": "ip:port", "weight": 2}`.
    pub fn json(path: impl Into<PathBuf>) -> Self {
        Self::new(path, Arc::new(json::read))
    }

    async fn follow(&mut self, publisher: &Publisher) -> Error {
        let path = self.path.clone();
        let changes = self.changes.get_or_insert_with(|| Changes::watch([path]));
        loop {
            let (path, form) = (self.path.clone(), Arc::clone(&self.form));
            // A file system may take its time; others share this thread.
            let read = spawn_blocking(move || read(&path, &form)).await;
            match read.map_err(Fault::from).flatten() {
                Ok(endpoints) => publisher.publish(endpoints.into_iter().collect()),
                Err(fault) => return Error::Transient(fault),
            }
            // Whether it has changed or not: an equal list wakes nobody, and a file that is gone is noticed.
            changes.next_look().await;
        }
    }
}

impl Provider for File {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(async {
            let error = self.follow(publisher).await;
            // A folder that was not there could not be watched; it may be there the next time.
            self.changes = None;
            Err(error)
        })
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path, form: &Form) -> Result<Vec<Endpoint>, Fault> {
    let content = content(path).map_err(|error| format!("{}: {error}", path.display()))?;
    form(&content, path)
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    Handle::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        let words = format!("is larger than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
    }
    Ok(content)
}

/// A list of 100,000 endpoints, with names.
const MAX_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests;
