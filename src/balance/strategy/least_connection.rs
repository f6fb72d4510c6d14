//! The endpoint with the fewest sessions for its weight; ties are broken at random.
//!
//! The candidates stay sorted by load, so that a pick looks at one of them and not at ten thousand.

use std::collections::BTreeSet;

use fastrand::Rng;
use tower::load::Load;

use super::{Slot, Strategy};
use crate::balance::load::Sessions;

#[derive(Debug, Default)]
pub(super) struct LeastConnection {
    order: BTreeSet<(Rank, Slot)>,
    /// By slot.
    ranks: Vec<Option<Rank>>,
}

/// The load, and a number drawn anew at each change: the place within a tie.
type Rank = (u64, u32);

impl Strategy for LeastConnection {
    fn insert(&mut self, slot: Slot, sessions: Sessions, rng: &mut Rng) {
        let rank = (sessions.load(), rng.u32(..));
        if self.ranks.len() <= slot as usize {
            self.ranks.resize(slot as usize + 1, None);
        }
        self.ranks[slot as usize] = Some(rank);
        self.order.insert((rank, slot));
    }

    fn update(&mut self, slot: Slot, sessions: Sessions, rng: &mut Rng) {
        self.remove(slot);
        self.insert(slot, sessions, rng);
    }

    fn remove(&mut self, slot: Slot) {
        if let Some(rank) = self.ranks[slot as usize].take() {
            self.order.remove(&(rank, slot));
        }
    }

    /// Within a tie it begins at random: were it always the first, one that no pick changes would keep a bad place, and
    /// an endpoint that has just come could wait for a second where sessions are short.
    fn pick(&mut self, tried: &[Slot], rng: &mut Rng) -> Option<Slot> {
        let untried = |(_, slot): &&(Rank, Slot)| !tried.contains(slot);
        let first = self.order.iter().find(untried)?;
        let ((load, _), _) = *first;
        let tie = ((load, rng.u32(..)), 0)..=((load, u32::MAX), Slot::MAX);
        let (_, slot) = self.order.range(tie).find(untried).unwrap_or(first);
        Some(*slot)
    }
}
