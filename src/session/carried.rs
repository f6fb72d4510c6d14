//! What a session has carried, as it is counted.
//!
//! In: the totals that a session's task has reached. Out: the same, for readers on any thread.
//!
//! Not here: who adds up ([`Sessions`](super::Sessions)).

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters with one writer, the session's task; readers may be a moment behind.
///
/// Counted on the client's leg after the request head and the 101, frames of Longhaul's own included, so that they equal
/// what the client counts. Messages are complete data messages; control frames are none.
#[derive(Debug, Default)]
pub struct Carried {
    /// Bytes that came from the client.
    pub bytes_from_client: Count,
    /// Bytes written to the client.
    pub bytes_to_client: Count,
    /// Messages that came from the client.
    pub messages_from_client: Count,
    /// Messages of the backend, on to the client.
    pub messages_to_client: Count,
}

/// A counter with a single writer: a plain store, no locked instruction per message.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

/// A sum of what sessions carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that came from clients.
    pub bytes_from_client: u64,
    /// Bytes written to clients.
    pub bytes_to_client: u64,
    /// Messages that came from clients.
    pub messages_from_client: u64,
    /// Messages of backends, on to clients.
    pub messages_to_client: u64,
}

// === impl Carried ===

impl Carried {
    /// All four at this moment.
    pub fn read(&self) -> Traffic {
        Traffic {
            bytes_from_client: self.bytes_from_client.get(),
            bytes_to_client: self.bytes_to_client.get(),
            messages_from_client: self.messages_from_client.get(),
            messages_to_client: self.messages_to_client.get(),
        }
    }
}

impl Count {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it; only the session's own task may.
    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

impl Traffic {
    pub(super) fn add(&mut self, other: Self) {
        self.bytes_from_client += other.bytes_from_client;
        self.bytes_to_client += other.bytes_to_client;
        self.messages_from_client += other.messages_from_client;
        self.messages_to_client += other.messages_to_client;
    }
}
