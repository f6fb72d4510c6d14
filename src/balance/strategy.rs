//! How an endpoint is chosen among the candidates: one file for each strategy.
//!
//! In: candidates as slot numbers with their [`Sessions`], as they come, change and go. Out: a slot.
//!
//! Promises of every strategy:
//! - It is pure: no clock, no lock, and its only randomness is the generator it is given.
//! - `pick` returns a candidate that was not tried whenever there is one.
//! - Everything is O(log n), `pick` O((tried + 1) log n).
//!
//! Not here: who is a candidate. Draining, full, ejected and tried endpoints are the business of [`super::picker`].

mod least_connection;
mod power_of_two;
mod round_robin;

use std::fmt;

use fastrand::Rng;

use super::load::Sessions;
use crate::config;

/// An endpoint's place in the picker's table.
pub(super) type Slot = u32;

/// An order over the candidates.
pub(super) trait Strategy: fmt::Debug + Send {
    /// Takes in a new candidate.
    fn insert(&mut self, slot: Slot, sessions: Sessions, rng: &mut Rng);
    /// A candidate's sessions or weight changed.
    fn update(&mut self, slot: Slot, sessions: Sessions, rng: &mut Rng);
    /// Leaves out a candidate.
    fn remove(&mut self, slot: Slot);
    /// The candidate that is next, of those that are not in `tried` (which names each slot once). Its session is reported
    /// by `update` or `remove`.
    fn pick(&mut self, tried: &[Slot], rng: &mut Rng) -> Option<Slot>;
}

/// The strategy of that name, without candidates.
pub(super) fn named(name: config::Strategy) -> Box<dyn Strategy> {
    match name {
        config::Strategy::RoundRobin => Box::<round_robin::RoundRobin>::default(),
        config::Strategy::LeastConnection => Box::<least_connection::LeastConnection>::default(),
        config::Strategy::PowerOfTwo => Box::<power_of_two::PowerOfTwo>::default(),
    }
}

#[cfg(test)]
mod tests;
