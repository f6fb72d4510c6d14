//! One session's place on an endpoint, from the dial to the session's end, and what the session learnt of the endpoint.
//!
//! In: what the dial and the relay saw. Out: the endpoint's session count, and its ejection or return.
//!
//! Promises:
//! - The endpoint's count is one higher for as long as the lease lives, and nothing else lowers it: neither a reload
//!   nor the endpoint's removal.
//! - A verdict counts only if no other session's verdict ejected the endpoint, or brought it back, since the pick: fifty
//!   dials that fail at once are one failure.
//! - A trial's lease that is dropped without a verdict (the client left) opens the trial to the next pick.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use discovery::Endpoint;
use tokio::time::Instant;

use super::{Shared, ejection::Stamp, strategy::Slot};

/// A session's place on an endpoint.
pub struct Lease {
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    slot: Slot,
    /// A [`Stamp`], renewed by `established`: what follows a success is judged from that success on.
    stamp: AtomicU32,
}

/// How a dial failed through the endpoint's fault.
///
/// Not for faults on this side (no file descriptor, no local port) and not for a client that left: then drop the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Connecting was refused, unreachable or timed out.
    Connect,
    /// No answer to the handshake in time.
    Timeout,
    /// The connection ended before any answer.
    Reset,
}

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, endpoint: Arc<Endpoint>, slot: Slot, stamp: Stamp) -> Self {
        Self {
            shared,
            endpoint,
            slot,
            stamp: AtomicU32::new(stamp.to_bits()),
        }
    }

    /// The endpoint as it was when it was picked.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The endpoint answered with a valid 101: dialling it works. A refusal (401, 503) shows the same; say so too.
    pub fn established(&self) {
        let stamp = self
            .shared
            .lock()
            .established(self.slot, self.stamp(), Instant::now());
        self.stamp.store(stamp.to_bits(), Ordering::Relaxed);
    }

    /// The endpoint could not be dialled, or did not answer: it is ejected, for a [`Failure::Reset`] at the third in a row.
    pub fn failed(self, failure: Failure) {
        let now = Instant::now();
        let mut picker = self.shared.lock();
        let ejected = match failure {
            Failure::Connect | Failure::Timeout => picker.failed(self.slot, self.stamp(), now),
            Failure::Reset => picker.reset(self.slot, self.stamp(), now),
        };
        drop(picker);
        if let Some(until) = ejected {
            self.log_ejection(until, failure.as_str());
        }
    }

    /// The endpoint dropped the session without a Close within a second of its 101; the third in a row ejects it.
    pub fn dropped_early(self) {
        let ejected = self
            .shared
            .lock()
            .dropped_early(self.slot, self.stamp(), Instant::now());
        if let Some(until) = ejected {
            self.log_ejection(until, "drops sessions");
        }
    }

    /// The session outlived its first second, or its endpoint ended it with a Close: the row of early drops is over.
    pub fn lasted(&self) {
        let stamp = self.shared.lock().lasted(self.slot, self.stamp());
        self.stamp.store(stamp.to_bits(), Ordering::Relaxed);
    }

    fn stamp(&self) -> Stamp {
        Stamp::from_bits(self.stamp.load(Ordering::Relaxed))
    }

    fn log_ejection(&self, until: Instant, reason: &str) {
        let seconds = until.saturating_duration_since(Instant::now()).as_secs_f32();
        tracing::warn!(
            service = %self.shared.service,
            endpoint = %self.endpoint.identity,
            address = %self.endpoint.address,
            reason,
            seconds,
            "endpoint ejected",
        );
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.lock().ended(self.slot, self.stamp());
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("endpoint", &self.endpoint.identity)
            .finish_non_exhaustive()
    }
}

// === impl Failure ===

impl Failure {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect failed",
            Self::Timeout => "handshake timed out",
            Self::Reset => "connection reset before an answer",
        }
    }
}

const _: () = assert!(size_of::<Lease>() <= 24, "every session holds one");
