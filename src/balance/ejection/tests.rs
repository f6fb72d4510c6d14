//! The transitions, one test for each way through the picture in the module's doc.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

struct Harness {
    ejection: Ejection,
    now: Instant,
    rng: Rng,
}

impl Harness {
    fn new() -> Self {
        Self {
            ejection: Ejection::new(),
            now: Instant::now(),
            rng: Rng::with_seed(1),
        }
    }

    fn failed(&mut self, stamp: Stamp) -> Verdict {
        self.ejection.failed(stamp, self.now, &mut self.rng)
    }

    fn dropped_early(&mut self, stamp: Stamp) -> Verdict {
        self.ejection.dropped_early(stamp, self.now, &mut self.rng)
    }

    /// Fails the next pick, and says for how long that ejects.
    fn eject(&mut self) -> Duration {
        let stamp = self.ejection.picked();
        let Verdict::Out(until) = self.failed(stamp) else {
            panic!("not ejected")
        };
        until - self.now
    }

    fn eject_for_early_drops(&mut self) {
        for _ in 0..EARLY_DROPS {
            let stamp = self.ejection.picked();
            self.dropped_early(stamp);
        }
        assert!(self.ejection.is_out());
    }

    /// Moves on to the time of the trial, and picks it.
    fn trial(&mut self) -> Stamp {
        self.now = self.ejection.until().expect("it is ejected");
        assert_eq!(
            self.ejection.expire(self.ejection.epoch(), self.now),
            Verdict::Back
        );
        self.ejection.picked()
    }
}

#[test]
fn a_failed_dial_ejects_until_the_time_is_over_and_not_earlier() {
    let mut harness = Harness::new();
    let duration = harness.eject();
    assert!(harness.ejection.is_out());
    let epoch = harness.ejection.epoch();
    let almost = harness.now + duration - Duration::from_nanos(1);
    assert_eq!(harness.ejection.expire(epoch, almost), Verdict::Nothing);
    assert_eq!(
        harness.ejection.expire(epoch, harness.now + duration),
        Verdict::Back
    );
    assert!(!harness.ejection.is_out());
}

#[test]
fn one_pick_is_the_trial_and_the_endpoint_is_out_until_its_verdict() {
    let mut harness = Harness::new();
    harness.eject();
    assert!(harness.trial().trial);
    assert!(harness.ejection.is_out());
    assert!(!harness.ejection.picked().trial, "a second pick is no trial");
}

#[test]
fn a_trial_that_is_established_brings_the_endpoint_back() {
    let mut harness = Harness::new();
    harness.eject();
    let trial = harness.trial();
    assert_eq!(harness.ejection.established(trial, harness.now), Verdict::Back);
    assert!(!harness.ejection.is_out() && !harness.ejection.is_suspect());
    assert_eq!((harness.ejection.failures(), harness.ejection.until()), (0, None));
}

#[test]
fn each_failed_trial_ejects_for_longer_and_a_success_starts_again() {
    let mut harness = Harness::new();
    let bounds = [(1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30), (15, 30)];
    for (n, (least, most)) in bounds.into_iter().enumerate() {
        let duration = harness.eject();
        assert!(
            (least * SECOND..=most * SECOND).contains(&duration),
            "ejection {n}: {duration:?}"
        );
        assert_eq!(harness.ejection.failures() as usize, n + 1);
        harness.now = harness.ejection.until().unwrap();
        harness.ejection.expire(harness.ejection.epoch(), harness.now);
    }
    let trial = harness.ejection.picked();
    harness.ejection.established(trial, harness.now);
    assert!(harness.eject() <= 2 * SECOND);
}

#[test]
fn the_length_of_an_ejection_is_jittered_over_its_whole_range() {
    let mut rng = Rng::with_seed(2);
    let drawn: Vec<_> = (0..1000).map(|_| duration(1, &mut rng)).collect();
    assert!(
        drawn.iter().any(|d| *d < SECOND.mul_f64(1.05)) && drawn.iter().any(|d| *d > SECOND.mul_f64(1.95))
    );
    assert!(
        drawn
            .iter()
            .chain([&duration(u32::MAX, &mut rng)])
            .all(|d| (SECOND..=LONGEST).contains(d))
    );
}

/// A backend restart fails every dial that is under way at the same moment. Were each of them counted, the endpoint would
/// be out for the longest time at once.
#[test]
fn dials_that_fail_together_are_one_failure() {
    let mut harness = Harness::new();
    let stamps: Vec<_> = (0..50).map(|_| harness.ejection.picked()).collect();
    let verdicts: Vec<_> = stamps.into_iter().map(|stamp| harness.failed(stamp)).collect();
    assert!(matches!(verdicts[0], Verdict::Out(_)));
    assert!(verdicts[1..].iter().all(|verdict| *verdict == Verdict::Nothing));
    assert_eq!(harness.ejection.failures(), 1);
}

#[test]
fn a_failure_while_ejected_makes_it_no_longer_and_a_success_brings_it_back() {
    let mut harness = Harness::new();
    harness.eject();
    let until = harness.ejection.until();
    let (one, other) = (harness.ejection.picked(), harness.ejection.picked());
    assert_eq!(harness.failed(one), Verdict::Nothing);
    assert_eq!(harness.ejection.until(), until);
    assert_eq!(harness.ejection.established(other, harness.now), Verdict::Back);
}

