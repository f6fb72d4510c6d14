//! What all workers share: the plan that handshakes follow, the services, the live sessions.
//!
//! In: a checked [`Config`], at start and at every reload. Out: one [`Plan`], swapped as a whole, so that a handshake
//! sees the old routes or the new ones and never a mixture.
//!
//! - A [`Service`] is found again by its name: its counts, its ejections and its endpoints survive every reload.
//! - A service that no route binds to any more is kept as long as it has sessions.
//!
//! Not here: who feeds endpoints and who drains ([`crate::app`], [`crate::drain`]).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use discovery::{Endpoint, Followed, Identity, State};
use http::{HeaderMap, header};
use tokio::sync::Notify;
use tower::discover::Change;

use crate::{
    affinity::{Directory, Keyring},
    balance::{Balance, Settings},
    config::{self, Config},
    route::Table,
    session::Sessions,
    telemetry::{
        Rarely,
        metrics::{AffinityMetrics, Metrics, RouteMetrics},
    },
    tls::{Client, Target},
};

/// TLS with the endpoints of services, by the service's name; each that wants it has it.
pub type Clients = HashMap<Arc<str>, Arc<Client>>;

/// What all workers share.
#[derive(Debug)]
pub struct Router {
    /// What new handshakes follow.
    pub plan: ArcSwap<Plan>,
    /// Every live session.
    pub sessions: Arc<Sessions>,
    /// Every counter.
    pub metrics: Arc<Metrics>,
    /// What tags are made with.
    keyring: ArcSwap<Keyring>,
    draining: AtomicBool,
    drained: Notify,
    /// Held by every handshake that is under way.
    handshakes: Arc<()>,
}

