//! The open listeners, and how a reload changes them.
//!
//! A listener is the same as before if its configured address is: it is not closed, its connections are not touched, and
//! only its rules are swapped. New ones are bound before anything else changes, so that a reload that cannot bind fails
//! whole.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{StartError, Stop};
use crate::{
    config::{self, Config},
    listen::{Rules, Site, bind},
    policy::headers::Forwarding,
    telemetry::{Rarely, metrics::Metrics},
    tls::Server,
    worker::Workers,
};

/// The open listeners, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    site: Arc<Site>,
    _stop: Stop,
}

/// Listeners that a configuration adds, bound but not accepting.
#[derive(Debug)]
pub(super) struct Bound(Vec<(SocketAddr, TcpListener)>);

/// TLS of listeners, by their configured address; each that wants it has it.
type Servers = HashMap<SocketAddr, Arc<Server>>;

/// What a listener is opened with.
#[derive(Debug)]
pub(super) struct Opener<'a> {
    pub(super) workers: &'a mut Workers,
    pub(super) metrics: &'a Arc<Metrics>,
}

impl Listeners {
    /// Binds what `config` names and is not open yet.
    pub(super) fn bind(&self, config: &Config) -> Result<Bound, StartError> {
        let new = config
            .listeners
            .iter()
            .filter(|listener| self.find(listener.address).is_none());
        let bound = new.map(|listener| {
            let address = listener.address;
            let failed = |source| StartError::Listen { address, source };
            Ok((address, bind(address).map_err(failed)?))
        });
        bound.collect::<Result<_, _>>().map(Bound)
    }

    /// Takes over what was bound for this configuration, and closes what it does not name.
    pub(super) fn replace(&mut self, bound: Bound, config: &Config, tls: &Servers, opener: &mut Opener<'_>) {
        let mut before = std::mem::take(&mut self.open);
        let mut bound = bound.0;
        for settings in &config.listeners {
            let tls = tls.get(&settings.address);
            if let Some(at) = before
                .iter()
                .position(|open| open.site.configured == settings.address)
            {
                let open = before.remove(at);
                open.site
                    .rules
                    .store(Arc::new(rules(settings, open.site.bound.port(), config, tls)));
                self.open.push(open);
            } else if let Some(at) = bound.iter().position(|(address, _)| *address == settings.address) {
                let (configured, listener) = bound.remove(at);
                // The kernel knows the address of a socket that it has bound.
                let bound = listener.local_addr().unwrap_or(configured);
                let rules = rules(settings, bound.port(), config, tls);
                let site = Site {
                    configured,
                    bound,
                    rules: ArcSwap::from_pointee(rules),
                    metrics: Arc::clone(opener.metrics),
                    refusals: Rarely::default(),
                };
                self.open.push(Open::new(site, listener, opener.workers));
            }
        }
        for closed in before {
            tracing::info!(address = %closed.site.bound, "no longer listening");
        }
    }

    /// Closes all; their connections stay.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.open.iter().map(|open| open.site.bound).collect()
    }

    pub(super) fn sites(&self) -> Vec<Arc<Site>> {
        self.open.iter().map(|open| Arc::clone(&open.site)).collect()
    }

    fn find(&self, configured: SocketAddr) -> Option<&Open> {
        self.open.iter().find(|open| open.site.configured == configured)
    }
}

impl Open {
    fn new(site: Site, listener: TcpListener, workers: &mut Workers) -> Self {
        let site = Arc::new(site);
        let (stop, stopped) = watch::channel(false);
        workers.accept(listener, Arc::clone(&site), stopped);
        tracing::info!(listener = %site.configured, address = %site.bound, "listening");
        Self {
            site,
            _stop: Stop(stop),
        }
    }
}

fn rules(listener: &config::Listener, port: u16, config: &Config, tls: Option<&Arc<Server>>) -> Rules {
    let forwarding = Forwarding::new(port, tls.is_some(), &listener.trusted_proxies);
    Rules {
        forwarding: Arc::new(forwarding),
        limits: config.limits.clone(),
        http2: listener.http2,
        tls: tls.cloned(),
        proxy_protocol: listener.proxy_protocol,
    }
}
