//! One namespace's slices, shared by all services that are looked up in it.
//!
//! In: lists, events and failures from [`Follow`]. Out: to each [`Subscription`] a [`View`] of its one service.
//!
//! - An event wakes only the readers of the service that it concerns; a sign of life and a failure concern all.
//! - A reader that falls behind sees the latest view.
//! - Who comes later gets what is known at once, without a request.
//! - With its last subscription a namespace ends, and with it its connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    follow::Follow,
    slice::Slice,
    slices::{Group, Slices},
};
use crate::provider::Error;

/// A namespace that is being followed.
#[derive(Debug)]
pub(super) struct Namespace {
    known: Mutex<Known>,
    following: OnceLock<JoinHandle<()>>,
}

/// What is known of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// `None` until the namespace was listed.
    pub(super) slices: Option<Group>,
    /// Why nothing newer is known, if the last request failed.
    pub(super) failure: Option<Arc<Error>>,
}

/// The views of one service. Keeps its namespace going.
#[derive(Debug)]
pub(super) struct Subscription {
    views: watch::Receiver<View>,
    _namespace: Arc<Namespace>,
}

#[derive(Debug, Default)]
struct Known {
    /// `None` until it was listed.
    slices: Option<Slices>,
    failure: Option<Arc<Error>>,
    readers: HashMap<Arc<str>, watch::Sender<View>>,
}

// === impl Namespace ===

impl Namespace {
    /// Starts to follow; must run within a runtime.
    pub(super) fn start(follow: Follow) -> Arc<Self> {
        let namespace = Arc::new(Self {
            known: Mutex::default(),
            following: OnceLock::new(),
        });
        let following = tokio::spawn(follow.run(Arc::downgrade(&namespace)));
        namespace.following.get_or_init(|| following);
        namespace
    }

    /// The views of `service`.
    pub(super) fn subscribe(self: &Arc<Self>, service: &str) -> Subscription {
        let mut known = self.known();
        // A reload may have taken services away.
        known.readers.retain(|_, reader| reader.receiver_count() > 0);
        let view = known.view(service);
        let reader = known
            .readers
            .entry(service.into())
            .or_insert_with(|| watch::Sender::new(view));
        let mut views = reader.subscribe();
        views.mark_changed();
        Subscription {
            views,
            _namespace: Arc::clone(self),
        }
    }

    /// This is everything.
    pub(super) fn listed(&self, slices: Vec<Slice>) {
        let mut known = self.known();
        known.slices = Some(Slices::listed(slices));
        known.failure = None;
        known.tell_all();
    }

    /// A slice was added or written.
    pub(super) fn put(&self, slice: Slice) {
        self.change(|slices| slices.put(slice));
    }

    /// A slice was deleted.
    pub(super) fn deleted(&self, name: &str) {
        self.change(|slices| slices.delete(name).into_iter().collect());
    }

    /// The server has answered that nothing else happened.
    pub(super) fn alive(&self) {
        let mut known = self.known();
        known.failure = None;
        known.tell_all();
    }

    /// A request has failed; what is known stays.
    pub(super) fn fail(&self, error: Error) {
        let mut known = self.known();
        known.failure = Some(Arc::new(error));
        known.tell_all();
    }

    fn change(&self, change: impl FnOnce(&mut Slices) -> Vec<Arc<str>>) {
        let mut known = self.known();
        known.failure = None;
        let concerned = known.slices.as_mut().map(change).unwrap_or_default();
        concerned.iter().for_each(|service| known.tell(service));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is one assignment, so what a panic leaves is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(following) = self.following.get() {
            following.abort();
        }
    }
}

// === impl Known ===

impl Known {
    fn view(&self, service: &str) -> View {
        View {
            slices: self.slices.as_ref().map(|slices| slices.of(service)),
            failure: self.failure.clone(),
        }
    }

    fn tell(&self, service: &str) {
        if let Some(reader) = self.readers.get(service) {
            reader.send_replace(self.view(service));
        }
    }

    fn tell_all(&self) {
        for (service, reader) in &self.readers {
            reader.send_replace(self.view(service));
        }
    }
}

// === impl Subscription ===

impl Subscription {
    /// Makes the latest view one that was not seen yet.
    pub(super) fn again(&mut self) {
        self.views.mark_changed();
    }

    /// Waits for a view that was not seen yet. May be dropped without losing one.
    pub(super) async fn next(&mut self) -> View {
        match self.views.changed().await {
            Ok(()) => self.views.borrow_and_update().clone(),
            // The sender lives in the namespace, and that as long as this.
            Err(_) => std::future::pending().await,
        }
    }
}
