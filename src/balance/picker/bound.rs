//! Picks that something binds to an endpoint.
//!
//! In: a [`Bond`]. Out: the endpoint that it names, where it may be used, or what the picker finds otherwise.
//!
//! - A bound request follows its endpoint while that is listed, whatever the limit of sessions and whether it is ejected
//!   or not: the request is part of something that lives there already, and no other endpoint can serve it. So a limit
//!   is exceeded rather than a user's own session cut off, and an endpoint that was ejected for failed dials is dialled
//!   once more rather than given up for it.
//! - An unhealthy endpoint keeps those that only it can serve; others are moved.
//! - Every lease counts as always.

use discovery::{Identity, State};
use tokio::time::Instant;

use super::{
    Picked, Picker,
    entry::Place,
    ring::{self, Ring},
};
use crate::balance::{Listed, Unavailable, load::Sessions, request::Bond, strategy::Slot};

impl Picker {
    pub(in crate::balance) fn pick_bound(
        &mut self,
        bond: &Bond,
        tried: &[Identity],
        now: Instant,
    ) -> Result<Picked, Unavailable> {
        self.expire(now);
        self.tried.clear();
        self.tried
            .extend(tried.iter().filter_map(|identity| self.slots.get(identity)));
        let slot = match bond {
            Bond::None => None,
            Bond::Only(identity) => Some(self.only(identity)?),
            Bond::Rather(identity) => self
                .follow(identity)
                .filter(|(slot, state)| *state != State::Unhealthy && !self.tried.contains(slot))
                .map(|(slot, _)| slot),
            Bond::Hash(hash) => {
                let ring = self.ring.as_ref();
                ring.and_then(|ring| ring.pick(*hash, &self.tried))
            }
        };
        let slot = match slot {
            Some(slot) => slot,
            None => self.pick_any()?,
        };
        Ok(self.take(slot))
    }

    /// What discovery says of an endpoint that it lists.
    pub(in crate::balance) fn look_up(&self, identity: &Identity) -> Option<Listed> {
        let entry = &self.entries[*self.slots.get(identity)? as usize];
        entry.listed.then(|| Listed {
            state: entry.endpoint.state,
            since: entry.since,
        })
    }

    /// Begins or ceases to keep endpoints in the order that hashes need.
    pub(in crate::balance) fn keep_ring(&mut self, keep: bool) {
        if keep == self.ring.is_some() {
            return;
        }
        self.ring = keep.then(Ring::default);
        let slots: Vec<_> = self.slots.values().copied().collect();
        for slot in slots {
            self.settle_in_ring(slot);
        }
    }

    /// Brings the ring in line with an endpoint; the settled ones are those that `ready` has, near or far: routers of all
    /// zones must find the same one.
    pub(super) fn settle_in_ring(&mut self, slot: Slot) {
        let entry = &self.entries[slot as usize];
        let sessions = Sessions {
            open: entry.sessions,
            weight: entry.endpoint.weight,
        };
        let is_ready = matches!(entry.standing.place, Place::Ready | Place::Far);
        let Some(ring) = &mut self.ring else { return };
        match (is_ready, ring.contains(slot)) {
            (true, true) => ring.update(slot, sessions),
            (true, false) => ring.insert(slot, ring::point(&entry.endpoint.identity), sessions),
            (false, true) => ring.remove(slot),
            (false, false) => {}
        }
    }

    fn only(&self, identity: &Identity) -> Result<Slot, Unavailable> {
        let (slot, _) = self.follow(identity).ok_or(Unavailable::Gone)?;
        match self.tried.contains(&slot) {
            true => Err(Unavailable::Exhausted),
            false => Ok(slot),
        }
    }

    fn follow(&self, identity: &Identity) -> Option<(Slot, State)> {
        let listed = self.look_up(identity)?;
        Some((*self.slots.get(identity)?, listed.state))
    }
}

#[cfg(test)]
mod tests;
