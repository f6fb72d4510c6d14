//! When a file's content has changed.
//!
//! In: the paths of files. Out: [`Changes`], which names those whose content differs from what it was.
//!
//! Promises:
//! - it watches folders, not files: an editor that puts a new file in the place of the old one and a ConfigMap volume
//!   that swaps its `..data` link are seen like a write into the file;
//! - a burst of events is one change: it waits for `QUIET`, and not longer than `PATIENCE`;
//! - a file that was written again with equal content has not changed, and one that is missing is not looked at until
//!   it is back, for both happen in the middle of a replacement;
//! - where the kernel offers no events (network file systems, the end of a link in another folder, a folder that was
//!   itself replaced, no watches left) a change is found within `POLL`.
//!
//! Not here: what is done with the new content.

use std::{
    collections::BTreeSet,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

/// Watches files for other content.
#[derive(Debug)]
pub struct Changes {
    files: Vec<Watched>,
    touched: Arc<Notify>,
    /// An event came, and the files were not read since. Kept here so that dropping `next` loses none.
    pending: bool,
    poll_at: Instant,
    /// Stops watching when it is dropped; `None` where the kernel offers no events.
    _watcher: Option<RecommendedWatcher>,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// Of the last content that was there; `None` until there was one.
    digest: Option<u64>,
}

// === impl Changes ===

impl Changes {
    /// Begins to watch, taking the present content as known: call it before the files are read, so that no change can
    /// fall between. Reads the files at once.
    pub fn watch(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let touched = Arc::new(Notify::new());
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let watcher = watch_folders(&paths, &touched);
        let files = paths
            .into_iter()
            .map(|path| Watched {
                digest: digest(&path).ok(),
                path,
            })
            .collect();
        Self {
            files,
            touched,
            pending: false,
            poll_at: Instant::now() + POLL,
            _watcher: watcher,
        }
    }

    /// Waits until the content of at least one file differs from what it was when this last returned, and names all
    /// that do. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Vec<PathBuf> {
        loop {
            let changed = self.next_look().await;
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    /// As [`next`](Self::next), but returns after every look at the files, whether anything has changed or not: at each
    /// event, and every half minute. Dropping the future loses nothing.
    pub async fn next_look(&mut self) -> Vec<PathBuf> {
        if !self.pending {
            tokio::select! {
                () = self.touched.notified() => {}
                () = sleep_until(self.poll_at) => {}
            }
            self.pending = true;
        }
        self.settle().await;
        let changed = self.look().await;
        self.pending = false;
        self.poll_at = Instant::now() + POLL;
        changed
    }

    /// Waits for the end of a burst of events.
    async fn settle(&self) {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            let quiet = (Instant::now() + QUIET).min(patience);
            if timeout_at(quiet, self.touched.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Reads the files again and remembers what they hold now.
    async fn look(&mut self) -> Vec<PathBuf> {
        let paths: Vec<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
        // A file system may take its time; others share this thread.
        let read = tokio::task::spawn_blocking(move || paths.iter().map(|path| digest(path).ok()).collect());
        let digests: Vec<Option<u64>> = read.await.unwrap_or_default();
        let mut changed = Vec::new();
        for (file, digest) in self.files.iter_mut().zip(digests) {
            if digest.is_some() && digest != file.digest {
                file.digest = digest;
                changed.push(file.path.clone());
            }
        }
        changed
    }
}

/// As many of the folders as the kernel lets us watch.
fn watch_folders(paths: &[PathBuf], touched: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let touched = Arc::clone(touched);
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too: our own look must not bring about the next.
        if !event.is_ok_and(|event| is_reading(&event.kind)) {
            touched.notify_one();
        }
    };
    let unseen =
        |error| tracing::warn!(%error, "no events for changed files; looking every {POLL:?} instead");
    let mut watcher = notify::recommended_watcher(on_event).map_err(unseen).ok()?;
    let folders: BTreeSet<&Path> = paths.iter().map(|path| folder(path)).collect();
    for folder in folders {
        let _ = watcher.watch(folder, RecursiveMode::NonRecursive).map_err(unseen);
    }
    Some(watcher)
}

fn is_reading(kind: &EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(kind, EventKind::Access(access) if *access != AccessKind::Close(AccessMode::Write))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Content as a number: the content itself may be a secret, and need not stay in memory.
fn digest(path: &Path) -> io::Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut content = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut content)?;
    content.hash(&mut hasher);
    Ok(hasher.finish())
}

/// Longer than the pauses between the steps of one save, too short to be noticed.
const QUIET: Duration = Duration::from_millis(100);
/// A folder in which something is always written is never quiet.
const PATIENCE: Duration = Duration::from_secs(1);
/// What an operator who waits for a change takes for "soon".
const POLL: Duration = Duration::from_secs(30);
/// More than any file that is watched may hold.
const MAX_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests;
