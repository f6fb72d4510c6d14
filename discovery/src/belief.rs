//! What is believed of what sources say.
//!
//! In: a source's answers ([`Belief`]), and sets that are about to be used ([`Settle`]), with the time. Out: the set to
//! use, and when to look again.
//!
//! - A change that leaves an active endpoint is believed at once: nobody's session is cut by it, so it needs no delay.
//! - A change that would leave none waits for [`SETTLE`]: registries move an endpoint as a removal and an addition.
//! - An unexplained "nothing" after a set is believed only when it has stood for the whole `hold`, without a failure
//!   between: a registry that starts or loses its leader says "nothing" for a while.
//! - An unexplained "nothing" before any set leaves the set not known for as long.
//! - Endpoints that come back are believed at once.
//!
//! Everything here is arithmetic; who waits is [`merge`](crate::merge).

use std::time::Duration;

use tokio::time::Instant;

use crate::{Answer, Condition, Snapshot, State};

/// What is believed of one source.
#[derive(Debug)]
pub(crate) struct Belief {
    hold: Duration,
    believed: Option<Snapshot>,
    /// Since when "nothing" stands but is not believed.
    doubted: Option<Instant>,
}

/// A set in use, and the one that waits because it would leave nothing.
#[derive(Debug, Default)]
pub(crate) struct Settle {
    used: Option<Snapshot>,
    waiting: Option<(Snapshot, Instant)>,
}

/// Whether a set has an endpoint that takes new sessions.
pub(crate) fn is_usable(endpoints: &Snapshot) -> bool {
    endpoints.iter().any(|endpoint| endpoint.state == State::Active)
}

// === impl Belief ===

impl Belief {
    pub(crate) fn new(hold: Duration) -> Self {
        Self {
            hold,
            believed: None,
            doubted: None,
        }
    }

    /// Takes in the last answer and how the source is doing; saying the same again at a later time is right.
    pub(crate) fn hear(&mut self, answer: Option<Answer>, condition: Condition, now: Instant) {
        match answer {
            None => {}
            Some(Answer::Endpoints(endpoints)) => {
                self.believed = Some(endpoints);
                self.doubted = None;
            }
            Some(Answer::Nothing) if self.believed.as_ref().is_some_and(|set| set.is_empty()) => {}
            // Its last word before it failed is worth less than what it said when it was well.
            Some(Answer::Nothing) if condition != Condition::Answering => self.doubted = None,
            Some(Answer::Nothing) => {
                let since = *self.doubted.get_or_insert(now);
                if now - since >= self.hold {
                    self.believed = Some(Snapshot::default());
                    self.doubted = None;
                }
            }
        }
    }

    /// Believes `endpoints`, last known from an earlier time, as long as the source has not said otherwise.
    pub(crate) fn remember(&mut self, endpoints: Snapshot) {
        self.believed.get_or_insert(endpoints);
    }

    /// The set; `None` while it is not known.
    pub(crate) fn believed(&self) -> Option<&Snapshot> {
        self.believed.as_ref()
    }

    /// Whether the source has said "nothing" and is not believed yet.
    pub(crate) fn doubts(&self) -> bool {
        self.doubted.is_some()
    }

    /// When to [`hear`](Self::hear) again if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.doubted.map(|since| since + self.hold)
    }
}

// === impl Settle ===

impl Settle {
    /// Takes in the set as it should be, and decides on what is used; offering the same again at a later time is right.
    pub(crate) fn offer(&mut self, endpoints: &Snapshot, now: Instant) {
        let leaves_nothing = self.used.as_ref().is_some_and(is_usable) && !is_usable(endpoints);
        if leaves_nothing {
            let until = self.waiting.take().map_or(now + SETTLE, |(_, until)| until);
            if now < until {
                self.waiting = Some((endpoints.clone(), until));
                return;
            }
        }
        self.waiting = None;
        self.used = Some(endpoints.clone());
    }

    pub(crate) fn used(&self) -> Option<&Snapshot> {
        self.used.as_ref()
    }

    /// When to [`offer`](Self::offer) again if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|(_, until)| *until)
    }
}

/// Longer than the two halves of a move are apart, shorter than what a client notices.
pub(crate) const SETTLE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
