//! How many client connections the process holds, and on which worker.
//!
//! In: the descriptor limit and the configured limit. Out: a [`Permit`] for each connection, and for each request of one
//! that has many; it travels with it and, after the 101, with its session.
//!
//! - A session needs two descriptors, so the limit is half of what is left after a [`RESERVE`]: accepting can then never
//!   take the descriptor that a dial, a log or a reload needs.
//! - A new connection goes to the worker with the fewest; long sessions make any hash uneven for hours.
//!
//! Not here: what a connection over the limit is told ([`super::accept`]).

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The connections of all workers.
#[derive(Debug)]
pub struct Admission {
    limit: AtomicUsize,
    descriptors: u64,
    total: AtomicUsize,
    refusing: AtomicUsize,
    workers: Box<[AtomicUsize]>,
}

/// One connection's place; dropping it gives the place back.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    worker: usize,
}

/// The place of a connection that is being told that there is none.
#[derive(Debug)]
pub(super) struct Refusing(Arc<Admission>);

/// Connections that are told so at once; they live on the reserve.
const REFUSING: usize = 128;

/// Descriptors for everything but sessions: listeners, admin, registries, files, and connections about to be refused.
const RESERVE: u64 = 512;

impl Admission {
    /// For so many workers, in a process that may open so many descriptors.
    pub fn new(workers: usize, descriptors: u64, configured: Option<NonZeroUsize>) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit(descriptors, configured)),
            descriptors,
            total: AtomicUsize::new(0),
            refusing: AtomicUsize::new(0),
            workers: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
        })
    }

    /// Applies a limit of a new configuration; connections above it stay.
    pub fn reconfigure(&self, configured: Option<NonZeroUsize>) {
        self.limit
            .store(limit(self.descriptors, configured), Ordering::Relaxed);
    }

    /// A place on the worker with the fewest connections, `home` among equals; `None` when the process is full.
    pub fn enter(self: &Arc<Self>, home: usize) -> Option<Permit> {
        self.take_place()?;
        let worker = self.least(home);
        self.workers[worker].fetch_add(1, Ordering::Relaxed);
        Some(Permit {
            admission: Arc::clone(self),
            worker,
        })
    }

    /// A place for telling a client that there is none; `None` when too many are being told.
    pub(super) fn refuse(self: &Arc<Self>) -> Option<Refusing> {
        // Before the comparison: the place is given back even if it is one too many.
        let before = self.refusing.fetch_add(1, Ordering::Relaxed);
        Some(Refusing(Arc::clone(self))).filter(|_| before < REFUSING)
    }

    /// Connections at once that are let in.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Connections of each worker.
    pub fn by_worker(&self) -> impl Iterator<Item = usize> {
        self.workers.iter().map(|count| count.load(Ordering::Relaxed))
    }

    fn take_place(&self) -> Option<usize> {
        let limit = self.limit.load(Ordering::Relaxed);
        self.total
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                (total < limit).then_some(total + 1)
            })
            .ok()
    }

    fn least(&self, home: usize) -> usize {
        let mut least = (self.workers[home].load(Ordering::Relaxed), home);
        for (worker, count) in self.by_worker().enumerate() {
            if count < least.0 {
                least = (count, worker);
            }
        }
        least.1
    }
}

impl Permit {
    /// The worker that serves this connection.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Another place on the same worker, for one more session of this connection; `None` when the process is full.
    pub(super) fn another(&self) -> Option<Self> {
        self.admission.take_place()?;
        self.admission.workers[self.worker].fetch_add(1, Ordering::Relaxed);
        Some(Self {
            admission: Arc::clone(&self.admission),
            worker: self.worker,
        })
    }

    /// Moves the place to another worker.
    pub(super) fn move_to(&mut self, worker: usize) {
        self.admission.workers[self.worker].fetch_sub(1, Ordering::Relaxed);
        self.admission.workers[worker].fetch_add(1, Ordering::Relaxed);
        self.worker = worker;
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.0.refusing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.workers[self.worker].fetch_sub(1, Ordering::Relaxed);
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
    }
}

fn limit(descriptors: u64, configured: Option<NonZeroUsize>) -> usize {
    let reserve = RESERVE.min(descriptors / 4);
    let affordable = usize::try_from((descriptors - reserve) / 2).unwrap_or(usize::MAX);
    configured.map_or(affordable, |configured| configured.get().min(affordable))
}

/// Raises the soft descriptor limit to the hard one, and returns it.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let soft = limit.current;
    limit.current = limit.maximum;
    // Refused in some sandboxes; the soft limit then is what there is.
    let now = if setrlimit(Resource::Nofile, limit).is_ok() {
        limit.maximum
    } else {
        soft
    };
    now.unwrap_or(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_thousand_sessions_fit_in_twenty_thousand_descriptors() {
        assert!(Admission::new(1, 20_000, None).limit() >= 9_000);
    }

    #[test]
    fn a_configured_limit_does_not_exceed_what_the_descriptors_allow() {
        let admission = Admission::new(1, 1_024, NonZeroUsize::new(10_000));
        assert_eq!(admission.limit(), (1_024 - 256) / 2);
    }

    #[test]
    fn connections_spread_evenly_and_places_return() {
        let admission = Admission::new(3, 1_024, NonZeroUsize::new(7));
        let held: Vec<_> = (0..7).map_while(|_| admission.enter(0)).collect();
        assert_eq!(held.len(), 7);
        assert_eq!(admission.by_worker().collect::<Vec<_>>(), [3, 2, 2]);
        assert!(admission.enter(0).is_none());
        drop(held);
        assert_eq!(admission.by_worker().collect::<Vec<_>>(), [0, 0, 0]);
        assert!(admission.enter(2).is_some_and(|permit| permit.worker() == 2));
    }
}
