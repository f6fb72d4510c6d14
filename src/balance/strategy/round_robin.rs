//! In turn, by weight, interleaved smoothly: of weights 3 and 1 the order is A B A A, not A A A B, and at any moment no
//! endpoint is more than one session off its share.
//!
//! Earliest eligible deadline first. An endpoint of weight w is due once in each 1/w of virtual time, which one pick
//! moves on by 1/(sum of weights). Its turn k starts at k/w and should be over by (k+1)/w; a pick takes, of those whose
//! turn has started, the one whose turn ends first. Deadlines alone are not enough: a heavy endpoint would be picked
//! many times in a row before the first light one.
//!
//! A candidate that comes back starts at the present virtual time: it is owed nothing for its absence.

use std::{collections::BTreeSet, num::NonZeroU32};

use fastrand::Rng;

use super::{Slot, Strategy};
use crate::balance::load::Sessions;

#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    now: Virtual,
    /// The sum of the candidates' weights.
    weights: u64,
    /// Those whose turn has started, by its end.
    started: BTreeSet<(Virtual, Tie, Slot)>,
    /// Those whose turn is to come, by its start.
    waiting: BTreeSet<(Virtual, Tie, Slot)>,
    /// By slot.
    turns: Vec<Option<Turn>>,
}

/// Virtual time with 64 binary places: 2^32 picks of the smallest step move it by less than 1.
type Virtual = u128;

/// Drawn once for each candidate: the order among equals stays, and differs from router to router.
type Tie = u32;

#[derive(Clone, Copy, Debug)]
struct Turn {
    start: Virtual,
    weight: NonZeroU32,
    tie: Tie,
    started: bool,
}

const ONE: Virtual = 1 << 64;

impl Strategy for RoundRobin {
    fn insert(&mut self, slot: Slot, sessions: Sessions, rng: &mut Rng) {
        if self.turns.len() <= slot as usize {
            self.turns.resize(slot as usize + 1, None);
        }
        self.weights += u64::from(sessions.weight.get());
        self.queue(
            slot,
            Turn {
                start: self.now,
                weight: sessions.weight,
                tie: rng.u32(..),
                started: true,
            },
        );
    }

    fn update(&mut self, slot: Slot, sessions: Sessions, _: &mut Rng) {
        // Only a new weight matters here. The turn keeps its start: an endpoint whose weight changes often would
        // otherwise always be next.
        let changed = self.turns[slot as usize].filter(|turn| turn.weight != sessions.weight);
        if let Some(turn) = changed {
            self.remove(slot);
            self.weights += u64::from(sessions.weight.get());
            self.queue(
                slot,
                Turn {
                    weight: sessions.weight,
                    ..turn
                },
            );
        }
    }

    fn remove(&mut self, slot: Slot) {
        if let Some(turn) = self.unqueue(slot) {
            self.weights -= u64::from(turn.weight.get());
        }
    }

    fn pick(&mut self, tried: &[Slot], _: &mut Rng) -> Option<Slot> {
        self.start_turns();
        let untried = |(_, _, slot): &&(Virtual, Tie, Slot)| !tried.contains(slot);
        let (_, _, slot) = *self
            .started
            .iter()
            .find(untried)
            .or_else(|| self.waiting.iter().find(untried))?;
        let turn = self.unqueue(slot)?;
        self.queue(
            slot,
            Turn {
                start: turn.end(),
                started: false,
                ..turn
            },
        );
        // Rounded up, as `Turn::end` is rounded down: at the very moment a turn starts, it has started.
        self.now += ONE.div_ceil(u128::from(self.weights));
        Some(slot)
    }
}

impl RoundRobin {
    /// Waiting -> started, for every turn whose start has come.
    fn start_turns(&mut self) {
        if self.started.is_empty() {
            // After a removal virtual time can be behind every start. Nobody's turn: the next one's starts now.
            let soonest = self.waiting.first().map_or(self.now, |(start, ..)| *start);
            self.now = self.now.max(soonest);
        }
        while let Some((start, _, slot)) = self.waiting.first().copied()
            && start <= self.now
            && let Some(turn) = self.unqueue(slot)
        {
            self.queue(
                slot,
                Turn {
                    started: true,
                    ..turn
                },
            );
        }
    }

    fn queue(&mut self, slot: Slot, turn: Turn) {
        self.turns[slot as usize] = Some(turn);
        match turn.started {
            true => self.started.insert((turn.end(), turn.tie, slot)),
            false => self.waiting.insert((turn.start, turn.tie, slot)),
        };
    }

    fn unqueue(&mut self, slot: Slot) -> Option<Turn> {
        let turn = self.turns[slot as usize].take()?;
        match turn.started {
            true => self.started.remove(&(turn.end(), turn.tie, slot)),
            false => self.waiting.remove(&(turn.start, turn.tie, slot)),
        };
        Some(turn)
    }
}

// === impl Turn ===

impl Turn {
    fn end(&self) -> Virtual {
        self.start + ONE / u128::from(self.weight.get())
    }
}
