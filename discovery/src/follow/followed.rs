//! What is seen of a service that is followed: its set, and how its sources are doing.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use crate::{Reader, Snapshot, Status};

/// A service that is followed.
#[derive(Clone, Debug)]
pub struct Followed {
    pub(super) snapshots: watch::Receiver<Option<Snapshot>>,
    pub(super) sources: Arc<[Watched]>,
}

/// How one source of a service is doing.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// What it is called.
    pub name: Arc<str>,
    /// How it is doing. Its age is `None` also where there is nothing to ask; where only the cache knows of an answer,
    /// the age is of that one.
    pub status: Status,
}

/// A source as its status needs it.
pub(super) struct Watched {
    pub(super) name: Arc<str>,
    pub(super) reader: Reader,
    pub(super) remote: bool,
    /// The time of an answer to an earlier run.
    pub(super) recalled: OnceLock<SystemTime>,
}

// === impl Followed ===

impl Followed {
    /// The set to use; `None` while it is not known.
    pub fn snapshots(&self) -> watch::Receiver<Option<Snapshot>> {
        self.snapshots.clone()
    }

    /// How the sources are doing, in the order in which they were given.
    pub fn sources(&self) -> Vec<SourceStatus> {
        let status = |source: &Watched| SourceStatus {
            name: Arc::clone(&source.name),
            status: Status {
                age: source.age(),
                ..source.reader.status()
            },
        };
        self.sources.iter().map(status).collect()
    }

    /// Since the source that has been silent for longest last answered; `None` if none ever has, or if there is nothing
    /// to ask.
    pub fn age(&self) -> Option<Duration> {
        self.sources.iter().filter_map(Watched::age).max()
    }
}

// === impl Watched ===

impl Watched {
    fn age(&self) -> Option<Duration> {
        if !self.remote {
            return None;
        }
        let recalled = || Some(self.recalled.get()?.elapsed().unwrap_or_default());
        self.reader.status().age.or_else(recalled)
    }

    /// When it last answered, if it is one that the cache is for.
    pub(super) fn answered(&self) -> Option<SystemTime> {
        SystemTime::now().checked_sub(self.age()?)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
