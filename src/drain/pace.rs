//! How many of those that are left are due now.

use std::time::Duration;

use tokio::time::Instant;

/// Spreads any number of things evenly over a window, whatever joins or leaves meanwhile.
#[derive(Debug)]
pub(super) struct Pace {
    end: Instant,
    last: Instant,
    /// The part of one that was due but could not be taken.
    owed: f64,
}

impl Pace {
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        Self {
            end: now + window,
            last: now,
            owed: 0.0,
        }
    }

    /// How many of `left` are due at `now`: their share of the time that has passed since the last call.
    pub(super) fn due(&mut self, left: usize, now: Instant) -> usize {
        if now >= self.end {
            return left;
        }
        let remaining = (self.end - self.last).as_secs_f64();
        let passed = (now - self.last).as_secs_f64();
        self.last = now;
        self.owed += left as f64 * passed / remaining;
        let due = (self.owed.floor() as usize).min(left);
        self.owed = (self.owed - due as f64).min(1.0);
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(20);

    /// Takes what is due at each of so many evenly spaced steps; what was taken after each.
    fn taken(count: usize, steps: u32) -> Vec<usize> {
        let start = Instant::now();
        let mut pace = Pace::new(WINDOW, start);
        let mut left = count;
        (1..=steps)
            .map(|step| {
                left -= pace.due(left, start + WINDOW * step / steps);
                count - left
            })
            .collect()
    }

    #[test]
    fn a_zero_window_takes_all_at_once() {
        let now = Instant::now();
        assert_eq!(Pace::new(Duration::ZERO, now).due(9_000, now), 9_000);
    }

    proptest! {
        #[test]
        fn the_rate_is_even_and_all_are_taken_by_the_end(count in 0usize..20_000, steps in 1u32..2_000) {
            let taken = taken(count, steps);
            prop_assert_eq!(taken[steps as usize - 1], count);
            for (step, &taken) in (1..).zip(&taken) {
                let even = count as f64 * f64::from(step) / f64::from(steps);
                prop_assert!((taken as f64 - even).abs() <= 2.0, "step {step} of {steps}: {taken} of {even}");
            }
        }

        #[test]
        fn late_joiners_leave_by_the_end_too(first in 0usize..1_000, late in 0usize..1_000, at in 1u32..99) {
            let start = Instant::now();
            let mut pace = Pace::new(WINDOW, start);
            let mut left = first;
            for step in 1..=100 {
                if step == at {
                    left += late;
                }
                left -= pace.due(left, start + WINDOW * step / 100);
            }
            prop_assert_eq!(left, 0);
        }
    }
}
