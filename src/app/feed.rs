//! From discovery to the balance step, one task per service.
//!
//! In: the services of a configuration. Out: endpoint changes in the balance step, readiness when a required service is
//! known, and drains for endpoints that leave.
//!
//! - A service whose `discovery` did not change keeps its task: a reload of something else is no event for it.
//! - A service with another `discovery` keeps its old endpoints until the new source has answered.
//! - An endpoint that comes back while it drains stops draining.

use std::{collections::HashMap, sync::Arc};

use discovery::{Endpoint, Identity, Snapshot, State};
use tokio::sync::watch;
use tower::discover::Change;

use super::task::Task;
use crate::{
    admin::{Readiness, ready::Token},
    balance::Changes,
    config::{Config, Discovery, DrainMode},
    drain,
    router::{Router, Service},
};

/// The tasks of all services.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    running: HashMap<Arc<str>, Feed>,
}

#[derive(Debug)]
struct Feed {
    sources: Vec<Discovery>,
    _task: Task,
}

/// One service's task.
struct Feeding {
    service: Arc<Service>,
    router: Arc<Router>,
    token: Option<Token>,
    /// Drains of endpoints that left.
    drains: HashMap<Identity, Task>,
}

impl Feeds {
    /// Starts what is new or different, ends what is gone.
    pub(super) fn follow(&mut self, config: &Config, router: &Arc<Router>, readiness: &Readiness) {
        let plan = router.plan.load();
        for (name, settings) in &config.services {
            let Some(service) = plan.services.get(name) else {
                continue;
            };
            if self
                .running
                .get(name)
                .is_some_and(|feed| feed.sources == settings.discovery)
            {
                continue;
            }
            let waits = settings.required && !service.balance.known();
            let token = waits.then(|| readiness.part(format!("service {name}")));
            let feeding = Feeding {
                service: Arc::clone(service),
                router: Arc::clone(router),
                token,
                drains: HashMap::new(),
            };
            let task = Task::spawn(feeding.run(settings.discovery.clone()));
            self.running.insert(
                Arc::clone(name),
                Feed {
                    sources: settings.discovery.clone(),
                    _task: task,
                },
            );
        }
        for name in self
            .running
            .keys()
            .filter(|name| !config.services.contains_key(*name))
        {
            // Its endpoints are gone for new sessions; the plan keeps the service while it has live ones.
            if let Some(service) = plan.services.get(name) {
                service.balance.snapshot().iter().for_each(|endpoint| {
                    service.apply(Change::Remove(endpoint.identity.clone()));
                });
            }
        }
        self.running.retain(|name, _| config.services.contains_key(name));
    }
}

impl Feeding {
    async fn run(mut self, sources: Vec<Discovery>) {
        let listed = sources
            .into_iter()
            .flat_map(|Discovery::Static(endpoints)| endpoints);
        let (_sender, snapshots) = watch::channel(Some(listed.collect()));
        self.apply(snapshots).await;
    }

    async fn apply(&mut self, snapshots: watch::Receiver<Option<Snapshot>>) {
        let balance = self.service.balance.clone();
        let mut changes = Changes::new(snapshots, balance.snapshot());
        while let Some(batch) = changes.next().await {
            for change in &batch {
                self.drains.retain(|_, drain| !drain.is_finished());
                match change {
                    Change::Insert(
                        identity,
                        Endpoint {
                            state: State::Active, ..
                        },
                    ) => {
                        self.drains.remove(identity);
                    }
                    Change::Insert(identity, _) | Change::Remove(identity) => {
                        if let Some(task) = drain_of(&self.service, &self.router, identity) {
                            self.drains.insert(identity.clone(), task);
                        }
                    }
                }
            }
            batch.into_iter().for_each(|change| self.service.apply(change));
            balance.mark_known();
            self.token = None;
        }
    }
}

/// The drain of an endpoint that leaves, if its service wants one.
fn drain_of(service: &Arc<Service>, router: &Arc<Router>, identity: &Identity) -> Option<Task> {
    let settings = service.settings.load();
    if settings.drain.mode == DrainMode::Keep {
        return None;
    }
    let (name, router, identity) = (Arc::clone(&settings.name), Arc::clone(router), identity.clone());
    let leaving = move || {
        let mut sessions = router.sessions.all();
        sessions.retain(|session| session.service == name && session.endpoint.identity == identity);
        sessions
    };
    Some(Task::spawn(drain::run(settings.drain.into(), leaving)))
}
