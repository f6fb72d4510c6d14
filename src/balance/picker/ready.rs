//! The candidates that are not ejected: those near, and those far, which a registry asks others to use.
//!
//! Far ones are better than nobody: they are asked where the request has tried every near one, or where those are ejected
//! or full. A limit of sessions is there to spread load, and a registry's hint is no reason to refuse any.

use fastrand::Rng;

use crate::{
    balance::strategy::{self, Slot, Strategy},
    config,
};

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) near: Box<dyn Strategy>,
    pub(super) far: Box<dyn Strategy>,
}

impl Ready {
    /// Without candidates.
    pub(super) fn new(name: config::Strategy) -> Self {
        Self {
            near: strategy::named(name),
            far: strategy::named(name),
        }
    }

    /// The candidate that is next, of those that are not in `tried`; a near one if there is any.
    pub(super) fn pick(&mut self, tried: &[Slot], rng: &mut Rng) -> Option<Slot> {
        let near = self.near.pick(tried, rng);
        near.or_else(|| self.far.pick(tried, rng))
    }
}