/// A handshake that is under way, from its dial until its session is registered.
#[derive(Clone, Debug)]
pub struct UnderWay(#[expect(dead_code, reason = "counted, never read")] Arc<()>);

/// The routes and services of one configuration.
#[derive(Debug)]
pub struct Plan {
    /// Finds the route of a request.
    pub table: Table,
    /// The routes by name, with what they lead to. A name is for people: two routes may have the same.
    pub routes: HashMap<Arc<str>, Arc<Planned>>,
    /// The same by where the table's own copy is, which no other route can have.
    by_address: HashMap<usize, Arc<Planned>>,
    /// The services by name.
    pub services: HashMap<Arc<str>, Arc<Service>>,
}

/// A route with what it leads to.
#[derive(Debug)]
pub struct Planned {
    /// The route as configured.
    pub route: Arc<config::Route>,
    /// The service that it binds to.
    pub service: Arc<Service>,
    /// Its counters.
    pub metrics: Arc<RouteMetrics>,
}

/// A service and its endpoints.
#[derive(Debug)]
pub struct Service {
    /// Picks endpoints; the same through all reloads.
    pub balance: Balance,
    /// Its settings in the current configuration.
    pub settings: ArcSwap<config::Service>,
    /// Which of its endpoints a tag means.
    pub directory: Directory,
    /// What its affinity has come to.
    pub affinity: AffinityMetrics,
    /// TLS with its endpoints: always there when the settings want it.
    tls: ArcSwapOption<Client>,
    /// How its sources are doing; `None` before they are followed.
    pub followed: ArcSwapOption<Followed>,
    /// When its handshakes fail, how often that is said.
    pub failures: Rarely,
    /// Endpoints that an operator drains, with the state that discovery gives them.
    held: Mutex<HashMap<Identity, State>>,
}

// === impl Router ===

impl Router {
    /// With the plan of a first configuration.
    pub fn new(config: &Config, clients: &Clients, workers: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let keyring = Arc::new(Keyring::default());
        let plan = Plan::new(config, clients, &HashMap::new(), &metrics, &keyring);
        Arc::new(Self {
            plan: ArcSwap::from_pointee(plan),
            sessions: Sessions::new(workers),
            metrics,
            keyring: ArcSwap::new(keyring),
            draining: AtomicBool::new(false),
            drained: Notify::new(),
            handshakes: Arc::new(()),
        })
    }

    /// Swaps in the plan of another configuration and returns the one before.
    pub fn follow(&self, config: &Config, clients: &Clients) -> Arc<Plan> {
        let keyring = self.keyring.load();
        let plan = Plan::new(
            config,
            clients,
            &self.plan.load().services,
            &self.metrics,
            &keyring,
        );
        self.plan.swap(Arc::new(plan))
    }

    /// Makes tags with other keys from now on, and reads those of all that it has. Until this is first called nothing is
    /// tagged.
    pub fn rekey(&self, keyring: Arc<Keyring>) {
        for service in self.plan.load().services.values() {
            service.directory.rekey(&keyring, || service.balance.snapshot());
        }
        self.keyring.store(keyring);
    }

    /// Turns new handshakes away from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drained.notify_waiters();
    }

    /// Ready when new handshakes begin to be turned away, which may have been before.
    pub fn drained(&self) -> impl Future<Output = ()> {
        self.drained.notified()
    }

    /// Counts a handshake until what is returned is dropped.
    pub fn begin(&self) -> UnderWay {
        UnderWay(Arc::clone(&self.handshakes))
    }

    /// Handshakes that may still become sessions.
    pub fn handshakes(&self) -> usize {
        Arc::strong_count(&self.handshakes) - 1
    }

    /// Whether new handshakes are turned away.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

// === impl Plan ===

impl Plan {
    fn new(
        config: &Config,
        clients: &Clients,
        before: &HashMap<Arc<str>, Arc<Service>>,
        metrics: &Arc<Metrics>,
        keyring: &Arc<Keyring>,
    ) -> Self {
        let mut services: HashMap<_, _> = before
            .iter()
            .filter(|(name, service)| !config.services.contains_key(*name) && service.has_sessions())
            .map(|(name, service)| (Arc::clone(name), Arc::clone(service)))
            .collect();
        for (name, settings) in &config.services {
            let client = clients.get(name).cloned();
            let service = match before.get(name) {
                Some(service) => {
                    // Before the settings that want it, and never taken away: a handshake reads the settings first.
                    if let Some(client) = client {
                        service.secure(client);
                    }
                    service.balance.reconfigure(balance_settings(settings));
                    service.settings.store(Arc::clone(settings));
                    Arc::clone(service)
                }
                None => Arc::new(Service::new(settings, client, metrics, keyring)),
            };
            let is_hashed = settings.affinity.iter().any(config::Affinity::is_hashed);
            service.balance.expect_hashes(is_hashed);
            services.insert(Arc::clone(name), service);
        }
        let mut routes = HashMap::new();
        let mut by_address = HashMap::new();
        for route in &config.routes {
            let Some(service) = services.get(&route.service) else {
                continue;
            };
            let planned = Arc::new(Planned {
                route: Arc::clone(route),
                service: Arc::clone(service),
                metrics: metrics.route(&route.name, &route.service),
            });
            by_address.insert(address(route), Arc::clone(&planned));
            routes.insert(Arc::clone(&route.name), planned);
        }
        Self {
            table: Table::new(&config.routes),
            routes,
            by_address,
            services,
        }
    }
}

impl Plan {
    /// What a route of the table leads to.
    pub fn planned(&self, route: &Arc<config::Route>) -> Option<&Arc<Planned>> {
        self.by_address.get(&address(route))
    }
}

fn address(route: &Arc<config::Route>) -> usize {
    Arc::as_ptr(route).addr()
}

// === impl Service ===

impl Service {
    fn new(
        settings: &Arc<config::Service>,
        client: Option<Arc<Client>>,
        metrics: &Metrics,
        keyring: &Arc<Keyring>,
    ) -> Self {
        Self {
            directory: Directory::new(Arc::clone(&settings.name), Arc::clone(keyring)),
            affinity: metrics.affinity(&settings.name),
            tls: ArcSwapOption::new(client),
            balance: Balance::new(Arc::clone(&settings.name), balance_settings(settings)),
            settings: ArcSwap::new(Arc::clone(settings)),
            followed: ArcSwapOption::empty(),
            failures: Rarely::default(),
            held: Mutex::default(),
        }
    }

    /// Speaks TLS with its endpoints like this from now on, if it is to speak TLS.
    pub fn secure(&self, client: Arc<Client>) {
        self.tls.store(Some(client));
    }

    /// How its endpoints are spoken to over TLS for a request with this header, as it goes out; `None`: without TLS.
    pub fn target(
        &self,
        settings: &config::Service,
        route: &config::Route,
        headers: &HeaderMap,
    ) -> Option<Target> {
        settings.tls.as_ref()?;
        let client = self.tls.load();
        let client = client
            .as_ref()
            .expect("TLS is there before the settings that want it");
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let theirs = matches!(route.host, config::HostRewrite::Preserve);
        Some(client.target(host, theirs))
    }

    /// Takes in one change of the endpoint set; what an operator drains stays draining.
    pub fn apply(&self, change: Change<Identity, Endpoint>) {
        let (identity, listed) = match &change {
            Change::Insert(identity, _) => (identity.clone(), true),
            Change::Remove(identity) => (identity.clone(), false),
        };
        self.apply_held(change);
        // Afterwards: whoever finds an endpoint there finds it in the balance step too.
        match listed {
            true => self.directory.insert(&identity),
            false => self.directory.remove(&identity),
        }
    }

    fn apply_held(&self, change: Change<Identity, Endpoint>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.balance.apply(match change {
            Change::Insert(identity, endpoint) => match held.get_mut(&identity) {
                Some(state) => {
                    *state = endpoint.state;
                    Change::Insert(identity, drained(endpoint))
                }
                None => Change::Insert(identity, endpoint),
            },
            remove @ Change::Remove(_) => remove,
        });
    }

    /// Gives an endpoint no new sessions until [`Service::release`]; false if there is no such endpoint.
    pub fn hold(&self, identity: &Identity) -> bool {
        let Some(endpoint) = self.listed(identity) else {
            return false;
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(identity.clone()).or_insert(endpoint.state);
        self.balance
            .apply(Change::Insert(identity.clone(), drained(endpoint)));
        true
    }

    /// Takes back [`Service::hold`]; false if there is no such endpoint.
    pub fn release(&self, identity: &Identity) -> bool {
        let listed = self.listed(identity);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let state = held.remove(identity);
        // One that is gone is let go of too, for when it comes back.
        let known = state.is_some() || listed.is_some();
        if let (Some(state), Some(endpoint)) = (state, listed) {
            self.balance
                .apply(Change::Insert(identity.clone(), Endpoint { state, ..endpoint }));
        }
        known
    }

    /// Whether an operator drains this endpoint.
    pub fn is_held(&self, identity: &Identity) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.contains_key(identity)
    }

    /// The state of an endpoint that discovery lists, an operator's drain included.
    pub fn state(&self, identity: &Identity) -> Option<State> {
        self.listed(identity).map(|endpoint| endpoint.state)
    }

    fn listed(&self, identity: &Identity) -> Option<Endpoint> {
        self.balance
            .snapshot()
            .iter()
            .find(|endpoint| endpoint.identity == *identity)
            .cloned()
    }

    fn has_sessions(&self) -> bool {
        self.balance
            .endpoints()
            .iter()
            .any(|endpoint| endpoint.sessions > 0)
    }
}

fn drained(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        state: State::Draining,
        ..endpoint
    }
}

fn balance_settings(settings: &config::Service) -> Settings {
    Settings {
        strategy: settings.balance,
        max_sessions_per_endpoint: settings.max_sessions_per_endpoint,
    }
}
