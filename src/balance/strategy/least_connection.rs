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

/// The load, and a number drawn anew at each change: routers that start together must not all begin with the endpoint
/// that sorts first.
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

    fn pick(&mut self, tried: &[Slot], _: &mut Rng) -> Option<Slot> {
        self.order
            .iter()
            .map(|(_, slot)| *slot)
            .find(|slot| !tried.contains(slot))
    }
}
