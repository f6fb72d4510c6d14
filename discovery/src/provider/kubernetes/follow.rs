//! Follows the slices of one namespace: list once, then watch, for ever.
//!
//! In: where the cluster is reached. Out: lists, events and failures, to a [`Namespace`].
//!
//! - A watch that has ended is taken up from the version it came to; only when that is too old, when versions have gone
//!   back, or when an event may have been lost, everything is listed again. What was known before stays until the new
//!   list is complete.
//! - A failure is followed by a wait: 0.2 s to 3 s, after a refusal 1 s to 60 s. A list that is too old before anything
//!   has followed it is a failure too: a server that forgets at once is not asked for list after list.
//! - When the server cannot be reached or no longer knows who asks, where and as whom it is asked is read again.
//! - It never ends, and a panic in it is a failure like any other.

use std::{mem, panic::AssertUnwindSafe, sync::Weak, time::Duration};

use futures_util::FutureExt;
use http::Uri;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    access::Access,
    api::{Api, Error, Event},
    namespace::Namespace,
};
use crate::{backoff::Backoff, provider};

/// What following a namespace needs.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) access: Access,
    /// `None`: the one that the access names.
    pub(super) namespace: Option<Box<str>>,
    /// How long one watch lasts at most; it is up to a fifth shorter.
    pub(super) span: Duration,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Progress {
    /// `None`: where the server is and as whom it is asked has to be read.
    api: Option<Api>,
    /// The server that `version` is of.
    server: Option<Uri>,
    /// `None`: everything has to be listed.
    version: Option<String>,
    /// The version before was too old, and nothing has shown since that this one is not.
    was_gone: bool,
}

impl Follow {
    /// Until nobody reads `namespace` any more.
    pub(super) async fn run(self, namespace: Weak<Namespace>) {
        let mut soon = Backoff::try_new(SOON, SOON_AT_MOST).expect("both are constants");
        let mut later = Backoff::try_new(LATER, LATER_AT_MOST).expect("both are constants");
        let mut progress = Progress::default();
        loop {
            let started = Instant::now();
            let step = AssertUnwindSafe(self.step(&mut progress, &namespace))
                .catch_unwind()
                .await;
            let Some(namespace) = namespace.upgrade() else {
                return;
            };
            let error = match step {
                Ok(Ok(())) => {
                    soon.reset();
                    later.reset();
                    drop(namespace);
                    // Something on the way that ends each watch at once must not be asked in a tight loop.
                    sleep_until(started + SOON).await;
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    progress = Progress::default();
                    provider::Error::Transient("following a namespace panicked".into())
                }
            };
            let wait = match &error {
                provider::Error::Transient(_) => soon.after_failure(),
                provider::Error::Rejected(_) => later.after_failure(),
            };
            namespace.fail(error);
            drop(namespace);
            sleep(wait).await;
        }
    }

    /// A list if one is due, then one watch until it ends.
    async fn step(
        &self,
        progress: &mut Progress,
        namespace: &Weak<Namespace>,
    ) -> Result<(), provider::Error> {
        let api = match progress.api.take() {
            Some(api) => api,
            None => self.connect(progress).await?,
        };
        let Err(error) = self.list_and_watch(&api, progress, namespace).await else {
            progress.was_gone = false;
            progress.api = Some(api);
            return Ok(());
        };
        if !error.is_of_access() {
            progress.api = Some(api);
        }
        if error.is_gone() || error.is_garbage() {
            progress.version = None;
        }
        if error.is_gone() && !mem::replace(&mut progress.was_gone, true) {
            tracing::debug!(%error, "listing again");
            return Ok(());
        }
        Err(error.into())
    }

    async fn connect(&self, progress: &mut Progress) -> Result<Api, provider::Error> {
        let (client, server) = self.access.connect().await?;
        // Versions of one server mean nothing to another.
        if progress.server.as_ref().is_some_and(|before| *before != server) {
            progress.version = None;
        }
        progress.server = Some(server);
        Ok(Api::new(client, self.namespace.as_deref()))
    }

    async fn list_and_watch(
        &self,
        api: &Api,
        progress: &mut Progress,
        namespace: &Weak<Namespace>,
    ) -> Result<(), Error> {
        let version = match &mut progress.version {
            Some(version) => version,
            None => {
                let listed = api.list().await?;
                let Some(namespace) = namespace.upgrade() else {
                    return Ok(());
                };
                namespace.listed(listed.slices);
                progress.version.insert(listed.version)
            }
        };
        // Routers that lost one server together must not come back to it together for ever.
        let span = self.span.mul_f64(1.0 - fastrand::f64() / 5.0);
        let mut watch = api.watch(version, span).await?;
        // Before it accepts a watch the server has looked at the version, so nothing was missed up to now.
        if let Some(namespace) = namespace.upgrade() {
            namespace.alive();
        }
        while let Some((event, reached)) = watch.next().await? {
            let Some(namespace) = namespace.upgrade() else {
                return Ok(());
            };
            match event {
                Event::Put(slice) => namespace.put(*slice),
                Event::Deleted(slice) => namespace.deleted(&slice.name),
                Event::Bookmark => namespace.alive(),
            }
            if is_before(&reached, version) {
                return Err(Error::Rewound);
            }
            *version = reached;
            progress.was_gone = false;
        }
        Ok(())
    }
}

/// Whether a version is older than another, as far as they can be compared. A server that was restored from a backup
/// shows nothing after a version that is yet to come, but says where it is now and then.
fn is_before(version: &str, other: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    number(version)
        .zip(number(other))
        .is_some_and(|(version, other)| version < other)
}

/// An API server that restarts is away for some seconds.
const SOON: Duration = Duration::from_millis(200);
/// What a change may be late by, at the worst, after an outage.
const SOON_AT_MOST: Duration = Duration::from_secs(3);
/// A token that is being rotated is there after a second.
const LATER: Duration = Duration::from_secs(1);
/// An operator who has given a permission looks for the effect within a minute.
const LATER_AT_MOST: Duration = Duration::from_secs(60);
