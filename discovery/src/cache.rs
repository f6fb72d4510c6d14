//! What was last known of each service, for when its registry is away.
//!
//! In: the sets that are believed, by service and source, with the time of the source's last answer. Out: the same sets,
//! to a router that has another configuration now, or that has started anew.
//!
//! - Within one process they stay in memory; with a folder they are on disk too, one file for each service.
//! - A file is written beside and then put in place, so that a reader sees the old one or the new one; only its owner may
//!   read it, for it names the machines of a network.
//! - A set that its source confirmed longer ago than the folder's `max_age` is not recalled.
//! - A file that is broken, that others may write to, or that is not Longhaul's is ignored, with a line in the log.
//! - All disk work is done on threads of its own.
//!
//! Not here: when a remembered set is used ([`merge`](crate::merge)).

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::task::spawn_blocking;

use crate::Snapshot;

mod file;

/// What was last known of each service. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cache(Arc<Shared>);

/// What was last known of one source of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// What the source is called; another configuration of it is another source.
    pub source: Arc<str>,
    /// Its endpoints.
    pub endpoints: Snapshot,
    /// When it last answered.
    pub answered: SystemTime,
}

#[derive(Debug, Default)]
struct Shared {
    folder: Mutex<Option<Folder>>,
    memory: Mutex<HashMap<Arc<str>, Vec<Remembered>>>,
    /// Held while a file is written: two writers would share its temporary name.
    writing: Mutex<()>,
    /// The last write failed, and the log has said so.
    failing: Mutex<bool>,
}

#[derive(Clone, Debug)]
struct Folder {
    path: PathBuf,
    max_age: Duration,
}

// === impl Cache ===

impl Cache {
    /// Keeps what it is told from now on in `folder` too, and recalls from there what is not older than `max_age`.
    /// Without a folder, nothing leaves the memory.
    pub fn set_folder(&self, folder: Option<(PathBuf, Duration)>) {
        *lock(&self.0.folder) = folder.map(|(path, max_age)| Folder { path, max_age });
    }

    /// What was last known of a service, source by source.
    pub async fn recall(&self, service: &Arc<str>) -> Vec<Remembered> {
        if let Some(sources) = lock(&self.0.memory).get(service) {
            return sources.clone();
        }
        let Some(folder) = lock(&self.0.folder).clone() else {
            return Vec::new();
        };
        let service = Arc::clone(service);
        let read = spawn_blocking(move || read(&folder, &service)).await;
        read.unwrap_or_default()
    }

    /// What is known of a service now, in place of what was. In memory only.
    pub fn note(&self, service: &Arc<str>, sources: Vec<Remembered>) {
        lock(&self.0.memory).insert(Arc::clone(service), sources);
    }

    /// Brings a service's file up to what was last noted, if there is a folder.
    pub async fn store(&self, service: &Arc<str>) {
        let folder = lock(&self.0.folder).clone();
        let sources = lock(&self.0.memory).get(service).cloned();
        let (Some(folder), Some(sources)) = (folder, sources) else {
            return;
        };
        let (shared, service) = (Arc::clone(&self.0), Arc::clone(service));
        // If nobody waits any more the write still comes to its end.
        let _ = spawn_blocking(move || shared.write(&folder, &service, &sources)).await;
    }
}

// === impl Shared ===

impl Shared {
    fn write(&self, folder: &Folder, service: &str, sources: &[Remembered]) {
        let written = {
            let _alone = lock(&self.writing);
            file::write(&folder.path, service, sources)
        };
        let mut failing = lock(&self.failing);
        if let Err(error) = &written
            && !*failing
        {
            let folder = folder.path.display();
            tracing::warn!(%folder, %error, "cannot keep the last known endpoints on disk");
        }
        *failing = written.is_err();
    }
}

/// The sets of a service's file that are young enough; none if there is no such file.
fn read(folder: &Folder, service: &str) -> Vec<Remembered> {
    let mut sources = match file::read(&folder.path, service) {
        Ok(sources) => sources,
        Err(file::Error::Missing) => return Vec::new(),
        Err(error) => {
            let file = file::path(&folder.path, service);
            tracing::warn!(service, file = %file.display(), %error, "ignored a file of last known endpoints");
            return Vec::new();
        }
    };
    sources.retain(|remembered| {
        // A clock that was set back makes it young, not old.
        let age = remembered.answered.elapsed().unwrap_or_default();
        let young = age <= folder.max_age;
        if !young {
            let source = &*remembered.source;
            tracing::warn!(
                service,
                source,
                ?age,
                "ignored last known endpoints that are too old"
            );
        }
        young
    });
    sources
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
