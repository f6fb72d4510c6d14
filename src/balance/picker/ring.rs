//! The endpoint that a hash leads to: consistent, by weight, and with a bound on its load.
//!
//! In: candidates with their points on a circle of 2^64, and their sessions. Out: a slot for a hash.
//!
//! Each candidate has [`POINTS`] points. A hash looks from [`PROBES`] places for the next point clockwise and prefers the
//! candidate whose point is the nearest for its weight ("multi-probe consistent hashing"): as even as hundreds of points
//! for each candidate, at a fraction of the memory.
//!
//! Promises:
//! - where weights are equal, a candidate that comes or goes moves only the hashes that lead to it: 1/n of them;
//! - no candidate is given more than [`BOUND`] times its share of the sessions: those above it go to the candidates of
//!   the other probes, then clockwise, and after [`WALK`] steps the caller's strategy decides;
//! - a pick is O(log n). Replicas that list the same identities agree, but for the bound.

use std::collections::BTreeSet;

use discovery::Identity;
use sha2::{Digest, Sha256};

use crate::balance::{load::Sessions, strategy::Slot};

/// Points of a candidate. With one, the least of three candidates may have a tenth of its share; with eight, four fifths.
const POINTS: u64 = 8;
/// Places from which a hash looks: with these the fullest candidate has a fifth more than its share.
const PROBES: usize = 8;
/// How far above its share a candidate may be, as a fraction. Tighter moves hashes for the sake of one session.
const BOUND: (u128, u128) = (5, 4);
/// Points looked at beyond those of the probes.
const WALK: usize = 64;

/// The candidates on the circle.
#[derive(Debug, Default)]
pub(super) struct Ring {
    points: BTreeSet<(u64, Slot)>,
    /// By slot.
    members: Vec<Option<Member>>,
    open: usize,
    weights: u64,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    point: u64,
    sessions: Sessions,
}

impl Ring {
    /// Takes in a new candidate.
    pub(super) fn insert(&mut self, slot: Slot, point: u64, sessions: Sessions) {
        if self.members.len() <= slot as usize {
            self.members.resize(slot as usize + 1, None);
        }
        self.members[slot as usize] = Some(Member { point, sessions });
        self.points.extend(places(point).map(|place| (place, slot)));
        self.open += sessions.open;
        self.weights += u64::from(sessions.weight.get());
    }

    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.members.get(slot as usize).is_some_and(Option::is_some)
    }

    /// A candidate's sessions or weight changed.
    pub(super) fn update(&mut self, slot: Slot, sessions: Sessions) {
        let Some(Some(member)) = self.members.get_mut(slot as usize) else {
            return;
        };
        let was = std::mem::replace(&mut member.sessions, sessions);
        self.open = self.open + sessions.open - was.open;
        self.weights = self.weights + u64::from(sessions.weight.get()) - u64::from(was.weight.get());
    }

    /// Leaves out a candidate.
    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(member) = self.members.get_mut(slot as usize).and_then(Option::take) {
            for place in places(member.point) {
                self.points.remove(&(place, slot));
            }
            self.open -= member.sessions.open;
            self.weights -= u64::from(member.sessions.weight.get());
        }
    }

    /// The candidate for `hash` that has room under the bound, of those that are not in `tried`.
    pub(super) fn pick(&self, hash: u64, tried: &[Slot]) -> Option<Slot> {
        let mut probed = [(u64::MAX, 0, 0); PROBES];
        for (probe, place) in (0..).zip(&mut probed) {
            *place = self.nearest(mix(hash.wrapping_add(mix(probe))))?;
        }
        probed.sort_unstable();
        let (_, preferred, place) = probed[0];
        let fits = |slot: &Slot| !tried.contains(slot) && self.has_room(*slot);
        probed
            .iter()
            .map(|(_, slot, _)| *slot)
            .chain(self.clockwise((place, preferred)).take(WALK))
            .find(fits)
    }

    /// The next candidate from a place on: its distance for its weight, and where it is.
    fn nearest(&self, place: u64) -> Option<(u64, Slot, u64)> {
        let onwards = self.points.range((place, 0)..).next();
        let &(point, slot) = onwards.or_else(|| self.points.first())?;
        let weight = u64::from(self.members[slot as usize]?.sessions.weight.get());
        Some((point.wrapping_sub(place) / weight, slot, point))
    }

    /// The candidates from a point on.
    fn clockwise(&self, from: (u64, Slot)) -> impl Iterator<Item = Slot> {
        let onwards = self.points.range(from..).chain(self.points.range(..from));
        onwards.map(|(_, slot)| *slot)
    }

    fn has_room(&self, slot: Slot) -> bool {
        self.members[slot as usize].is_some_and(|Member { sessions, .. }| {
            let share = (self.open as u128 + 1) * u128::from(sessions.weight.get()) * BOUND.0;
            (sessions.open as u128) < share.div_ceil(u128::from(self.weights) * BOUND.1)
        })
    }
}

/// Where an endpoint is on the circle: the same in every replica and after every restart.
pub(super) fn point(identity: &Identity) -> u64 {
    let digest = Sha256::new()
        .chain_update(b"longhaul ring\0")
        .chain_update(identity.as_str())
        .finalize();
    u64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}

/// The points of a candidate.
fn places(point: u64) -> impl Iterator<Item = u64> {
    (0..POINTS).map(move |copy| mix(point.wrapping_add(copy)))
}

/// Spreads numbers that are near each other (the finish of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
