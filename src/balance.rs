//! Step 4: choose an endpoint for a handshake.
//!
//! In: a [`Pick`] for each dial, and [`Change`]s from discovery. Out: a [`Lease`] on one endpoint, or why there is none.
//!
//! Promises:
//! - A session is counted on its endpoint's identity from the pick until its [`Lease`] is dropped, through reloads,
//!   re-inserts and the endpoint's removal.
//! - Only an active endpoint that the request has not tried and that has room is picked; `max_sessions_per_endpoint` is
//!   never exceeded, but for requests that are bound to an endpoint ([`Bond`]).
//! - An ejected endpoint is left out, but for one trial session, as long as another is left for the request.
//! - An endpoint that is far is picked only where no near one is left for the request; its sessions and state are its own.
//! - A pick waits only while the endpoints are not known yet; the caller bounds that with its handshake budget.
//! - A pick and a lease's end cost O(log n) under one short lock per service; the lock is never held across an await.
//!
//! Not here: dialling, and trying again ([`crate::dial`]).

mod changes;
mod ejection;
mod lease;
mod load;
mod picker;
mod request;
mod strategy;

use std::{
    fmt,
    num::NonZeroUsize,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use discovery::{Endpoint, Identity, Snapshot, State as EndpointState};
use tokio::{sync::watch, time::Instant};
use tower::discover::Change;

use self::picker::Picker;
pub use self::{
    changes::{Changes, feed},
    lease::{Failure, Lease},
    request::{Bond, Pick, Tried},
};
use crate::config;

/// The balance step of one service. Clones share everything; it outlives reloads, so that the counts do.
#[derive(Clone)]
pub struct Balance {
    shared: Arc<Shared>,
}

/// How a service balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How an endpoint is picked.
    pub strategy: config::Strategy,
    /// Sessions that one endpoint may hold; `None` is no limit.
    pub max_sessions_per_endpoint: Option<NonZeroUsize>,
}

/// An endpoint as an operator sees it.
#[derive(Clone, Debug)]
pub struct EndpointStatus {
    /// The endpoint as discovery last described it.
    pub endpoint: Arc<Endpoint>,
    /// `active`, `draining`, `unhealthy`, or `gone`: only its live sessions are left.
    pub state: &'static str,
    /// It is left out of picks, and from when on one session may try it (the past: a trial is open or under way).
    pub ejected_until: Option<Instant>,
    /// Its sessions, those being dialled included.
    pub sessions: usize,
    /// Ejections in a row, 0 after a success.
    pub failures: u32,
}

/// What discovery says of an endpoint that it lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its state, an operator's drain included.
    pub state: EndpointState,
    /// Since when.
    pub since: Instant,
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The service is known to have no active endpoint.
    #[error("the service has no active endpoint")]
    Empty,
    /// Every endpoint that is left for the request holds as many sessions as it may.
    #[error("every endpoint holds as many sessions as it may")]
    Full,
    /// The request has tried every endpoint that it could be given.
    #[error("every active endpoint was tried")]
    Exhausted,
    /// The only endpoint that can serve the request is not listed any more.
    #[error("the endpoint that the request is bound to is gone")]
    Gone,
}

/// A pick under way. Dropping it gives the place back.
pub struct Choosing(State);

enum State {
    Done(Option<Result<Lease, Unavailable>>),
    Waiting(Pin<Box<dyn Future<Output = Result<Lease, Unavailable>> + Send>>),
}

/// What the clones of a [`Balance`] and all its leases share.
struct Shared {
    service: Arc<str>,
    picker: Mutex<Picker>,
    known: watch::Sender<bool>,
    /// Wakes those whose endpoint may be the one that leaves.
    leaving: watch::Sender<()>,
}

// === impl Balance ===

impl Balance {
    /// The balance step of `service`, whose endpoints are not known yet.
    pub fn new(service: Arc<str>, settings: Settings) -> Self {
        let picker = Mutex::new(Picker::new(settings, fastrand::Rng::new()));
        Self {
            shared: Arc::new(Shared {
                service,
                picker,
                known: watch::Sender::new(false),
                leaving: watch::Sender::new(()),
            }),
        }
    }

