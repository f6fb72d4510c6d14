//! What every strategy promises, and what each adds.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use fastrand::Rng;
use proptest::{
    arbitrary::any,
    collection::{btree_set, vec},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
    strategy::Just,
};

use super::{Sessions, Slot, Strategy, config, named};
use crate::config::Strategy::{LeastConnection, PowerOfTwo, RoundRobin};

const ALL: [config::Strategy; 3] = [RoundRobin, LeastConnection, PowerOfTwo];

/// A strategy with the counts it is told of, as the picker keeps them.
#[derive(Debug)]
struct Harness {
    strategy: Box<dyn Strategy>,
    sessions: BTreeMap<Slot, Sessions>,
    rng: Rng,
}

impl Harness {
    fn new(name: config::Strategy, weights: &[u32], seed: u64) -> Self {
        let mut harness = Self {
            strategy: named(name),
            sessions: BTreeMap::new(),
            rng: Rng::with_seed(seed),
        };
        for (slot, weight) in weights.iter().enumerate() {
            harness.insert(slot as Slot, *weight);
        }
        harness
    }

    fn insert(&mut self, slot: Slot, weight: u32) {
        let sessions = Sessions {
            open: 0,
            weight: NonZeroU32::new(weight).unwrap(),
        };
        self.sessions.insert(slot, sessions);
        self.strategy.insert(slot, sessions, &mut self.rng);
    }

    fn remove(&mut self, slot: Slot) {
        self.sessions.remove(&slot);
        self.strategy.remove(slot);
    }

    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Sessions)) {
        let sessions = self.sessions.get_mut(&slot).unwrap();
        change(sessions);
        self.strategy.update(slot, *sessions, &mut self.rng);
    }

    /// A pick whose session stays open.
    fn pick(&mut self, tried: &[Slot]) -> Option<Slot> {
        let slot = self.strategy.pick(tried, &mut self.rng)?;
        self.change(slot, |sessions| sessions.open += 1);
        Some(slot)
    }

    fn open(&self) -> Vec<usize> {
        self.sessions.values().map(|sessions| sessions.open).collect()
    }
}

fn weights(most: usize) -> impl proptest::strategy::Strategy<Value = Vec<u32>> {
    vec(prop_oneof![Just(1), 1..10u32, 1..200u32], 1..most)
}

#[test]
fn nine_thousand_sessions_spread_evenly_over_four_endpoints() {
    for (name, bound) in [(RoundRobin, 1.02), (LeastConnection, 1.02), (PowerOfTwo, 1.10)] {
        for seed in 0..20 {
            let mut harness = Harness::new(name, &[1; 4], seed);
            (0..9000).for_each(|_| assert!(harness.pick(&[]).is_some()));
            let most = harness.open().into_iter().max().unwrap() as f64;
            assert!(most / 2250.0 <= bound, "{name:?}: {:?}", harness.open());
        }
    }
}

proptest! {
    #[test]
    fn a_pick_is_an_untried_candidate_whenever_there_is_one(
        steps in vec((0..5u8, 0..10u32, 1..5u32, btree_set(0..12u32, 0..4)), 1..80),
        seed in any::<u64>(),
    ) {
        for name in ALL {
            let mut harness = Harness::new(name, &[], seed);
            for (step, slot, weight, tried) in &steps {
                let tried = &Vec::from_iter(tried.iter().copied());
                let present = harness.sessions.contains_key(slot);
                match step {
                    0 if !present => harness.insert(*slot, *weight),
                    1 if present => harness.remove(*slot),
                    2 if present => harness.change(*slot, |s| s.weight = NonZeroU32::new(*weight).unwrap()),
                    3 if present => harness.change(*slot, |s| s.open = s.open.saturating_sub(1)),
                    _ => {
                        let left = harness.sessions.keys().any(|slot| !tried.contains(slot));
                        let picked = harness.pick(tried);
                        prop_assert_eq!(picked.is_some(), left);
                        prop_assert!(picked.is_none_or(|slot| !tried.contains(&slot)));
                    }
                }
            }
        }
    }

    #[test]
    fn round_robin_is_never_more_than_one_session_off_a_share(weights in weights(12), seed in any::<u64>()) {
        let mut harness = Harness::new(RoundRobin, &weights, seed);
        let total: u32 = weights.iter().sum();
        for picks in 1..=2 * total {
            harness.pick(&[]);
            for (open, weight) in harness.open().into_iter().zip(&weights) {
                let share = f64::from(picks) * f64::from(*weight) / f64::from(total);
                prop_assert!((open as f64 - share).abs() <= 1.0 + 1e-9, "{open} of {share} after {picks}");
            }
        }
    }

    #[test]
    fn round_robin_over_equals_keeps_one_order(count in 1..40usize, seed in any::<u64>()) {
        let mut harness = Harness::new(RoundRobin, &vec![3; count], seed);
        let first: Vec<_> = (0..count).map(|_| harness.pick(&[])).collect();
        prop_assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), count);
        for _ in 0..3 {
            prop_assert_eq!(&first, &(0..count).map(|_| harness.pick(&[])).collect::<Vec<_>>());
        }
    }

    #[test]
    fn least_connection_leaves_nothing_to_gain_by_moving_a_session(weights in weights(12), seed in any::<u64>()) {
        let mut harness = Harness::new(LeastConnection, &weights, seed);
        for _ in 0..500 {
            harness.pick(&[]);
            let all = harness.sessions.values().map(|s| (s.open as u64, u64::from(s.weight.get())));
            let worst = all.clone().map(|(open, weight)| (open << 32) / weight).max().unwrap();
            let best = all.map(|(open, weight)| ((open + 1) << 32) / weight).min().unwrap();
            prop_assert!(worst <= best);
        }
    }
}

