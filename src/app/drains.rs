//! Drains of endpoints: who leaves, and who has come back.
//!
//! In: what discovery and operators say of endpoints. Out: with `drain.mode: close`, one drain for each endpoint that
//! takes no new sessions because it is going away, until it has no sessions or comes back.
//!
//! - A drain that is under way goes on, at its own pace, whatever else is said of its endpoint meanwhile; also through a
//!   reload. It includes sessions whose handshake was under way when it began.
//! - An unhealthy endpoint is not leaving: its sessions stay, and a drain of it that is under way goes on.
//! - However many endpoints leave at once, the live sessions are looked through once for all of them.
//!
//! Not here: how a drain is paced ([`crate::drain`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use discovery::{Endpoint, Identity, State};
use tokio::time::{Instant, sleep};
use tower::discover::Change;

use super::task::Task;
use crate::{
    config::DrainMode,
    drain::{self, Terms},
    router::{Router, Service},
    session::Session,
};

/// The drains of all services' endpoints. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Drains {
    router: Arc<Router>,
    state: Arc<Mutex<Drained>>,
}

#[derive(Debug, Default)]
struct Drained {
    running: ByEndpoint<Task>,
    /// The live sessions of those, as they were a moment ago.
    sessions: ByEndpoint<Vec<Arc<Session>>>,
    looked: Option<Instant>,
}

/// Something for each of several endpoints of several services.
type ByEndpoint<T> = HashMap<Arc<str>, HashMap<Identity, T>>;

impl Drains {
    pub(super) fn new(router: &Arc<Router>) -> Self {
        Self {
            router: Arc::clone(router),
            state: Arc::default(),
        }
    }

    /// Takes in a change that the service has applied.
    pub(super) fn follow(&self, service: &Arc<Service>, change: &Change<Identity, Endpoint>) {
        match change {
            Change::Remove(identity) => self.begin(service, identity),
            Change::Insert(identity, _) if service.is_held(identity) => self.begin(service, identity),
            Change::Insert(identity, endpoint) => match endpoint.state {
                State::Active => self.end(service, identity),
                State::Draining => self.begin(service, identity),
                State::Unhealthy => {}
            },
        }
    }

    /// Begins a drain of an endpoint, unless there is one, or its service wants none.
    pub(super) fn begin(&self, service: &Arc<Service>, identity: &Identity) {
        let settings = service.settings.load();
        if settings.drain.mode == DrainMode::Keep || service.balance.sessions(identity) == 0 {
            return;
        }
        let terms = settings.drain.into();
        let mut state = self.state();
        state.looked = None;
        let running = state.running.entry(Arc::clone(&settings.name)).or_default();
        running.entry(identity.clone()).or_insert_with(|| {
            let drain = self.clone().run(Arc::clone(service), identity.clone(), terms);
            Task::spawn(drain)
        });
    }

    /// Ends the drain of an endpoint that is back.
    pub(super) fn end(&self, service: &Service, identity: &Identity) {
        if let Some(running) = self.state().running.get_mut(service.balance.service()) {
            running.remove(identity);
        }
    }

    async fn run(self, service: Arc<Service>, identity: Identity, terms: Terms) {
        let name = service.balance.service();
        let start = Instant::now();
        loop {
            drain::run(terms, start, || self.leaving(name, &identity)).await;
            // A handshake that was under way may still become a session.
            if service.balance.sessions(&identity) == 0 {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// The live sessions of an endpoint that drains.
    fn leaving(&self, service: &str, identity: &Identity) -> Vec<Arc<Session>> {
        let mut state = self.state();
        if state.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            state.look(&self.router);
        }
        let of_service = state.sessions.get(service);
        let sessions = of_service.and_then(|sessions| sessions.get(identity));
        sessions.cloned().unwrap_or_default()
    }

    /// Without the drains that are over.
    fn state(&self) -> MutexGuard<'_, Drained> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.retain(|_, running| {
            running.retain(|_, drain| !drain.is_finished());
            !running.is_empty()
        });
        if state.running.is_empty() {
            state.sessions.clear();
        }
        state
    }
}

impl Drained {
    fn look(&mut self, router: &Router) {
        self.looked = Some(Instant::now());
        self.sessions.clear();
        router.sessions.each(|session| {
            let running = self.running.get(&session.service);
            if running.is_some_and(|running| running.contains_key(&session.endpoint.identity)) {
                let sessions = self.sessions.entry(Arc::clone(&session.service)).or_default();
                let sessions = sessions.entry(session.endpoint.identity.clone()).or_default();
                sessions.push(Arc::clone(session));
            }
        });
    }
}

/// How old what is known of the sessions may be: as often as a hundred thousand of them can be looked through.
const LOOK: Duration = Duration::from_millis(50);
