//! One service as a whole: its sources, each kept running, as one set that survives all of them.
//!
//! In: providers, and the [`Cache`]. Out: a `watch` channel of the [`Snapshot`]s to use, and each source's status.
//!
//! This is where [`supervise`], [`merge`](crate::merge) and [`cache`](crate::cache) meet; whoever wants other rules puts
//! them together in another way.
//!
//! Promises:
//! - The channel holds `None` until the set is decided, and never again after that.
//! - A set is in the channel before it goes to disk, and never waits for the disk.
//! - Dropping the future ends everything that it runs; the channel keeps the last set.

mod followed;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use self::followed::Watched;
pub use self::followed::{Followed, SourceStatus};
use crate::{
    Provider, Publisher, Snapshot,
    allow::Rules,
    cache::{Cache, Remembered},
    merge::{Merge, Source},
    supervise,
};

/// A service to follow.
#[derive(Debug)]
pub struct Service {
    /// Its name, in the cache.
    pub name: Arc<str>,
    /// Its sources.
    pub sources: Vec<Supply>,
    /// How long an unexplained "nothing" is not believed.
    pub empty_hold: Duration,
    /// Where its last known endpoints are kept.
    pub cache: Cache,
}

/// A source to run.
#[derive(Debug)]
pub struct Supply {
    /// What it is called in the log, the status and the cache; another configuration of it has another name.
    pub name: Arc<str>,
    /// What runs.
    pub provider: Box<dyn Provider>,
    /// Which addresses it may name; absent: any.
    pub rules: Option<Rules>,
    /// Used only while the other sources have no active endpoint.
    pub fallback: bool,
    /// It can be away: its age is told and its endpoints are kept in the cache.
    pub remote: bool,
}

/// Begins to follow `service`: the handle, and the work behind it, which must be polled for anything to happen.
pub fn follow(service: Service) -> (Followed, impl Future<Output = ()> + Send) {
    let (snapshots, reader) = watch::channel(None);
    let mut publishers = Vec::new();
    let mut watched = Vec::new();
    let mut fallbacks = Vec::new();
    let mut providers = Vec::new();
    for supply in service.sources {
        let (publisher, reader) = Publisher::named(format!("{}: {}", service.name, supply.name));
        publishers.push(match supply.rules {
            Some(rules) => publisher.with_rules(rules),
            None => publisher,
        });
        fallbacks.push(supply.fallback);
        providers.push(supply.provider);
        watched.push(Watched {
            name: supply.name,
            reader,
            remote: supply.remote,
            recalled: OnceLock::new(),
        });
    }
    let followed = Followed {
        snapshots: reader,
        sources: watched.into(),
    };
    let work = Work {
        name: service.name,
        sources: Arc::clone(&followed.sources),
        empty_hold: service.empty_hold,
        cache: service.cache,
        fallbacks,
    };
    (followed, work.run(providers, publishers, snapshots))
}

struct Work {
    name: Arc<str>,
    sources: Arc<[Watched]>,
    empty_hold: Duration,
    cache: Cache,
    fallbacks: Vec<bool>,
}

/// What is believed of each source.
type Believed = Vec<Option<Snapshot>>;

// === impl Service ===

impl Service {
    /// With the usual hold of an unexplained "nothing", 30 s, and a cache of its own in memory.
    pub fn new(name: impl Into<Arc<str>>, sources: Vec<Supply>) -> Self {
        Self {
            name: name.into(),
            sources,
            empty_hold: EMPTY_HOLD,
            cache: Cache::default(),
        }
    }
}

// === impl Supply ===

impl Supply {
    /// An ordinary source that can be away and may name any address.
    pub fn new(name: impl Into<Arc<str>>, provider: impl Provider + 'static) -> Self {
        Self {
            name: name.into(),
            provider: Box::new(provider),
            rules: None,
            fallback: false,
            remote: true,
        }
    }
}

// === impl Work ===

impl Work {
    async fn run(
        self,
        providers: Vec<Box<dyn Provider>>,
        publishers: Vec<Publisher>,
        snapshots: watch::Sender<Option<Snapshot>>,
    ) {
        let supplies = providers.into_iter().zip(&publishers);
        let running = supplies.map(|(provider, publisher)| supervise(provider, publisher));
        let (believed, to_keep) = watch::channel(Vec::new());
        let merging = async {
            // Meanwhile the sources are being asked already.
            let remembered = self.recall(&publishers).await;
            self.merge(remembered, &snapshots, &believed).await;
        };
        tokio::join!(join_all(running), merging, self.store(to_keep));
    }

    /// What the cache has of each source, as far as it may be used.
    async fn recall(&self, publishers: &[Publisher]) -> Believed {
        let mut recalled = self.cache.recall(&self.name).await;
        let sources = self.sources.iter().zip(publishers);
        let remembered = sources.map(|(source, publisher)| {
            let index = recalled.iter().position(|known| known.source == source.name)?;
            let known = recalled.swap_remove(index);
            let _ = source.recalled.set(known.answered);
            Some(publisher.admit(known.endpoints))
        });
        remembered.collect()
    }

    async fn merge(
        &self,
        remembered: Believed,
        snapshots: &watch::Sender<Option<Snapshot>>,
        believed: &watch::Sender<Believed>,
    ) {
        let sources = self.sources.iter().zip(&self.fallbacks).zip(remembered);
        let sources = sources.map(|((source, fallback), remembered)| Source {
            reader: source.reader.clone(),
            fallback: *fallback,
            remembered,
        });
        let mut merge = Merge::new(sources, self.empty_hold);
        while merge.next().await {
            replace(snapshots, merge.merged().cloned());
            let now: Believed = merge.believed().map(Option::<&Snapshot>::cloned).collect();
            if *believed.borrow() != now {
                self.note(&now);
                believed.send_replace(now);
            }
        }
    }

    /// Notes what is believed, and how old it is.
    fn note(&self, believed: &[Option<Snapshot>]) {
        let known = self.sources.iter().zip(believed).filter_map(|(source, set)| {
            Some(Remembered {
                source: Arc::clone(&source.name),
                endpoints: set.clone()?,
                answered: source.answered()?,
            })
        });
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            self.cache.note(&self.name, known);
        }
    }

    /// Brings the file up to what was noted, after each change and now and then.
    async fn store(&self, mut believed: watch::Receiver<Believed>) {
        loop {
            match timeout(REFRESH, believed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                // Without a change the time of the last answer still moves on.
                Err(_) => self.note(&believed.borrow()),
            }
            self.cache.store(&self.name).await;
            sleep(PAUSE).await;
        }
    }
}

/// Wakes readers only if the value is another one.
fn replace<T: PartialEq>(channel: &watch::Sender<T>, value: T) {
    channel.send_if_modified(|current| {
        let news = *current != value;
        *current = value;
        news
    });
}

/// Registries answer "none" for some seconds when they restart or elect a leader.
const EMPTY_HOLD: Duration = Duration::from_secs(30);
/// Between two writes of one service's file: a storm of changes must not become a storm of writes.
const PAUSE: Duration = Duration::from_secs(1);
/// How far the age on disk may lag behind.
const REFRESH: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
