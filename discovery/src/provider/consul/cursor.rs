//! Where a watch stands in its registry: the index, and how much an answer is worth.
//!
//! In: the head of each answer. Out: what to ask next, and whether the answer may be believed.
//!
//! - An index is a number above 0 that grows. One that goes back (a restored snapshot, a fresh server) means that all
//!   that was known is void: the next read asks for the state as it is, not for a change.
//! - Any server may answer, even one without a leader, if it has been in touch with a leader lately. An answer that is
//!   older, goes back or takes away all endpoints is asked for again from the leader before it is believed: a server that
//!   has just started answers "none" to a stale read.
//! - What an agent streams says nothing of its age. When it has nothing new for a whole wait, a plain read asks whether
//!   that is still so.
//! - A registry without a leader can still answer the very first read; see [`Consul`](super::Consul).
//!
//! Pure: no clock, no connection.

use tokio::time::Duration;

use super::answer::Head;

/// A watch's place in its registry.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// Of the last answer that was believed; 0 while there is none to build on.
    index: u64,
    /// Whether that index is of a stream, and so not to be compared with others.
    streamed: bool,
    /// The next read is to be one that does not wait.
    look: bool,
    /// Reads that are still to be asked of the leader.
    of_leader: u8,
}

/// What to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Answer when there is something newer than this; 0 is at once.
    pub(super) index: u64,
    /// Whether any server may answer.
    pub(super) stale: bool,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// As before: there is nothing to read in it.
    Unchanged,
    /// To be believed.
    News,
    /// To be asked for again, at once.
    Doubt,
}

impl Cursor {
    /// The next request: one that waits for a change, or one that does not.
    pub(super) fn ask(&self, waits: bool) -> Ask {
        Ask {
            index: if waits && !self.look { self.index } else { 0 },
            stale: self.of_leader == 0,
        }
    }

    /// Judges the answer to `asked`.
    pub(super) fn judge(&mut self, asked: Ask, head: &Head, stale_limit: Duration) -> Worth {
        let index = head.index.max(1);
        self.look = false;
        if asked.stale && head.last_contact.is_some_and(|ago| ago > stale_limit) {
            // A server that lost its leader will have lost it at the next read too.
            self.of_leader = MANY;
            // Only a read that does not wait is certain to reach the leader: others are served from a stream.
            self.index = 0;
            return Worth::Doubt;
        }
        let comparable = head.streamed == self.streamed;
        if index < self.index && comparable {
            self.index = 0;
            if asked.stale {
                self.of_leader = self.of_leader.max(1);
                return Worth::Doubt;
            }
            if asked.index > 0 {
                return Worth::Doubt;
            }
        }
        self.of_leader = self.of_leader.saturating_sub(1);
        // A stream that lags behind a plain read has nothing newer either.
        let nothing_newer = asked.index > 0 && (index == asked.index || index < asked.index && !comparable);
        if nothing_newer {
            self.look = head.streamed;
            return Worth::Unchanged;
        }
        // A plain read between two of a stream does not take the place in the stream away.
        if comparable || index > self.index || self.index == 0 {
            self.index = index;
            self.streamed = head.streamed;
        }
        Worth::News
    }

    /// Whether an answer that was judged [`Worth::News`] is to be asked for again because it takes away everything; if
    /// so, the next request asks the leader.
    pub(super) fn doubts_that_all_is_gone(&mut self, asked: Ask) -> bool {
        if asked.stale {
            self.index = 0;
            self.of_leader = self.of_leader.max(1);
        }
        asked.stale
    }

    /// After a failure nothing is built upon: the next answer may come from another server, or another registry.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }
}

/// Ten minutes of an idle watch: after that a stale server may have caught up.
const MANY: u8 = 12;

#[cfg(test)]
mod tests;
