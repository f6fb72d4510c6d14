//! The files of TLS: read at the start and at each reload, and followed in between.
//!
//! In: a configuration that is to be used, later the kernel's word that a file has changed. Out: TLS for listeners and
//! services, swapped whole; connections that have TLS keep what they have.
//!
//! - At the start and for what a reload adds, files that cannot be used are an error. For what is in use already, what is
//!   in use stays, and a line says why: half of a pair, a file half written, or a CA file that is gone never opens a
//!   listener to more clients than before, nor closes it to those of before.
//! - What could not be used is tried again at every look at the files, until it can.
//!
//! Not here: what is in the files ([`crate::tls`]).

use std::{collections::HashMap, fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use discovery::files::Changes;

use super::{StartError, listeners::Listeners, task::Task};
use crate::{
    config::{Config, Listener, ListenerTls, Pair, Service, ServiceTls},
    listen::{Rules, Site},
    router::{Clients, Router},
    tls::{BadFile, Client, Server},
};

/// TLS for a configuration, not in use yet.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Of listeners, by their configured address.
    pub(super) servers: HashMap<SocketAddr, Arc<Server>>,
    /// Of services, by name; not of those whose files could not be read again.
    pub(super) clients: Clients,
    parts: Vec<Part>,
    changes: Changes,
}

