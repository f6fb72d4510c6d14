//! This process as a service in Consul, for those who look for it there.
//!
//! In: an [`Agent`] and what to say of this process. Out: a service that is registered for as long as
//! [`keep`](Registration::keep) runs, again if its agent forgets it; in maintenance after
//! [`drain`](Registration::drain), so that nobody sends anything new; gone after [`leave`](Registration::leave).
//!
//! - A registration belongs to one agent, the first of the addresses: at a second one it would be a second instance.
//! - Its check is Consul's to run. Until it has passed once, the service is critical: it is announced when it is ready.
//! - Nothing but the own id is ever touched.
//!
//! Not here: when to drain and to leave, which is for whoever ends the process to say.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    agent::Agent,
    answer::{Answer, Failure},
    request::Target,
    settings::Scope,
};
use crate::{backoff::Backoff, provider::Error};

/// What is said of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The name of the service.
    pub name: Box<str>,
    /// Which of its instances this is; unique on its node.
    pub id: Box<str>,
    /// Absent: that of the agent's node.
    pub address: Option<IpAddr>,
    /// Where clients connect.
    pub port: u16,
    /// For whoever looks for it.
    pub tags: Vec<Box<str>>,
    /// How Consul sees whether it works; absent: as long as its node does.
    pub check: Option<HttpCheck>,
}

/// A check by HTTP, run by the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Answers 200 while all is well.
    pub url: Box<str>,
    /// From one to the next.
    pub interval: Duration,
    /// Until it counts as failed.
    pub timeout: Duration,
    /// Critical for so long, it is taken for dead and deregistered.
    pub forget_after: Duration,
}

/// This process in Consul.
#[derive(Debug)]
pub struct Registration {
    agent: Arc<Agent>,
    registered: Registered,
}

// === impl Registration ===

impl Registration {
    /// Says nothing yet.
    pub fn new(agent: Arc<Agent>, registered: Registered) -> Self {
        Self { agent, registered }
    }

    /// Registers, and registers again whenever the agent does not know of it. Dropping it leaves what is registered.
    pub async fn keep(&self) -> Infallible {
        let mut waits = Backoff::try_new(SOON, SOON_AT_MOST).expect("both are constants");
        loop {
            let Err(failure) = self.register_and_watch(&mut waits).await;
            tracing::warn!(
                id = &*self.registered.id,
                error = %words(&failure),
                "not registered in Consul; trying again"
            );
            sleep(waits.after_failure()).await;
        }
    }

    /// In maintenance from now on: who looks for it finds others.
    pub async fn drain(&self) -> Result<(), Error> {
        let target = Target::path("/v1/agent/service/maintenance")
            .segment(&self.registered.id)
            .within(&self.scope())
            .with("enable", "true")
            .with("reason", "draining");
        Ok(self.put(&target, &Value::Null).await.map(drop)?)
    }

    /// Deregisters. What is not known is gone already.
    pub async fn leave(&self) -> Result<(), Error> {
        let target = Target::path("/v1/agent/service/deregister")
            .segment(&self.registered.id)
            .within(&self.scope());
        match self.put(&target, &Value::Null).await {
            Err(failure) if failure.status() != Some(http::StatusCode::NOT_FOUND) => Err(failure.into()),
            _ => Ok(()),
        }
    }

    async fn register_and_watch(&self, waits: &mut Backoff) -> Result<Infallible, Failure> {
        let register = Target::path("/v1/agent/service/register").within(&self.scope());
        loop {
            self.put(&register, &self.body()).await?;
            waits.reset();
            tracing::info!(
                id = &*self.registered.id,
                name = &*self.registered.name,
                "registered in Consul"
            );
            self.until_unknown().await?;
        }
    }

    /// Ends when the agent does not know of it any more.
    async fn until_unknown(&self) -> Result<(), Failure> {
        let target = Target::path("/v1/agent/service")
            .segment(&self.registered.id)
            .within(&self.scope());
        let wait = self.agent.settings().wait;
        let mut hash: Option<Box<str>> = None;
        loop {
            let asking = match &hash {
                None => target.clone(),
                Some(hash) => target.clone().with("hash", hash).waiting(wait),
            };
            match self.agent.calls().get(HOST, &asking).await {
                Ok(Answer { head, .. }) => {
                    let same = hash.is_some() && hash == head.hash;
                    // An agent that does not wait, or something that changes all the time, is asked now and then.
                    if !same {
                        sleep(LOOK).await;
                    }
                    hash = head.hash;
                }
                Err(failure) if failure.status() == Some(http::StatusCode::NOT_FOUND) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn put(&self, target: &Target, body: &Value) -> Result<Answer, Failure> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.agent.calls().put(HOST, target, body.into()).await
    }

    fn body(&self) -> Value {
        let Registered {
            name,
            id,
            address,
            port,
            tags,
            check,
        } = &self.registered;
        let mut body = json!({ "Name": name, "ID": id, "Port": port, "Tags": tags });
        if let Some(address) = address {
            body["Address"] = address.to_string().into();
        }
        if let Some(check) = check {
            body["Check"] = json!({
                "Name": "ready",
                "HTTP": check.url,
                "Interval": millis(check.interval),
                "Timeout": millis(check.timeout),
                "DeregisterCriticalServiceAfter": millis(check.forget_after),
            });
        }
        body
    }

    /// An agent registers in its own datacenter.
    fn scope(&self) -> Scope {
        Scope {
            datacenter: None,
            ..self.agent.settings().scope.clone()
        }
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn words(failure: &Failure) -> String {
    match std::error::Error::source(failure) {
        Some(source) => format!("{failure}: {source}"),
        None => failure.to_string(),
    }
}

/// The first of the addresses.
const HOST: usize = 0;
/// How often an agent that does not wait is asked whether it still knows.
const LOOK: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(200);
/// A permission or an agent that comes back is noticed within this.
const SOON_AT_MOST: Duration = Duration::from_secs(30);
