//! How often a watch may ask, so that a service that flaps, or a registry that never blocks, does not become a storm.
//!
//! In: the moment. Out: the moment at which the next request may go out. A few requests may follow each other at once,
//! so a single change is never delayed; a row of them settles at a steady rate.

use tokio::time::{Duration, Instant};

/// A bucket of [`BURST`] requests that fills up by one every [`EVERY`].
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// When the bucket is full again.
    full: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes one request out; it may go out at the returned moment, which is not before `now`.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        self.full = self.full.max(now) + EVERY;
        let room = EVERY * BURST;
        self.full.checked_sub(room).map_or(now, |at| at.max(now))
    }

    /// Waits for its turn. One that is dropped while it waits has taken its turn all the same.
    pub(super) async fn turn(&mut self) {
        let now = Instant::now();
        let at = self.take(now);
        if at > now {
            tokio::time::sleep_until(at).await;
        }
    }
}

/// A registration is often followed at once by its first check, its weights and its tags.
const BURST: u32 = 4;
/// What a change may be late by in a storm of changes; half of what an eye notices.
const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn four_go_out_at_once_and_then_four_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut at = Vec::new();
        for _ in 0..12 {
            pace.turn().await;
            at.push(start.elapsed().as_millis());
        }
        assert_eq!(at, [0, 0, 0, 0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_fills_the_bucket_but_never_above_four() {
        let mut pace = Pace::new(Instant::now());
        for _ in 0..9 {
            pace.turn().await;
        }
        tokio::time::advance(Duration::from_secs(3600)).await;
        let start = Instant::now();
        for _ in 0..5 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed(), EVERY);
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_eight_requests(gaps in vec(0u64..400, 1..200)) {
            let start = Instant::now();
            let (mut pace, mut now, mut sent) = (Pace::new(start), start, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                now = pace.take(now);
                sent.push(now);
            }
            for first in &sent {
                let within = |at: &&Instant| *at >= first && **at < *first + Duration::from_secs(1);
                prop_assert!(sent.iter().filter(within).count() <= 8);
            }
        }
    }
}
