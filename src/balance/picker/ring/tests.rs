//! The ring against what it promises.

use std::{collections::BTreeMap, num::NonZeroU32};

use super::*;

fn sessions(open: usize, weight: u32) -> Sessions {
    Sessions {
        open,
        weight: NonZeroU32::new(weight).unwrap(),
    }
}

fn ring(weights: &[u32]) -> Ring {
    let mut ring = Ring::default();
    for (slot, weight) in (0..).zip(weights) {
        ring.insert(slot, of(slot), sessions(0, *weight));
    }
    ring
}

fn of(slot: Slot) -> u64 {
    point(&Identity::from(format!("pod:{slot}").as_str()))
}

/// Where hashes lead while nobody holds a session.
fn leads(ring: &Ring) -> Vec<Slot> {
    (0..4000)
        .map(|hash| ring.pick(mix(hash), &[]).expect("a candidate"))
        .collect()
}

#[test]
fn a_hash_leads_to_the_same_candidate_whoever_came_first() {
    let one = ring(&[1; 20]);
    let mut other = Ring::default();
    for slot in (0..20).rev() {
        other.insert(slot, of(slot), sessions(0, 1));
    }
    assert_eq!(leads(&one), leads(&other));
}

#[test]
fn a_candidate_that_goes_moves_only_its_own_and_one_that_comes_takes_its_share() {
    let mut ring = ring(&[1; 20]);
    let before = leads(&ring);
    ring.remove(7);
    let without = leads(&ring);
    for (was, is) in before.iter().zip(&without) {
        assert!(was == is || *was == 7);
        assert_ne!(*is, 7);
    }
    let moved = before.iter().filter(|slot| **slot == 7).count();
    assert!((1..2 * 4000 / 20).contains(&moved), "{moved}");
    ring.insert(7, of(7), sessions(0, 1));
    assert_eq!(leads(&ring), before);
}

#[test]
fn no_candidate_of_a_few_is_forgotten() {
    for endpoints in [2, 3, 5] {
        let ring = ring(&vec![1; endpoints]);
        for slot in (0..).take(endpoints) {
            let count = leads(&ring).into_iter().filter(|led| *led == slot).count();
            assert!(count > 4000 / endpoints / 2, "{count} of {endpoints}");
        }
    }
}

#[test]
fn candidates_are_led_to_by_their_weight() {
    let ring = ring(&[1, 1, 1, 1, 1, 1, 1, 1, 4, 4]);
    let mut counts = BTreeMap::<Slot, usize>::new();
    leads(&ring)
        .iter()
        .for_each(|slot| *counts.entry(*slot).or_default() += 1);
    let heavy = counts[&8] + counts[&9];
    // Half of all; with so few points it is not exact.
    assert!((1500..2500).contains(&heavy), "{counts:?}");
}

#[test]
fn nobody_gets_more_than_a_quarter_above_its_share_even_of_one_hash() {
    let mut ring = ring(&[1, 1, 2, 4]);
    let mut open = [0; 4];
    for _ in 0..800 {
        let slot = ring.pick(42, &[]).expect("a candidate");
        open[slot as usize] += 1;
        let weight = [1, 1, 2, 4][slot as usize];
        ring.update(slot, sessions(open[slot as usize], weight));
    }
    for (slot, weight) in [1, 1, 2, 4].into_iter().enumerate() {
        assert!(open[slot] <= 100 * weight * 5 / 4 + 1, "{open:?}");
    }
}

#[test]
fn a_tried_candidate_is_left_out_and_an_empty_ring_has_none() {
    let mut ring = ring(&[1, 1]);
    let first = ring.pick(5, &[]).expect("a candidate");
    assert_eq!(ring.pick(5, &[first]), Some(1 - first));
    assert_eq!(ring.pick(5, &[0, 1]), None);
    ring.remove(0);
    ring.remove(1);
    ring.remove(1);
    assert_eq!(ring.pick(5, &[]), None);
}
