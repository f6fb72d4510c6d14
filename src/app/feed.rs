//! From discovery to the balance step, one task per service.
//!
//! In: the services of a configuration. Out: endpoint changes in the balance step, readiness when a required service is
//! known, and drains for endpoints that leave.
//!
//! - A service whose sources did not change keeps its task: a reload of something else is no event for it.
//! - A service with other sources keeps its old endpoints until the new ones have answered; a source that is in both
//!   stands with what was last known of it until then.
//!
//! Not here: what is believed of the sources ([`discovery::follow`]).

use std::{collections::HashMap, sync::Arc, time::Duration};

use discovery::{Snapshot, follow};
use tokio::sync::watch;
use tower::discover::Change;

use super::{
    drains::Drains,
    sources::{Shared, supplies},
    task::Task,
};
use crate::{
    admin::{Readiness, ready::Token},
    balance::Changes,
    config::{self, Config, Providers, Source},
    router::{Router, Service},
};

/// The tasks of all services.
#[derive(Debug)]
pub(super) struct Feeds {
    router: Arc<Router>,
    readiness: Readiness,
    drains: Drains,
    shared: Shared,
    running: HashMap<Arc<str>, Feed>,
}

#[derive(Debug)]
struct Feed {
    recipe: Recipe,
    _task: Task,
}

/// Everything of a configuration that a service's task is made from.
#[derive(Debug, PartialEq, Eq)]
struct Recipe {
    sources: Vec<Source>,
    providers: Providers,
    empty_hold: Duration,
    required: bool,
}

/// One service's task.
struct Feeding {
    service: Arc<Service>,
    drains: Drains,
    /// Held until the service is known.
    token: Option<Token>,
}

impl Feeds {
    pub(super) fn new(router: &Arc<Router>, readiness: &Readiness, drains: &Drains) -> Self {
        Self {
            router: Arc::clone(router),
            readiness: readiness.clone(),
            drains: drains.clone(),
            shared: Shared::default(),
            running: HashMap::new(),
        }
    }

    /// What all sources share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Starts what is new or different, ends what is gone.
    pub(super) fn follow(&mut self, config: &Config) {
        let folder = config.cache.as_ref();
        let folder = folder.map(|cache| (cache.folder.clone(), cache.max_age));
        self.shared.cache.set_folder(folder);
        self.shared.follow(&config.providers);
        let plan = self.router.plan.load_full();
        for (name, settings) in &config.services {
            let Some(service) = plan.services.get(name) else {
                continue;
            };
            let recipe = Recipe {
                sources: settings.discovery.clone(),
                providers: config.providers.clone(),
                empty_hold: settings.empty_hold,
                required: settings.required,
            };
            if self.running.get(name).is_none_or(|feed| feed.recipe != recipe) {
                let feed = self.start(service, settings, recipe);
                self.running.insert(Arc::clone(name), feed);
            }
        }
        let gone = |name: &Arc<str>| !config.services.contains_key(name);
        for service in self.running.keys().filter(|name| gone(name)) {
            // Its endpoints are gone for new sessions; the plan keeps the service while it has live ones.
            if let Some(service) = plan.services.get(service) {
                for endpoint in service.balance.snapshot().iter() {
                    let change = Change::Remove(endpoint.identity.clone());
                    service.apply(change.clone());
                    self.drains.follow(service, &change);
                }
            }
        }
        self.running.retain(|name, _| !gone(name));
    }

    fn start(&self, service: &Arc<Service>, settings: &config::Service, recipe: Recipe) -> Feed {
        let waits = settings.required && !service.balance.known();
        let token = waits.then(|| self.readiness.part(format!("service {}", settings.name)));
        let feeding = Feeding {
            service: Arc::clone(service),
            drains: self.drains.clone(),
            token,
        };
        let sources = supplies(&recipe.sources, &recipe.providers, &self.shared);
        let followed = discovery::Service {
            name: Arc::clone(&settings.name),
            sources,
            empty_hold: recipe.empty_hold,
            cache: self.shared.cache.clone(),
        };
        Feed {
            recipe,
            _task: Task::spawn(feeding.run(followed)),
        }
    }
}

impl Feeding {
    async fn run(mut self, service: discovery::Service) {
        let (followed, work) = follow(service);
        let snapshots = followed.snapshots();
        self.service.followed.store(Some(Arc::new(followed)));
        tokio::join!(work, self.apply(snapshots));
    }

    async fn apply(&mut self, snapshots: watch::Receiver<Option<Snapshot>>) {
        let balance = self.service.balance.clone();
        let mut changes = Changes::new(snapshots, balance.snapshot());
        while let Some(batch) = changes.next().await {
            for change in batch {
                self.service.apply(change.clone());
                self.drains.follow(&self.service, &change);
            }
            balance.mark_known();
            self.token = None;
        }
    }
}
