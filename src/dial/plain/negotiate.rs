//! A request that gives out an id, which nobody uses when its answer is lost.
//!
//! In: a negotiate, or the first poll of engine.io. Out: the answer of the first endpoint that is able to give one.
//!
//! - A client has few tries for this, so more is done than for other requests: an endpoint that says it is unable (502, 503,
//!   504) is left for another; and beside one that has been silent for half of the time left another is asked, as for a
//!   handshake. Who answers first has the client.
//! - An endpoint is blamed for its silence when one that was asked later has answered.
//! - When no other may be asked the last ones have `response_timeout`, as any request.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

use super::{
    Answered, Exchange,
    ask::{Reply, ask},
    trouble::{Failed, Trouble},
};
use crate::{
    affinity::is_unable,
    balance::{Failure, Lease, Tried},
    config,
    timers::timeout,
};

/// The endpoints that are asked, and what has come of it.
struct Asked<'e> {
    exchange: &'e Exchange,
    settings: &'e Arc<config::Service>,
    tried: Tried,
    /// In the order in which they were asked; those of which nothing has come yet.
    silent: Vec<Option<Lease>>,
    /// Whether yet another may be asked.
    more: bool,
    /// What is said if nobody has better news. An answer, even a refusal, says more than none.
    worst: Option<Result<Answered, Failed>>,
}

impl Exchange {
    pub(super) async fn negotiate(&self, settings: &Arc<config::Service>) -> Result<Answered, Failed> {
        let mut asked = Asked {
            exchange: self,
            settings,
            tried: Tried::new(),
            silent: Vec::new(),
            more: true,
            worst: None,
        };
        let mut replies = FuturesUnordered::new();
        loop {
            if asked.may_ask() {
                match self.lease(settings, &asked.tried).await {
                    Ok(lease) => replies.push(asked.another(lease)),
                    Err(trouble) => asked.nobody(trouble),
                }
            }
            let reply = match asked.may_ask() && settings.retry.on_timeout {
                true => timeout(asked.patience(), replies.next()).await,
                false => Ok(replies.next().await),
            };
            match reply {
                // Silence: another is asked beside.
                Err(_) => {}
                Ok(Some((n, reply))) => {
                    if let Some(answered) = asked.hear(n, reply) {
                        return Ok(answered);
                    }
                }
                Ok(None) => return asked.give_up(),
            }
        }
    }
}

impl Asked<'_> {
    fn may_ask(&self) -> bool {
        self.more && self.tried.len() < self.settings.retry.attempts
    }

    /// How long it waits before another is asked.
    fn patience(&self) -> Duration {
        let deadline = self.exchange.deadline(self.settings);
        deadline.saturating_duration_since(Instant::now()) / 2
    }

    fn another(&mut self, lease: Lease) -> impl Future<Output = (usize, Result<Reply, Trouble>)> + use<> {
        let n = self.silent.len();
        let place = self.exchange.place(self.settings, lease.endpoint());
        let deadline = self.exchange.deadline(self.settings);
        let mut request = self.exchange.request.again();
        self.tried.add(&lease.endpoint().identity);
        self.silent.push(Some(lease));
        async move { (n, ask(&mut request, &place, deadline).await) }
    }

    fn nobody(&mut self, trouble: Trouble) {
        self.more = false;
        if self.silent.is_empty() {
            self.worst = Some(Err(Failed::new(trouble, None, &self.tried)));
        }
    }

    /// What came of the one that was asked as the `n`th; the answer if the client is to have it.
    fn hear(&mut self, n: usize, reply: Result<Reply, Trouble>) -> Option<Answered> {
        let lease = self.silent[n].take()?;
        let address = lease.endpoint().address;
        match reply {
            Ok(reply) => {
                let answered = Answered::new(reply, lease);
                if !is_unable(answered.reply.response.status()) {
                    let earlier = self.silent.drain(..).take(n).flatten();
                    earlier.for_each(|lease| lease.failed(Failure::Timeout));
                    return Some(answered);
                }
                self.worst = Some(Ok(answered));
            }
            Err(trouble) => {
                if let Some(failure) = trouble.blame() {
                    lease.failed(failure);
                }
                self.more &= trouble.may_retry(self.settings.retry);
                if !matches!(self.worst, Some(Ok(_))) {
                    self.worst = Some(Err(Failed::new(trouble, Some(address), &self.tried)));
                }
            }
        }
        None
    }

    fn give_up(self) -> Result<Answered, Failed> {
        self.worst
            .unwrap_or_else(|| Err(Failed::new(Trouble::NotKnown, None, &self.tried)))
    }
}