#[test]
fn round_robin_interleaves_a_heavy_endpoint() {
    let mut harness = Harness::new(RoundRobin, &[3, 1], 1);
    let order: Vec<_> = (0..8).filter_map(|_| harness.pick(&[])).collect();
    assert_eq!(order, [0, 1, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn round_robin_gives_a_returning_endpoint_no_burst() {
    let mut harness = Harness::new(RoundRobin, &[1; 4], 7);
    (0..10).for_each(|_| assert!(harness.pick(&[]).is_some()));
    harness.remove(2);
    (0..999).for_each(|_| assert!(harness.pick(&[]).is_some()));
    harness.insert(2, 1);
    (0..40).for_each(|_| assert!(harness.pick(&[]).is_some()));
    let open = harness.sessions[&2].open;
    assert!((10..=11).contains(&open), "{open} of 40 sessions");
}

/// A registry that turns load into weights changes them all the time.
#[test]
fn round_robin_stays_fair_when_a_weight_keeps_changing() {
    let mut harness = Harness::new(RoundRobin, &[4; 4], 3);
    for pick in 0..4000u32 {
        harness.change(0, |sessions| {
            sessions.weight = NonZeroU32::new(3 + pick % 3).unwrap()
        });
        assert!(harness.pick(&[]).is_some());
    }
    let open = harness.sessions[&0].open;
    assert!((900..=1100).contains(&open), "{open} of 4000 sessions");
}

/// Routers that start together must not all begin with the same endpoint.
#[test]
fn the_first_of_equals_is_drawn_at_random() {
    for name in ALL {
        let mut firsts = [0; 4];
        for seed in 0..4000 {
            firsts[Harness::new(name, &[1; 4], seed).pick(&[]).unwrap() as usize] += 1;
        }
        assert!(
            firsts.iter().all(|first| (850..1150).contains(first)),
            "{name:?}: {firsts:?}"
        );
    }
}

#[test]
fn least_connection_starves_nobody_where_sessions_are_short() {
    for seed in 0..1_000 {
        let mut harness = Harness::new(LeastConnection, &[1, 1], seed);
        let mut others = 0;
        while harness.pick(&[]) == Some(0) {
            harness.change(0, |sessions| sessions.open -= 1);
            others += 1;
            assert!(others < 64, "seed {seed}: never the one that no pick has changed");
        }
    }
}

#[test]
fn least_connection_breaks_each_tie_anew() {
    let mut harness = Harness::new(LeastConnection, &[1; 4], 5);
    let rounds: BTreeSet<_> = (0..200).map(|_| [(); 4].map(|()| harness.pick(&[]))).collect();
    assert_eq!(rounds.len(), 24, "every order of four appears in 200 rounds");
}

/// Drawn evenly, the heavy endpoint would be a candidate in 2 of 10 picks and could not hold more than that.
#[test]
fn power_of_two_fills_an_endpoint_that_outweighs_the_others() {
    let mut harness = Harness::new(PowerOfTwo, &[10, 1, 1, 1, 1, 1, 1, 1, 1, 1], 11);
    (0..1900).for_each(|_| assert!(harness.pick(&[]).is_some()));
    let open = harness.open();
    assert!((950..=1050).contains(&open[0]), "{open:?}");
    assert!(open[1..].iter().all(|open| (80..=120).contains(open)), "{open:?}");
}
