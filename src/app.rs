//! The life of a router: what a configuration opens, what a reload changes, how it ends.
//!
//! In: checked configurations. Out: open listeners, fed services, an admin address; and an end that loses no session
//! without a word.
//!
//! - A reload is all or nothing: what can fail (a new listener's address) is done first, then everything is swapped.
//! - No reload touches a live session. Sessions of what was removed follow their service's `drain`.
//! - Every task that is started here is owned here and ends with this.
//!
//! This runs on the control thread. Not here: what happens on the workers ([`crate::worker`]), signals and the config
//! file ([`crate::process`]).

mod announce;
mod certificates;
mod drains;
mod feed;
mod listeners;
mod operator;
mod secrets;
mod sources;
mod task;

use std::{
    collections::HashMap, io, net::SocketAddr, num::NonZeroUsize, sync::Arc, thread::available_parallelism,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use self::{
    announce::Announcement,
    certificates::{Certificates, Loaded},
    drains::Drains,
    feed::Feeds,
    listeners::{Bound, Listeners, Opener},
    operator::Operator,
    secrets::Secrets,
    task::Task,
};
use crate::{
    admin::{self, Readiness, Sources, TokenFile},
    affinity::SecretError,
    config::{Config, DrainMode},
    drain::{self, Terms},
    listen::{Admission, raise_descriptor_limit},
    router::{Plan, Router},
    session::Cause,
    stack::{self, Extra},
    telemetry::{LogLoss, metrics::Metrics},
    tls::BadFile,
    worker::Workers,
};

/// A running router.
#[derive(Debug)]
pub struct App {
    config: Config,
    router: Arc<Router>,
    workers: Workers,
    listeners: Listeners,
    certificates: Certificates,
    feeds: Feeds,
    drains: Drains,
    announcement: Announcement,
    secrets: Secrets,
    /// Drains of removed routes, by name.
    leaving: HashMap<Arc<str>, Task>,
    readiness: Readiness,
    token: Arc<TokenFile>,
    admin: Option<(SocketAddr, Task)>,
}

/// What a router is started with besides its configuration.
#[derive(Debug, Default)]
pub struct Options {
    /// A layer of an embedder's own.
    pub layer: Option<Extra>,
    /// Pages beside the admin console.
    pub pages: Option<axum::Router>,
    /// Where dropped log lines are counted.
    pub loss: LogLoss,
}

/// Why a configuration could not be opened. Nothing of it is in use then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The admin address.
    #[error("cannot open the admin address {address}")]
    Admin {
        /// The address as configured.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A secret of affinity.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The files of a listener's or a service's TLS.
    #[error("cannot use the TLS files of {of}")]
    Tls {
        /// Of what.
        of: String,
        /// Which file, and why.
        source: BadFile,
    },
    /// The worker threads.
    #[error("cannot start the workers")]
    Workers(#[source] io::Error),
}

impl App {
    /// Opens everything that `config` names; must run within the control thread's runtime.
    pub async fn start(config: Config, options: Options) -> Result<Self, StartError> {
        let count = config
            .workers
            .or_else(|| available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        let readiness = Readiness::default();
        let opening = readiness.part("listeners");
        let metrics = Metrics::new(options.loss);
        let loaded = Loaded::of(&config, None)?;
        let router = Router::new(&config, &loaded.clients, count, Arc::clone(&metrics));
        let admission = Admission::new(count, raise_descriptor_limit(), config.limits.connections);
        let mut secrets = Secrets::default();
        let prepared = secrets.prepare(&config)?;
        secrets.follow(prepared, &router);
        let bound = Listeners::default().bind(&config)?;
        let stack = stack::build(&router, options.layer.as_ref());
        let workers = Workers::start(&router, &admission, count, &stack, options.layer.is_some())
            .map_err(StartError::Workers)?;
        let drains = Drains::new(&router);
        let mut app = Self {
            token: TokenFile::new(config.admin.as_ref().and_then(|admin| admin.token_file.clone())),
            feeds: Feeds::new(&router, &readiness, &drains),
            drains,
            announcement: Announcement::default(),
            secrets,
            leaving: HashMap::new(),
            listeners: Listeners::default(),
            certificates: Certificates::default(),
            admin: None,
            config,
            router,
            workers,
            readiness,
        };
        app.open_admin(options.pages).await?;
        app.feeds.follow(&app.config);
        app.open(bound, loaded);
        app.tell_addresses();
        tracing::info!(workers = count, connections = admission.limit(), "started");
        drop(opening);
        Ok(app)
    }

    async fn open_admin(&mut self, pages: Option<axum::Router>) -> Result<(), StartError> {
        let Some(settings) = &self.config.admin else {
            return Ok(());
        };
        let address = settings.address;
        let failed = |source| StartError::Admin { address, source };
        let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let operator = Operator::new(&self.router, self.workers.admission(), &self.drains);
        let sources = Sources {
            sessions: Arc::clone(&self.router.sessions),
            services: operator.services(),
            metrics: Arc::clone(&self.router.metrics),
            ready: self.readiness.clone(),
            control: Arc::new(operator),
            token: Arc::clone(&self.token),
        };
        tracing::info!(address = %bound, "admin listening");
        let serving = async move {
            if let Err(error) = admin::serve(listener, sources, pages, std::future::pending()).await {
                tracing::error!(%error, "the admin address failed");
            }
        };
        self.admin = Some((bound, Task::spawn(serving)));
        Ok(())
    }

    /// Changes over to another configuration; on an error the old one stays as it was.
    pub fn reload(&mut self, config: Config) -> Result<(), StartError> {
        let secrets = self.secrets.prepare(&config)?;
        let bound = self.listeners.bind(&config)?;
        let loaded = Loaded::of(&config, Some((&self.config, &self.listeners)))?;
        self.warn_of_what_stays(&config);
        let before = self.router.follow(&config, &loaded.clients);
        self.secrets.follow(secrets, &self.router);
        self.feeds.follow(&config);
        self.workers.admission().reconfigure(config.limits.connections);
        self.token
            .set(config.admin.as_ref().and_then(|admin| admin.token_file.clone()));
        self.config = config;
        self.open(bound, loaded);
        self.tell_addresses();
        self.drain_removed_routes(&before);
        Ok(())
    }

    /// Opens the listeners of the configuration, with what was bound and loaded for it.
    fn open(&mut self, bound: Bound, loaded: Loaded) {
        let mut opener = Opener {
            workers: &mut self.workers,
            metrics: &self.router.metrics,
        };
        self.listeners
            .replace(bound, &self.config, &loaded.servers, &mut opener);
        self.certificates = loaded.follow(&self.listeners, &self.router);
    }

    /// A registry must not lead sessions back to this process, but may lead clients to it.
    fn tell_addresses(&mut self) {
        let (listeners, admin) = (self.listeners.addresses(), self.admin_address());
        let own = listeners.iter().copied().chain(admin).collect();
        self.feeds.shared().own.set(own);
        self.announcement
            .follow(&self.config, &listeners, admin, self.feeds.shared());
    }

    fn warn_of_what_stays(&self, config: &Config) {
        if config.workers != self.config.workers {
            tracing::warn!("a change of `workers` takes effect at the next start");
        }
        let address = |config: &Config| config.admin.as_ref().map(|admin| admin.address);
        if address(config) != address(&self.config) {
            tracing::warn!("a change of `admin.address` takes effect at the next start");
        }
    }

    /// Sessions of a removed route follow their service's `drain`; those of a route that is back are left alone.
    fn drain_removed_routes(&mut self, before: &Plan) {
        let plan = self.router.plan.load();
        self.leaving
            .retain(|name, drain| !plan.routes.contains_key(name) && !drain.is_finished());
        for (name, planned) in before
            .routes
            .iter()
            .filter(|(name, _)| !plan.routes.contains_key(*name))
        {
            let terms = planned.service.settings.load().drain;
            if terms.mode == DrainMode::Keep {
                continue;
            }
            let patience = planned.service.settings.load().handshake_timeout;
            let drain = drain_route(Arc::clone(&self.router), Arc::clone(name), terms.into(), patience);
            self.leaving.insert(Arc::clone(name), Task::spawn(drain));
        }
    }

    /// Ends the router properly: not ready, `delay`, no new connections, Closes over `window`, a cut at `deadline`.
    pub async fn shutdown(mut self) {
        let settings = self.config.shutdown;
        self.readiness.drain();
        tracing::info!(sessions = self.router.sessions.len(), "shutting down");
        self.announcement.drain();
        sleep(settings.delay).await;
        self.router.drain();
        self.listeners.close();
        let terms = Terms {
            window: settings.window,
            deadline: settings.deadline,
            close_code: 1001,
            cause: Cause::Shutdown,
        };
        // What does not end when it is cut at the deadline is not waited for.
        let _ = timeout(settings.deadline + SETTLE, self.empty(terms)).await;
        tracing::info!(sessions = self.router.sessions.len(), "stopped");
        self.announcement.end().await;
    }

    async fn empty(&self, terms: Terms) {
        let start = Instant::now();
        loop {
            drain::run(terms, start, || self.router.sessions.all()).await;
            // A handshake that was under way may still become a session.
            if self.router.handshakes() == 0 && self.router.sessions.is_empty() {
                return;
            }
            sleep(LATE).await;
        }
    }

    /// The addresses of the listeners, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// The admin address.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(address, _)| *address)
    }

    /// What all workers share.
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Which parts are not ready yet.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The configuration in use.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// How often a handshake that is the last thing left is looked for.
const LATE: Duration = Duration::from_millis(10);

/// How long sessions that were cut at the deadline have to end.
const SETTLE: Duration = Duration::from_secs(1);

/// Drains the sessions of a removed route, those included whose handshake was under way when it was removed.
async fn drain_route(router: Arc<Router>, route: Arc<str>, terms: Terms, patience: Duration) {
    let start = Instant::now();
    let leaving = || {
        let mut sessions = Vec::new();
        router.sessions.each(|session| {
            if session.route == route {
                sessions.push(Arc::clone(session));
            }
        });
        sessions
    };
    loop {
        drain::run(terms, start, leaving).await;
        if router.handshakes() == 0 || start.elapsed() > patience {
            return;
        }
        sleep(LATE).await;
    }
}

impl From<crate::config::Drain> for Terms {
    fn from(drain: crate::config::Drain) -> Self {
        Self {
            window: drain.window,
            deadline: drain.deadline,
            close_code: drain.close_code,
            cause: Cause::Drain,
        }
    }
}

/// Says stop to whoever listens, when it is dropped at the latest.
#[derive(Debug)]
struct Stop(watch::Sender<bool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}
