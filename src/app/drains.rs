//! Drains of endpoints: who leaves, and who has come back.
//!
//! In: what discovery and operators say of endpoints. Out: with `drain.mode: close`, one drain for each endpoint that
//! takes no new sessions because it is going away, until it has no sessions or comes back.
//!
//! - A drain that is under way goes on, at its own pace, whatever else is said of its endpoint meanwhile; also through a
//!   reload.
//! - An unhealthy endpoint is not leaving: its sessions stay, and a drain of it that is under way goes on.
//!
//! Not here: how a drain is paced ([`crate::drain`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use discovery::{Endpoint, Identity, State};
use tower::discover::Change;

use super::task::Task;
use crate::{
    config::DrainMode,
    drain,
    router::{Router, Service},
};

/// The drains of all services' endpoints. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Drains(Arc<Mutex<Running>>);

/// By service and endpoint.
type Running = HashMap<(Arc<str>, Identity), Task>;

impl Drains {
    /// Takes in a change that the service has applied.
    pub(super) fn follow(
        &self,
        router: &Arc<Router>,
        service: &Arc<Service>,
        change: &Change<Identity, Endpoint>,
    ) {
        match change {
            Change::Remove(identity) => self.begin(router, service, identity),
            Change::Insert(identity, _) if service.is_held(identity) => self.begin(router, service, identity),
            Change::Insert(identity, endpoint) => match endpoint.state {
                State::Active => self.end(service, identity),
                State::Draining => self.begin(router, service, identity),
                State::Unhealthy => {}
            },
        }
    }

    /// Begins a drain of an endpoint, unless there is one, or its service wants none.
    pub(super) fn begin(&self, router: &Arc<Router>, service: &Arc<Service>, identity: &Identity) {
        let settings = service.settings.load();
        let mut running = self.running();
        if settings.drain.mode == DrainMode::Keep {
            return;
        }
        let (name, identity) = (Arc::clone(&settings.name), identity.clone());
        running
            .entry((Arc::clone(&name), identity.clone()))
            .or_insert_with(|| {
                let router = Arc::clone(router);
                let leaving = move || {
                    let mut sessions = router.sessions.all();
                    sessions
                        .retain(|session| session.service == name && session.endpoint.identity == identity);
                    sessions
                };
                Task::spawn(drain::run(settings.drain.into(), leaving))
            });
    }

    /// Ends the drain of an endpoint that is back.
    pub(super) fn end(&self, service: &Service, identity: &Identity) {
        let name = Arc::clone(&service.settings.load().name);
        self.running().remove(&(name, identity.clone()));
    }

    /// Those that are not over.
    fn running(&self) -> MutexGuard<'_, Running> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, drain| !drain.is_finished());
        running
    }
}