#[test]
fn a_success_that_was_picked_before_the_ejection_does_not_end_it() {
    let mut harness = Harness::new();
    let before = harness.ejection.picked();
    harness.eject();
    assert_eq!(
        harness.ejection.established(before, harness.now),
        Verdict::Nothing
    );
    assert_eq!(harness.ejection.lasted(before), Verdict::Nothing);
    assert!(harness.ejection.is_out());
}

#[test]
fn a_trial_without_a_verdict_is_open_again() {
    let mut harness = Harness::new();
    harness.eject();
    let trial = harness.trial();
    harness.ejection.ended(trial);
    assert!(!harness.ejection.is_out());
    assert!(harness.ejection.picked().trial);
}

#[test]
fn the_end_of_a_lease_after_its_verdict_changes_nothing() {
    let mut harness = Harness::new();
    harness.eject();
    let failed = harness.trial();
    harness.failed(failed);
    harness.ejection.ended(failed);
    assert!(
        harness.ejection.is_out(),
        "a failed trial does not open itself again"
    );
    let established = harness.trial();
    harness.ejection.established(established, harness.now);
    harness.ejection.ended(established);
    assert!(!harness.ejection.is_suspect());
}

#[test]
fn three_early_drops_in_a_row_eject() {
    let mut harness = Harness::new();
    let stamp = harness.ejection.picked();
    assert_eq!(harness.dropped_early(stamp), Verdict::Nothing);
    assert_eq!(harness.dropped_early(stamp), Verdict::Nothing);
    assert!(matches!(harness.dropped_early(stamp), Verdict::Out(_)));
}

#[test]
fn a_session_that_lasts_ends_the_row_of_early_drops() {
    let mut harness = Harness::new();
    let stamp = harness.ejection.picked();
    for _ in 0..5 {
        harness.dropped_early(stamp);
        harness.dropped_early(stamp);
        harness.ejection.lasted(stamp);
    }
    assert!(!harness.ejection.is_out());
}

#[test]
fn the_101_does_not_end_the_row_of_early_drops() {
    let mut harness = Harness::new();
    for _ in 0..EARLY_DROPS {
        let stamp = harness.ejection.picked();
        assert_eq!(harness.ejection.established(stamp, harness.now), Verdict::Nothing);
        harness.dropped_early(stamp);
    }
    assert!(harness.ejection.is_out());
}

/// It gives a 101 to every trial; what was wrong with it comes after the 101.
#[test]
fn after_early_drops_the_trial_has_to_last_too() {
    let mut harness = Harness::new();
    harness.eject_for_early_drops();
    let trial = harness.trial();
    let Verdict::Proving(until) = harness.ejection.established(trial, harness.now) else {
        panic!("back at once")
    };
    assert!(harness.ejection.is_out());
    let epoch = harness.ejection.epoch();
    assert_eq!(
        harness.ejection.expire(epoch, until - Duration::from_nanos(1)),
        Verdict::Nothing
    );
    assert_eq!(harness.ejection.expire(epoch, until), Verdict::Back);
    assert_eq!(harness.ejection.failures(), 0);
}

#[test]
fn after_early_drops_a_trial_that_says_it_lasted_is_believed() {
    let mut harness = Harness::new();
    harness.eject_for_early_drops();
    let trial = harness.trial();
    harness.ejection.established(trial, harness.now);
    assert_eq!(harness.ejection.lasted(trial), Verdict::Back);
}

#[test]
fn a_trial_that_is_dropped_early_ejects_for_longer() {
    let mut harness = Harness::new();
    harness.eject_for_early_drops();
    let trial = harness.trial();
    harness.ejection.established(trial, harness.now);
    let Verdict::Out(until) = harness.dropped_early(trial) else {
        panic!("not ejected")
    };
    assert!(until >= harness.now + 2 * SECOND);
    assert_eq!(harness.ejection.failures(), 2);
}

#[test]
fn a_trial_that_ends_while_proving_is_open_again() {
    let mut harness = Harness::new();
    harness.eject_for_early_drops();
    let trial = harness.trial();
    harness.ejection.established(trial, harness.now);
    harness.ejection.ended(trial);
    assert!(harness.ejection.picked().trial);
}

#[test]
fn an_early_drop_after_a_successful_trial_counts_in_the_row() {
    let mut harness = Harness::new();
    harness.eject();
    let trial = harness.trial();
    let verdict = harness.ejection.established(trial, harness.now);
    let stamp = harness.ejection.renewed(trial, verdict);
    let last = (0..EARLY_DROPS).map(|_| harness.dropped_early(stamp)).last();
    assert!(matches!(last, Some(Verdict::Out(_))));
}

#[test]
fn another_address_starts_with_a_clean_slate() {
    let mut harness = Harness::new();
    harness.eject();
    let trial = harness.trial();
    harness.ejection.forget();
    assert!(!harness.ejection.is_suspect());
    assert_eq!(
        harness.failed(trial),
        Verdict::Nothing,
        "the old address failed, not the new one"
    );
}

#[test]
fn a_stamp_survives_its_bits() {
    for epoch in [0, 1, u32::MAX >> 1] {
        for trial in [false, true] {
            let stamp = Stamp { epoch, trial };
            assert_eq!(Stamp::from_bits(stamp.to_bits()), stamp);
        }
    }
    assert_eq!(next(u32::MAX >> 1), 0);
}
