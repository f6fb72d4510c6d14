//! Instances of a service in Consul.
//!
//! In: an [`Agent`], and which instances are [`Wanted`]. Out: their endpoints, from blocking queries on
//! `/v1/health/service/:name`: a change is published as soon as the agent returns, which is at once.
//!
//! - All instances are published, whatever their health: how the words of Consul become states is in
//!   `instance`. Instances without any check are instances like others.
//! - No answer that is old, goes back or takes away everything is believed before a leader has said it too (see
//!   `cursor`). The one exception is the very first: an old answer is better than none.
//! - An empty answer is published as unexplained: Consul says the same for "none", "no such service" and "not for you".
//!   Where it says that the token hides something, that is an error instead.
//! - At most four requests at once and four per second for each service, whatever the registry does (`pace`).
//! - Hundreds of services need no more connections than the agent allows (`agent`).
//!
//! Not here: what follows an error, and how long an unexplained empty answer is not believed.

mod agent;
mod answer;
mod cursor;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzed;
mod instance;
mod pace;
mod registration;
mod request;
mod settings;
mod wire;

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use self::{
    agent::slots::Slot,
    answer::{Answer, Failure, Said},
    cursor::{Ask, Cursor, Worth},
    instance::Unusable,
    pace::Pace,
    request::Target,
};
pub use self::{
    agent::{Agent, SLACK},
    registration::{HttpCheck, Registered, Registration},
    settings::{
        Address, AddressError, AddressOf, CONNECTIONS, FEWEST_CONNECTIONS, STALE_LIMIT, Scope, Settings, Tls,
        Wanted,
    },
};
use crate::{
    Endpoint, Publisher, Snapshot,
    provider::{Error, Provider, Running},
};

/// A watch on the instances of one service.
#[derive(Debug)]
pub struct Consul {
    agent: Arc<Agent>,
    wanted: Wanted,
    target: Target,
    cursor: Cursor,
    pace: Pace,
    place: Place,
    /// What was last said; `None` before anything was.
    last: Option<Snapshot>,
    /// An answer that was doubted before anything was known.
    spare: Option<Vec<Endpoint>>,
    /// What was last found to be unusable, and whether something was hidden: each is said once.
    said: (Vec<Unusable>, bool),
    /// Agents that have failed in a row.
    failed: usize,
}

/// How a watch learns of changes.
#[derive(Debug, Default)]
struct Place {
    /// By a connection of its own.
    slot: Option<Slot>,
    /// Or woken by others.
    beats: Option<watch::Receiver<()>>,
    /// There is something to ask at once.
    hurry: bool,
}

// === impl Consul ===

impl Consul {
    /// Asks nothing yet.
    pub fn new(agent: Arc<Agent>, wanted: Wanted) -> Self {
        Self {
            target: request::instances(&wanted, &agent.settings().scope),
            cursor: Cursor::default(),
            pace: Pace::new(Instant::now()),
            place: Place {
                hurry: true,
                ..Place::default()
            },
            last: None,
            spare: None,
            said: Default::default(),
            failed: 0,
            agent,
            wanted,
        }
    }

    /// One answer, or one failure.
    async fn step(&mut self, publisher: &Publisher) -> Result<(), Error> {
        let host = self.agent.calls().host();
        match self.read(host, publisher).await {
            Ok(()) => self.failed = 0,
            Err(failure) => self.fail(host, failure, publisher)?,
        }
        Ok(())
    }

    async fn read(&mut self, host: usize, publisher: &Publisher) -> Result<(), Failure> {
        let waits = self.place.ready(&self.agent, host).await;
        self.pace.turn().await;
        let turn = if waits {
            None
        } else {
            self.agent.slots().read().await
        };
        let ask = self.cursor.ask(waits);
        let target = self.target.clone().asking(ask, self.agent.settings().wait);
        let calls = Arc::clone(self.agent.calls());
        let answer = tokio::select! {
            answer = calls.get(host, &target) => answer?,
            () = self.place.void() => return Ok(()),
        };
        drop(turn);
        self.take(host, ask, &answer, publisher)
    }

    fn take(&mut self, host: usize, ask: Ask, answer: &Answer, publisher: &Publisher) -> Result<(), Failure> {
        self.place.hurry = false;
        match self
            .cursor
            .judge(ask, &answer.head, self.agent.settings().stale_limit)
        {
            Worth::Unchanged => publisher.confirm(),
            Worth::Doubt => {
                self.place.hurry = true;
                if self.last.is_none() {
                    self.spare = Some(self.list(host, answer)?);
                }
            }
            Worth::News => {
                let endpoints = self.list(host, answer)?;
                let all_gone =
                    endpoints.is_empty() && self.last.as_ref().is_some_and(|last| !last.is_empty());
                if all_gone && self.cursor.doubts_that_all_is_gone(ask) {
                    self.place.hurry = true;
                } else {
                    self.publish(endpoints, publisher);
                }
            }
        }
        Ok(())
    }