    /// The service's name.
    pub fn service(&self) -> &Arc<str> {
        &self.shared.service
    }

    /// Balances by other settings from now on. Counts and ejections stay; an endpoint above a new limit keeps its
    /// sessions.
    pub fn reconfigure(&self, settings: Settings) {
        self.shared.lock().reconfigure(settings);
    }

    /// Takes in one change of the endpoint set; see [`feed`] for a whole snapshot.
    pub fn apply(&self, change: Change<Identity, Endpoint>) {
        let leaves = match &change {
            Change::Insert(_, endpoint) => endpoint.state == EndpointState::Draining,
            Change::Remove(_) => true,
        };
        match change {
            Change::Insert(_, endpoint) => self.shared.lock().insert(endpoint),
            Change::Remove(identity) => self.shared.lock().remove(&identity),
        }
        if leaves {
            self.shared.leaving.send_replace(());
        }
    }

    /// Says that an endpoint drains, or is not listed any more; which one, [`Self::look_up`] knows.
    pub fn leaving(&self) -> watch::Receiver<()> {
        self.shared.leaving.subscribe()
    }

    /// The endpoint set is complete: picks that waited for it go on.
    pub fn mark_known(&self) {
        self.shared.known.send_replace(true);
    }

    /// Whether the endpoint set has ever been complete.
    pub fn known(&self) -> bool {
        *self.shared.known.borrow()
    }

    /// Whether picks by [`Bond::Hash`] are to be expected; without this they are like any other.
    pub fn expect_hashes(&self, expect: bool) {
        self.shared.lock().keep_ring(expect);
    }

    /// What discovery says of one endpoint, if it lists it.
    pub fn look_up(&self, identity: &Identity) -> Option<Listed> {
        self.shared.lock().look_up(identity)
    }

    /// The endpoints that discovery lists now, without those that are gone.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.lock().listed()
    }

    /// Every endpoint, those that are gone but have live sessions included, in order of identity.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let mut endpoints = self.shared.lock().status();
        endpoints.sort_by(|a, b| a.endpoint.identity.cmp(&b.endpoint.identity));
        endpoints
    }

    /// The sessions of an endpoint, those being dialled included.
    pub fn sessions(&self, identity: &Identity) -> usize {
        self.shared.lock().sessions(identity)
    }

    fn pick(&self, pick: &Pick) -> Result<Lease, Unavailable> {
        let picked = self
            .shared
            .lock()
            .pick_bound(pick.bond(), pick.tried(), Instant::now())?;
        Ok(Lease::new(
            self.shared.clone(),
            picked.endpoint,
            picked.slot,
            picked.stamp,
        ))
    }

    async fn pick_when_known(self, pick: Pick) -> Result<Lease, Unavailable> {
        // The sender lives in `self`, so the wait cannot end before the set is known.
        let _ = self.shared.known.subscribe().wait_for(|known| *known).await;
        self.pick(&pick)
    }
}

impl tower::Service<Pick> for Balance {
    type Response = Lease;
    type Error = Unavailable;
    type Future = Choosing;

    // Always ready: whether there is an endpoint depends on what the request has tried, and a caller that waited here
    // would wait for ever on an empty set. `call` answers at once instead.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unavailable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, pick: Pick) -> Choosing {
        Choosing(match self.known() {
            true => State::Done(Some(self.pick(&pick))),
            false => State::Waiting(Box::pin(self.clone().pick_when_known(pick))),
        })
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("service", &self.shared.service)
            .finish_non_exhaustive()
    }
}

// === impl Choosing ===

impl Future for Choosing {
    type Output = Result<Lease, Unavailable>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Done(picked) => Poll::Ready(picked.take().expect("not polled after it was ready")),
            State::Waiting(known) => known.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Choosing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choosing").finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Picker> {
        // A panic under the lock costs the session that caused it, not the service.
        self.picker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
