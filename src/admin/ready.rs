//! Whether this process wants traffic, as tokens: each part that must come up holds one and drops it when it is there.
//!
//! In: [`Readiness::part`] per part, [`Readiness::drain`] when the process is ending. Out: [`Readiness::report`], the
//! answer of `/readyz`.
//!
//! Promises: never ready while a token is alive, and never again once draining. A part that fails drops its token too, so
//! a part that must not be passed over keeps its token with its owner.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::Notify;

/// The parts that are not ready; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    parts: Mutex<Parts>,
    changed: Notify,
}

/// A part that is not ready yet; dropping it says that it is.
#[must_use = "the part is ready as soon as this is dropped"]
pub struct Token {
    readiness: Readiness,
    number: u64,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether new sessions are welcome.
    pub ready: bool,
    /// Whether the process is ending.
    pub draining: bool,
    /// The parts that are not ready.
    pub waiting_for: Vec<String>,
}

#[derive(Debug, Default)]
struct Parts {
    next: u64,
    waiting: BTreeMap<u64, String>,
    draining: bool,
}

// === impl Readiness ===

impl Readiness {
    /// Names a part that must be ready first.
    pub fn part(&self, name: impl Into<String>) -> Token {
        let mut parts = self.parts();
        let number = parts.next;
        parts.next += 1;
        parts.waiting.insert(number, name.into());
        Token {
            readiness: self.clone(),
            number,
        }
    }

    /// Says that the process is ending; there is no way back.
    pub fn drain(&self) {
        self.parts().draining = true;
    }

    /// Waits until every part is ready.
    pub async fn ready(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.report().ready {
                return;
            }
            changed.await;
        }
    }

    /// Who is not ready.
    pub fn report(&self) -> Report {
        let parts = self.parts();
        Report {
            ready: parts.waiting.is_empty() && !parts.draining,
            draining: parts.draining,
            waiting_for: parts.waiting.values().cloned().collect(),
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Token ===

impl Drop for Token {
    fn drop(&mut self) {
        self.readiness.parts().waiting.remove(&self.number);
        self.readiness.0.changed.notify_waiters();
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_token_is_dropped() {
        let readiness = Readiness::default();
        let listeners = readiness.part("listeners");
        let chat = readiness.part("service chat");
        drop(listeners);
        assert_eq!(readiness.report().waiting_for, ["service chat"]);
        assert!(!readiness.report().ready);
        drop(chat);
        assert!(readiness.report().ready);
    }

    #[test]
    fn two_parts_of_one_name_are_two_parts() {
        let readiness = Readiness::default();
        let [first, second] = [readiness.part("listener"), readiness.part("listener")];
        drop(first);
        assert!(!readiness.report().ready);
        drop(second);
        assert!(readiness.report().ready);
    }

    #[test]
    fn never_ready_again_once_draining() {
        let readiness = Readiness::default();
        readiness.drain();
        drop(readiness.part("late"));
        let report = readiness.report();
        assert!(!report.ready && report.draining && report.waiting_for.is_empty());
    }
}