/// Follows the files of one configuration; dropping it ends that.
#[derive(Debug, Default)]
pub(super) struct Certificates(#[expect(dead_code, reason = "held for its end")] Option<Task>);

/// A listener or a service with TLS.
#[derive(Debug)]
struct Part {
    whose: Whose,
    files: Vec<PathBuf>,
    /// Why its files could not be used when they were last looked at.
    failed: Option<String>,
}

#[derive(Debug)]
enum Whose {
    /// With whether it offers HTTP/2.
    Listener(SocketAddr, ListenerTls, bool),
    Service(Arc<str>, ServiceTls),
}

// === impl Loaded ===

impl Loaded {
    /// Reads all files that `config` names. `before` is what is in use.
    pub(super) fn of(config: &Config, before: Option<(&Config, &Listeners)>) -> Result<Self, StartError> {
        let mut parts: Vec<Part> = parts(config).collect();
        let files = parts.iter().flat_map(|part| part.files.iter().cloned());
        // Watched before they are read, so that no change falls between.
        let changes = Changes::watch(files);
        let (mut servers, mut clients) = (HashMap::new(), HashMap::new());
        for part in &mut parts {
            let failed = match &part.whose {
                Whose::Listener(address, tls, http2) => {
                    let used =
                        before.and_then(|(before, open)| in_use(before, open, *address, (tls, *http2)));
                    let read = Server::load(tls, *http2).map(Arc::new);
                    let (server, failed) = either(read, used, &part.whose)?;
                    servers.insert(*address, server);
                    failed
                }
                Whose::Service(name, tls) => {
                    let same = |service: &Arc<Service>| service.tls.as_ref() == Some(tls);
                    let used = before
                        .and_then(|(before, _)| before.services.get(name))
                        .filter(|it| same(it));
                    let read = Client::load(tls).map(|client| Some(Arc::new(client)));
                    // The router has it still.
                    let (client, failed) = either(read, used.map(|_| None), &part.whose)?;
                    clients.extend(client.map(|client| (Arc::clone(name), client)));
                    failed
                }
            };
            part.failed = failed;
            part.warn_of_skipping();
        }
        Ok(Self {
            servers,
            clients,
            parts,
            changes,
        })
    }

    /// Follows the files from now on.
    pub(super) fn follow(self, listeners: &Listeners, router: &Arc<Router>) -> Certificates {
        if self.parts.is_empty() {
            return Certificates(None);
        }
        let following = follow(self.parts, self.changes, listeners.sites(), Arc::clone(router));
        Certificates(Some(Task::spawn(following)))
    }
}

/// What was read; if it cannot be used, what is used now, and why.
fn either<T>(
    read: Result<T, BadFile>,
    used: Option<T>,
    whose: &Whose,
) -> Result<(T, Option<String>), StartError> {
    match (read, used) {
        (Ok(read), _) => Ok((read, None)),
        (Err(error), Some(used)) => {
            let error = error.to_string();
            tracing::warn!(of = %whose, %error, "TLS files cannot be used; the ones before stay");
            Ok((used, Some(error)))
        }
        (Err(source), None) => {
            let of = whose.to_string();
            Err(StartError::Tls { of, source })
        }
    }
}

/// What a listener that stays as it is uses now.
fn in_use(
    before: &Config,
    open: &Listeners,
    address: SocketAddr,
    (tls, http2): (&ListenerTls, bool),
) -> Option<Arc<Server>> {
    let same = |listener: &&Listener| {
        listener.address == address && listener.tls.as_ref() == Some(tls) && listener.http2 == http2
    };
    before.listeners.iter().find(same)?;
    let sites = open.sites();
    let site = sites.iter().find(|site| site.configured == address)?;
    site.rules.load().tls.clone()
}

fn parts(config: &Config) -> impl Iterator<Item = Part> {
    let listeners = config.listeners.iter().filter_map(|listener| {
        let tls = listener.tls.clone()?;
        let pairs = tls.certificates.iter().flat_map(files_of);
        Some(Part {
            files: pairs.chain(tls.client_ca.clone()).collect(),
            whose: Whose::Listener(listener.address, tls, listener.http2),
            failed: None,
        })
    });
    let services = config.services.values().filter_map(|service| {
        let tls = service.tls.clone()?;
        let own = tls.own.iter().flat_map(files_of);
        Some(Part {
            files: own.chain(tls.ca.clone()).collect(),
            whose: Whose::Service(Arc::clone(&service.name), tls),
            failed: None,
        })
    });
    listeners.chain(services)
}

fn files_of(pair: &Pair) -> [PathBuf; 2] {
    [pair.certificate.clone(), pair.key.clone()]
}

async fn follow(mut parts: Vec<Part>, mut changes: Changes, sites: Vec<Arc<Site>>, router: Arc<Router>) {
    loop {
        let changed = changes.next_look().await;
        for part in &mut parts {
            if part.failed.is_some() || part.files.iter().any(|file| changed.contains(file)) {
                part.renew(&sites, &router);
            }
        }
    }
}

// === impl Part ===

impl Part {
    /// Reads the files again and uses what they hold, if that can be used.
    fn renew(&mut self, sites: &[Arc<Site>], router: &Router) {
        let error = match self.whose.renew(sites, router) {
            Ok(()) => {
                tracing::info!(of = %self.whose, "TLS files read again");
                self.failed = None;
                return;
            }
            Err(error) => error.to_string(),
        };
        // Said once for each of the states that a replacement goes through, not at every look.
        if self.failed.as_ref() != Some(&error) {
            tracing::warn!(of = %self.whose, %error, "TLS files cannot be used; the ones before stay");
            self.failed = Some(error);
        }
    }

    fn warn_of_skipping(&self) {
        if let Whose::Service(
            _,
            ServiceTls {
                skip_verify: true, ..
            },
        ) = self.whose
        {
            tracing::warn!(of = %self.whose, "insecure_skip_verify: anyone can pretend to be an endpoint");
        }
    }
}

impl Whose {
    fn renew(&self, sites: &[Arc<Site>], router: &Router) -> Result<(), BadFile> {
        match self {
            Self::Listener(address, tls, http2) => {
                let server = Arc::new(Server::load(tls, *http2)?);
                for site in sites.iter().filter(|site| site.configured == *address) {
                    site.rules.rcu(|rules| Rules {
                        tls: Some(Arc::clone(&server)),
                        ..Rules::clone(rules)
                    });
                }
            }
            Self::Service(name, tls) => {
                let client = Arc::new(Client::load(tls)?);
                if let Some(service) = router.plan.load().services.get(name) {
                    service.secure(client);
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(address, ..) => write!(f, "listener {address}"),
            Self::Service(name, _) => write!(f, "service {name}"),
        }
    }
}
