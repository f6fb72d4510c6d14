//! The better of two candidates drawn at random.
//!
//! Many routers that share the same endpoints do not all see the same "best" one and rush to it. Candidates are drawn by
//! weight: drawn evenly, an endpoint among n could never hold more than 2/n of the sessions, whatever its weight.

use fastrand::Rng;
use tower::load::Load;

use super::{Slot, Strategy};
use crate::balance::load::Sessions;

#[derive(Debug, Default)]
pub(super) struct PowerOfTwo {
    /// Dense, in no order.
    candidates: Vec<Candidate>,
    /// By slot, where it is in `candidates`.
    positions: Vec<Option<u32>>,
    weights: Weights,
}

#[derive(Debug)]
struct Candidate {
    slot: Slot,
    sessions: Sessions,
}

impl Strategy for PowerOfTwo {
    fn insert(&mut self, slot: Slot, sessions: Sessions, _: &mut Rng) {
        if self.positions.len() <= slot as usize {
            self.positions.resize(slot as usize + 1, None);
        }
        self.positions[slot as usize] = Some(self.candidates.len() as u32);
        self.candidates.push(Candidate { slot, sessions });
        self.weights.push(sessions.weight.get());
    }

    fn update(&mut self, slot: Slot, sessions: Sessions, _: &mut Rng) {
        if let Some(position) = self.position(slot) {
            let old = std::mem::replace(&mut self.candidates[position].sessions, sessions);
            if old.weight != sessions.weight {
                self.weights.lower(position, old.weight.get());
                self.weights.raise(position, sessions.weight.get());
            }
        }
    }

    fn remove(&mut self, slot: Slot) {
        let Some(position) = self.position(slot) else {
            return;
        };
        let last = self.candidates.len() - 1;
        let moved = self.candidates[last].sessions.weight.get();
        self.weights
            .lower(position, self.candidates[position].sessions.weight.get());
        if position != last {
            self.weights.lower(last, moved);
            self.weights.raise(position, moved);
            self.positions[self.candidates[last].slot as usize] = Some(position as u32);
        }
        self.weights.pop();
        self.candidates.swap_remove(position);
        self.positions[slot as usize] = None;
    }

    fn pick(&mut self, tried: &[Slot], rng: &mut Rng) -> Option<Slot> {
        // Those that must not be drawn weigh nothing for the length of this pick.
        self.hide(tried);
        let first = self.draw(rng);
        let second = first.and_then(|slot| {
            self.hide(&[slot]);
            let second = self.draw(rng);
            self.show(&[slot]);
            second
        });
        self.show(tried);
        // `min_by_key` keeps the first of equals, which was drawn at random.
        first
            .into_iter()
            .chain(second)
            .min_by_key(|slot| self.load(*slot))
    }
}

impl PowerOfTwo {
    fn draw(&self, rng: &mut Rng) -> Option<Slot> {
        let total = self.weights.total();
        (total > 0).then(|| self.candidates[self.weights.find(rng.u64(..total))].slot)
    }

    fn hide(&mut self, slots: &[Slot]) {
        for position in slots
            .iter()
            .filter_map(|slot| self.positions.get(*slot as usize).copied().flatten())
        {
            let weight = self.candidates[position as usize].sessions.weight.get();
            self.weights.lower(position as usize, weight);
        }
    }

    fn show(&mut self, slots: &[Slot]) {
        for position in slots
            .iter()
            .filter_map(|slot| self.positions.get(*slot as usize).copied().flatten())
        {
            let weight = self.candidates[position as usize].sessions.weight.get();
            self.weights.raise(position as usize, weight);
        }
    }

    fn load(&self, slot: Slot) -> u64 {
        self.position(slot)
            .map_or(u64::MAX, |position| self.candidates[position].sessions.load())
    }

    fn position(&self, slot: Slot) -> Option<usize> {
        self.positions
            .get(slot as usize)
            .copied()
            .flatten()
            .map(|position| position as usize)
    }
}

// === impl Weights ===

/// Weights by position, with their running sums: a Fenwick tree, in which the node at i (from 1) holds the sum of the
/// i & -i weights that end at i.
#[derive(Debug, Default)]
struct Weights {
    nodes: Vec<u64>,
    total: u64,
}

impl Weights {
    fn total(&self) -> u64 {
        self.total
    }

    fn push(&mut self, weight: u32) {
        let node = self.nodes.len() + 1;
        // The new node covers the complete nodes below it, which are found at its lower ends.
        let mut sum = u64::from(weight);
        let mut below = node - 1;
        while below > node - (node & node.wrapping_neg()) {
            sum += self.nodes[below - 1];
            below -= below & below.wrapping_neg();
        }
        self.nodes.push(sum);
        self.total += u64::from(weight);
    }

    /// Drops the last position, whose weight is 0 by now.
    fn pop(&mut self) {
        self.nodes.pop();
    }

    fn raise(&mut self, position: usize, by: u32) {
        self.total += u64::from(by);
        let mut node = position + 1;
        while node <= self.nodes.len() {
            self.nodes[node - 1] += u64::from(by);
            node += node & node.wrapping_neg();
        }
    }

    fn lower(&mut self, position: usize, by: u32) {
        self.total -= u64::from(by);
        let mut node = position + 1;
        while node <= self.nodes.len() {
            self.nodes[node - 1] -= u64::from(by);
            node += node & node.wrapping_neg();
        }
    }

    /// The position in whose part of the whole `point` (below the total) falls.
    fn find(&self, mut point: u64) -> usize {
        let mut position = 0;
        let mut step = self.nodes.len().checked_ilog2().map_or(0, |log| 1 << log);
        while step > 0 {
            if position + step <= self.nodes.len() && self.nodes[position + step - 1] <= point {
                position += step;
                point -= self.nodes[position - 1];
            }
            step /= 2;
        }
        position
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prop_assert_eq, proptest};

    use super::Weights;

    proptest! {
        #[test]
        fn a_point_falls_in_the_part_of_its_position(steps in vec((0..4u8, 0..20usize, 1..9u32), 1..60)) {
            let (mut weights, mut model) = (Weights::default(), Vec::<u64>::new());
            for (step, at, weight) in steps {
                let at = at % model.len().max(1);
                match step {
                    0 if !model.is_empty() => {
                        weights.lower(at, model[at] as u32);
                        model[at] = 0;
                    }
                    1 if model.last() == Some(&0) => {
                        weights.pop();
                        model.pop();
                    }
                    2 if !model.is_empty() => {
                        weights.raise(at, weight);
                        model[at] += u64::from(weight);
                    }
                    _ => {
                        weights.push(weight);
                        model.push(u64::from(weight));
                    }
                }
                prop_assert_eq!(weights.total(), model.iter().sum::<u64>());
                let owners = model.iter().enumerate().flat_map(|(i, w)| std::iter::repeat_n(i, *w as usize));
                for (point, owner) in owners.enumerate() {
                    prop_assert_eq!(weights.find(point as u64), owner);
                }
            }
        }
    }
}
