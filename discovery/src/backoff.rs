//! How long to wait after a failure: longer each time, and never as long as others that failed at the same moment.
//!
//! In: the shortest and the longest wait. Out: waits that double, each drawn from the upper half of its span, so that a
//! hundred routers that lost one registry do not come back to it together.
//!
//! Promises: no wait is shorter than the shortest or longer than the longest.

use std::time::Duration;

/// Waits that grow with each failure in a row.
#[derive(Clone, Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    /// The longest that the next wait may be.
    next: Duration,
}

/// Why two durations make no backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A source that always fails would be asked without a pause.
    #[error("the shortest wait must not be zero")]
    Zero,
    /// There is nothing between them.
    #[error("the shortest wait must not be longer than the longest")]
    Reversed,
}

// === impl Backoff ===

impl Backoff {
    /// Waits between these two.
    pub const fn try_new(shortest: Duration, longest: Duration) -> Result<Self, Invalid> {
        if shortest.is_zero() {
            return Err(Invalid::Zero);
        }
        if shortest.as_nanos() > longest.as_nanos() {
            return Err(Invalid::Reversed);
        }
        Ok(Self {
            shortest,
            longest,
            next: shortest,
        })
    }

    /// The wait after one more failure.
    pub fn after_failure(&mut self) -> Duration {
        self.next = self.next.saturating_mul(2).min(self.longest);
        let least = (self.next / 2).max(self.shortest);
        least + (self.next - least).mul_f64(fastrand::f64())
    }

    /// The failures are over: the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(
            Backoff::try_new(Duration::ZERO, SECOND).unwrap_err(),
            Invalid::Zero
        );
        assert_eq!(
            Backoff::try_new(2 * SECOND, SECOND).unwrap_err(),
            Invalid::Reversed
        );
    }

    #[test]
    fn after_a_reset_the_first_wait_is_short_again() {
        let mut backoff = Backoff::try_new(SECOND, 60 * SECOND).unwrap();
        for _ in 0..20 {
            backoff.after_failure();
        }
        assert!(backoff.after_failure() >= 30 * SECOND);
        backoff.reset();
        assert!(backoff.after_failure() <= 2 * SECOND);
    }

    #[test]
    fn two_that_fail_together_do_not_come_back_together() {
        let mut backoff = Backoff::try_new(SECOND, 60 * SECOND).unwrap();
        let firsts: std::collections::BTreeSet<_> = (0..20)
            .map(|_| {
                backoff.reset();
                backoff.after_failure()
            })
            .collect();
        assert!(firsts.len() > 10, "{firsts:?}");
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_bounds_and_each_may_be_twice_the_one_before(
            shortest in 1u64..10_000, more in 0u64..100_000, failures in 1usize..40,
        ) {
            let shortest = Duration::from_millis(shortest);
            let longest = shortest + Duration::from_millis(more);
            let mut backoff = Backoff::try_new(shortest, longest).unwrap();
            let mut most = shortest;
            for _ in 0..failures {
                let wait = backoff.after_failure();
                most = (most * 2).min(longest);
                prop_assert!(wait >= shortest && wait >= most / 2);
                prop_assert!(wait <= most);
            }
        }
    }
}
