//! How many connections one agent is asked to hold.
//!
//! In: the most that an operator allows. Out: slots for watches that each hold a connection of their own, and turns for
//! reads that need one for a moment. What has no slot is woken by others (see [`wake`](super::wake)), so a thousand
//! services need no more connections than a hundred.
//!
//! An agent that takes fewer connections than it was thought to is crowded: for a while nobody has a slot, and a dozen
//! connections are enough for all.
//!
//! Only for agents that carry one request per connection.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch},
    time::{Duration, Instant},
};

/// The slots of one agent.
#[derive(Debug)]
pub(in super::super) struct Slots {
    watches: Arc<Semaphore>,
    /// How many there are in all.
    most: usize,
    reads: Semaphore,
    crowded: watch::Sender<Option<Instant>>,
}

/// The right to hold a connection.
#[derive(Debug)]
pub(in super::super) struct Slot {
    _permit: OwnedSemaphorePermit,
    crowded: watch::Receiver<Option<Instant>>,
}

impl Slots {
    pub(super) fn new(connections: usize) -> Self {
        let reads = (connections / 8).clamp(1, READS);
        let most = connections.saturating_sub(reads + OTHERS);
        Self {
            watches: Arc::new(Semaphore::new(most)),
            most,
            reads: Semaphore::new(reads),
            crowded: watch::Sender::new(None),
        }
    }

    /// A slot, if one is free.
    pub(in super::super) fn take(&self) -> Option<Slot> {
        let crowded = self.crowded.subscribe();
        if crowded.borrow().is_some_and(|since| since.elapsed() < RELIEF) {
            return None;
        }
        let permit = Arc::clone(&self.watches).try_acquire_owned().ok()?;
        Some(Slot {
            _permit: permit,
            crowded,
        })
    }

    /// Waits for a turn to read.
    pub(in super::super) async fn read(&self) -> Option<SemaphorePermit<'_>> {
        self.reads.acquire().await.ok()
    }

    /// Whether there are so many connections that an agent may well take no more.
    pub(in super::super) fn many(&self) -> bool {
        self.most - self.watches.available_permits() >= MANY
    }

    /// The agent takes no more connections: all slots are void now. False if that is known already.
    pub(in super::super) fn crowd(&self) -> bool {
        self.crowded.send_if_modified(|crowded| {
            let news = crowded.is_none_or(|since| since.elapsed() >= RELIEF);
            if news {
                *crowded = Some(Instant::now());
            }
            news
        })
    }
}

impl Slot {
    /// Ends when the slot is void.
    pub(in super::super) async fn void(&mut self) {
        if self.crowded.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// A thousand reads after a change are done in a blink with this many at a time.
const READS: usize = 8;
/// Three that wake the others, and a registration.
const OTHERS: usize = 4;
/// An agent takes as many from any client.
const MANY: usize = 8;
/// Whoever else had the connections may have gone by then.
const RELIEF: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_together_are_never_more_than_allowed() {
        for connections in crate::provider::consul::FEWEST_CONNECTIONS..300 {
            let slots = Slots::new(connections);
            let watches = slots.watches.available_permits();
            assert!(watches >= 1);
            assert_eq!(watches + slots.reads.available_permits() + OTHERS, connections);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_is_crowded_voids_all_slots_for_a_while() {
        let slots = Slots::new(100);
        let mut held: Vec<Slot> = (0..MANY).map(|_| slots.take().unwrap()).collect();
        assert!(slots.many());
        assert!(slots.crowd() && !slots.crowd(), "said once");
        for slot in &mut held {
            slot.void().await;
        }
        drop(held);
        assert!(slots.take().is_none() && !slots.many());
        tokio::time::advance(RELIEF).await;
        assert!(slots.take().is_some());
    }
}