    /// The endpoints of an answer; says of what is none why it is not.
    fn list(&mut self, host: usize, answer: &Answer) -> Result<Vec<Endpoint>, Failure> {
        let instances = wire::read(&answer.body).map_err(|error| Failure::Garbage {
            agent: self.agent.calls().name(host),
            path: "/v1/health/service",
            what: Said::new(&error.to_string()),
        })?;
        if instances.is_empty() && answer.head.filtered {
            let service = self.wanted.service.to_string();
            return Err(Failure::Hidden { service });
        }
        let (mut endpoints, mut unusable) = (Vec::with_capacity(instances.len()), Vec::new());
        for instance in &instances {
            match instance::endpoint(instance, self.wanted.address) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(why) => unusable.push(why),
            }
        }
        self.say(unusable, answer.head.filtered);
        Ok(endpoints)
    }

    fn say(&mut self, unusable: Vec<Unusable>, filtered: bool) {
        let service = &*self.wanted.service;
        if unusable != self.said.0 {
            for Unusable { identity, why } in unusable.iter().take(LINES) {
                tracing::warn!(service, endpoint = %identity, "left out: it {why}");
            }
            if unusable.len() > LINES {
                tracing::warn!(service, "left out: {} more", unusable.len() - LINES);
            }
        }
        if filtered && !self.said.1 {
            tracing::warn!(
                service,
                "the token may not see all instances; allow it `node:read` on their nodes"
            );
        }
        self.said = (unusable, filtered);
    }

    fn publish(&mut self, endpoints: Vec<Endpoint>, publisher: &Publisher) {
        let snapshot: Snapshot = endpoints.into_iter().collect();
        self.spare = None;
        self.last = Some(snapshot.clone());
        if snapshot.is_empty() {
            publisher.publish_nothing();
        } else {
            publisher.publish(snapshot);
        }
    }

    /// Goes on where there is another way; else the failure is the error.
    fn fail(&mut self, host: usize, failure: Failure, publisher: &Publisher) -> Result<(), Error> {
        self.cursor.restart();
        self.place.hurry = true;
        if let Some(spare) = self.spare.take()
            && self.last.is_none()
        {
            tracing::warn!(service = &*self.wanted.service, %failure, "no leader answers; using an old answer");
            self.publish(spare, publisher);
        }
        let slots = self.agent.slots();
        if failure.is_of_crowding(slots.many()) && slots.crowd() {
            let agent = self.agent.calls().name(host);
            tracing::warn!(agent, "the agent takes no more connections; using fewer");
            return Ok(());
        }
        if failure.is_of_this_agent() {
            self.agent.calls().fail_over(host);
            self.failed += 1;
            if self.failed < self.agent.calls().hosts() {
                tracing::debug!(%failure, "a Consul agent failed");
                return Ok(());
            }
        }
        self.failed = 0;
        Err(failure.into())
    }
}

impl Provider for Consul {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(async move {
            loop {
                self.step(publisher).await?;
            }
        })
    }
}

// === impl Place ===

impl Place {
    /// Ends when the connection must be given up.
    async fn void(&mut self) {
        match &mut self.slot {
            Some(slot) => slot.void().await,
            None => std::future::pending().await,
        }
        self.slot = None;
    }

    /// Returns once there is something to ask; true if the request itself may wait for a change.
    async fn ready(&mut self, agent: &Arc<Agent>, host: usize) -> bool {
        if agent.calls().shares(host) {
            self.slot = None;
            self.beats = None;
            return true;
        }
        self.slot = self.slot.take().or_else(|| agent.slots().take());
        if self.slot.is_some() {
            self.beats = None;
            return true;
        }
        let hurry = self.hurry || self.beats.is_none();
        let beats = self.beats.get_or_insert_with(|| agent.beats());
        if hurry {
            beats.mark_unchanged();
        } else {
            // Without a beat it reads all the same, so that a lost one costs no more than this.
            let _ = timeout(agent.settings().wait, beats.changed()).await;
        }
        false
    }
}

/// A service whose every instance is unusable should not fill the log.
const LINES: usize = 5;

#[cfg(test)]
mod tests;
