//! This process as a service in a registry, if its configuration wants that.
//!
//! In: a configuration, and the addresses that are open. Out: a registration in Consul that is kept while the process
//! serves, in maintenance while it drains, and gone when it ends.
//!
//! Nothing waits for a registry: one that cannot be reached costs an end of at most [`PATIENCE`].

use std::{net::SocketAddr, sync::Arc, time::Duration};

use discovery::provider::consul::{Agent, HttpCheck, Registered, Registration};
use tokio::time::timeout;

use super::{sources::Shared, task::Task};
use crate::config::{Config, Register};

/// The registration, if there is one.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    current: Option<Announced>,
    /// What says goodbye for the one before.
    leaving: Option<Task>,
}

#[derive(Debug)]
struct Announced {
    registered: Registered,
    agent: Arc<Agent>,
    registration: Arc<Registration>,
    work: Task,
}

impl Announcement {
    /// Registers what the configuration says, in place of what was registered before.
    pub(super) fn follow(
        &mut self,
        config: &Config,
        listeners: &[SocketAddr],
        admin: Option<SocketAddr>,
        shared: &Shared,
    ) {
        let provider = &config.providers.consul;
        let wanted = provider.register.as_ref();
        let wanted = wanted.and_then(|register| registered(register, *listeners.first()?, admin));
        let wanted = wanted.map(|registered| (registered, shared.consul(&provider.agent)));
        let same = match (&self.current, &wanted) {
            (None, None) => true,
            (Some(before), Some((registered, agent))) => {
                before.registered == *registered && Arc::ptr_eq(&before.agent, agent)
            }
            _ => false,
        };
        if same {
            return;
        }
        if let Some(before) = self.current.take() {
            let known = |agent: &Agent| agent.settings().addresses.first().cloned();
            let stays = wanted.as_ref().is_some_and(|(registered, agent)| {
                registered.id == before.registered.id && known(agent) == known(&before.agent)
            });
            if !stays {
                self.leaving = Some(Task::spawn(async move { leave(&before.registration).await }));
            }
        }
        self.current = wanted.map(|(registered, agent)| Announced::new(registered, agent));
    }

    /// Nobody is to find this process any more. Does not wait for that.
    pub(super) fn drain(&mut self) {
        if let Some(Announced {
            registration, work, ..
        }) = &mut self.current
        {
            let registration = Arc::clone(registration);
            // What is in maintenance must not be registered anew.
            *work = Task::spawn(async move {
                if let Err(error) = registration.drain().await {
                    tracing::warn!(error = %told(&error), "not in maintenance in Consul");
                }
            });
        }
    }

    /// This process is no more.
    pub(super) async fn end(self) {
        if let Some(Announced { registration, .. }) = self.current {
            leave(&registration).await;
        }
    }
}

impl Announced {
    fn new(registered: Registered, agent: Arc<Agent>) -> Self {
        let registration = Arc::new(Registration::new(Arc::clone(&agent), registered.clone()));
        let kept = Arc::clone(&registration);
        let work = Task::spawn(async move { match kept.keep().await {} });
        Self {
            registered,
            agent,
            registration,
            work,
        }
    }
}

async fn leave(registration: &Registration) {
    match timeout(PATIENCE, registration.leave()).await {
        Ok(Ok(())) => tracing::info!("deregistered in Consul"),
        Ok(Err(error)) => tracing::warn!(error = %told(&error), "still registered in Consul"),
        Err(_) => tracing::warn!("still registered in Consul: no answer"),
    }
}

/// An error with what it came from.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What is registered; `None` where no listener is open.
fn registered(register: &Register, listener: SocketAddr, admin: Option<SocketAddr>) -> Option<Registered> {
    let port = register.port.unwrap_or(listener.port());
    let own = (!listener.ip().is_unspecified()).then_some(listener.ip());
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    let id = format!("{}-{machine}-{port}", register.service);
    let url = register.check.clone().or_else(|| {
        let mut admin = admin?;
        if admin.ip().is_unspecified() {
            // The agent of this machine.
            admin.set_ip(match admin {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(format!("http://{admin}/readyz").into())
    });
    Some(Registered {
        name: register.service.clone(),
        id: register.id.clone().unwrap_or(id.into()),
        address: register.address.or(own),
        port,
        tags: register.tags.clone(),
        check: url.map(|url| HttpCheck {
            url,
            interval: INTERVAL,
            timeout: INTERVAL / 2,
            forget_after: FORGET,
        }),
    })
}

/// An end has other things to do than to wait for a registry.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a new process is found by, at the latest.
const INTERVAL: Duration = Duration::from_secs(5);
/// A process that was killed is forgotten after this.
const FORGET: Duration = Duration::from_secs(300);
