//! The core of the balance step: the endpoints of a service, their counts, and which of them are candidates.
//!
//! In: changes of the endpoint set, picks, and what became of them; the time is an argument. Out: a slot for each pick.
//!
//! Promises:
//! - Every call but `reconfigure`, `listed` and `status` is O(log n). Ejections are looked at when a pick comes, at most
//!   [`EXPIRED_PER_PICK`] at once: no timers.
//! - An endpoint that is removed while it has sessions stays as "gone" and takes its count back if it returns.
//!
//! Candidates live in strategies of the same kind: `ready` for those that are not ejected, the near and the far ([`Ready`]),
//! `ejected` for those that are. The latter is asked only if the request has tried every endpoint that works, so in
//! particular if there is none: all ejected, all are candidates. If there are others that work but are full, the request is
//! refused rather than spent on an endpoint that is likely dead.

mod bound;
mod entry;
mod ready;
mod ring;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, binary_heap::PeekMut},
    sync::Arc,
};

use discovery::{Endpoint, Identity, Snapshot};
use fastrand::Rng;
use slab::Slab;
use tokio::time::Instant;

use self::{
    entry::{Entry, Place, Standing},
    ready::Ready,
    ring::Ring,
};
use super::{
    EndpointStatus, Settings, Unavailable,
    ejection::{Stamp, Verdict},
    load::Sessions,
    strategy::{self, Slot, Strategy},
};

/// Bounds how long one pick holds the lock after thousands of endpoints were ejected at once; the rest is looked at by
/// the picks that follow.
const EXPIRED_PER_PICK: usize = 16;

#[derive(Debug)]
pub(super) struct Picker {
    settings: Settings,
    rng: Rng,
    entries: Slab<Entry>,
    slots: HashMap<Identity, Slot>,
    ready: Ready,
    ejected: Box<dyn Strategy>,
    /// The candidates of `ready` for picks by hash; only where a service makes such.
    ring: Option<Ring>,
    /// Active endpoints, and how many of them have not worked since they were last ejected.
    active: usize,
    suspect: usize,
    /// Active endpoints that are not far and have worked since.
    near: usize,
    /// When to look at an ejected endpoint again. An entry whose epoch has passed is ignored.
    expiries: BinaryHeap<Reverse<(Instant, Slot, u32)>>,
    /// Ejections that end before their time.
    pardoned: Vec<Reverse<(Instant, Slot, u32)>>,
    /// The slots of the request's tried endpoints; kept for its memory.
    tried: Vec<Slot>,
}

/// A successful pick: one session is counted.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) slot: Slot,
    pub(super) stamp: Stamp,
}

impl Picker {
    pub(super) fn new(settings: Settings, rng: Rng) -> Self {
        Self {
            settings,
            rng,
            entries: Slab::new(),
            slots: HashMap::new(),
            ready: Ready::new(settings.strategy),
            ejected: strategy::named(settings.strategy),
            ring: None,
            active: 0,
            suspect: 0,
            near: 0,
            expiries: BinaryHeap::new(),
            pardoned: Vec::new(),
            tried: Vec::new(),
        }
    }

    pub(super) fn reconfigure(&mut self, settings: Settings) {
        let strategy = settings.strategy != self.settings.strategy;
        self.settings = settings;
        let slots: Vec<_> = self.slots.values().copied().collect();
        if strategy {
            self.ready = Ready::new(settings.strategy);
            self.ejected = strategy::named(settings.strategy);
            self.ring = self.ring.take().map(|_| Ring::default());
            (self.active, self.suspect, self.near) = (0, 0, 0);
            slots
                .iter()
                .for_each(|slot| self.entries[*slot as usize].standing = Standing::NONE);
        }
        slots.into_iter().for_each(|slot| self.refresh(slot));
    }

    pub(super) fn insert(&mut self, endpoint: Endpoint) {
        let Some(slot) = self.slots.get(&endpoint.identity).copied() else {
            let identity = endpoint.identity.clone();
            let slot = self.entries.insert(Entry::new(endpoint)) as Slot;
            self.slots.insert(identity, slot);
            return self.refresh(slot);
        };
        let entry = &mut self.entries[slot as usize];
        if entry.endpoint.address != endpoint.address {
            entry.ejection.forget();
        }
        if !entry.listed || entry.endpoint.state != endpoint.state {
            entry.since = Instant::now();
        }
        entry.listed = true;
        entry.endpoint = Arc::new(endpoint);
        self.refresh(slot);
    }

    pub(super) fn remove(&mut self, identity: &Identity) {
        if let Some(slot) = self.slots.get(identity).copied() {
            self.entries[slot as usize].listed = false;
            self.refresh(slot);
            self.forget_if_unused(slot);
        }
    }

    fn pick_any(&mut self) -> Result<Slot, Unavailable> {
        match self.ready.pick(&self.tried, &mut self.rng) {
            Some(slot) => Ok(slot),
            None => self.pick_ejected(),
        }
    }

    fn take(&mut self, slot: Slot) -> Picked {
        let entry = &mut self.entries[slot as usize];
        entry.sessions += 1;
        let stamp = entry.ejection.picked();
        let endpoint = entry.endpoint.clone();
        self.refresh(slot);
        Picked {
            endpoint,
            slot,
            stamp,
        }
    }

    pub(super) fn failed(&mut self, slot: Slot, stamp: Stamp, now: Instant) -> Option<Instant> {
        let verdict = self.entries[slot as usize]
            .ejection
            .failed(stamp, now, &mut self.rng);
        self.judged(slot, verdict)
    }

    pub(super) fn reset(&mut self, slot: Slot, stamp: Stamp, now: Instant) -> Option<Instant> {
        let verdict = self.entries[slot as usize]
            .ejection
            .reset(stamp, now, &mut self.rng);
        self.judged(slot, verdict)
    }

    pub(super) fn dropped_early(&mut self, slot: Slot, stamp: Stamp, now: Instant) -> Option<Instant> {
        let verdict = self.entries[slot as usize]
            .ejection
            .dropped_early(stamp, now, &mut self.rng);
        self.judged(slot, verdict)
    }

    pub(super) fn established(&mut self, slot: Slot, stamp: Stamp, now: Instant) -> Stamp {
        let verdict = self.entries[slot as usize].ejection.established(stamp, now);
        self.judged(slot, verdict);
        self.entries[slot as usize].ejection.renewed(stamp, verdict)
    }

    pub(super) fn lasted(&mut self, slot: Slot, stamp: Stamp) -> Stamp {
        let verdict = self.entries[slot as usize].ejection.lasted(stamp);
        self.judged(slot, verdict);
        self.entries[slot as usize].ejection.renewed(stamp, verdict)
    }

    /// The lease of a pick was dropped.
    pub(super) fn ended(&mut self, slot: Slot, stamp: Stamp) {
        let entry = &mut self.entries[slot as usize];
        entry.sessions -= 1;
        entry.ejection.ended(stamp);
        self.refresh(slot);
        self.forget_if_unused(slot);
    }

    pub(super) fn listed(&self) -> Snapshot {
        let listed = self.entries.iter().filter(|(_, entry)| entry.listed);
        listed
            .map(|(_, entry)| Endpoint::clone(&entry.endpoint))
            .collect()
    }

    pub(super) fn sessions(&self, identity: &Identity) -> usize {
        let slot = self.slots.get(identity);
        slot.map_or(0, |slot| self.entries[*slot as usize].sessions)
    }

    pub(super) fn status(&self) -> Vec<EndpointStatus> {
        self.entries.iter().map(|(_, entry)| entry.status()).collect()
    }

    fn pick_ejected(&mut self) -> Result<Slot, Unavailable> {
        let tried = |wanted: fn(Standing) -> bool| {
            self.tried
                .iter()
                .filter(|slot| wanted(self.entries[**slot as usize].standing))
                .count()
        };
        let untried = self.active - tried(|standing| standing.active);
        let working = self.active - self.suspect - tried(|standing| standing.active && !standing.suspect);
        let picked = if working == 0 {
            self.ejected.pick(&self.tried, &mut self.rng)
        } else {
            None
        };
        picked.ok_or(match (self.active, untried) {
            (0, _) => Unavailable::Empty,
            (_, 0) => Unavailable::Exhausted,
            _ => Unavailable::Full,
        })
    }

    /// Looks at ejections that were pardoned or whose time is over.
    fn expire(&mut self, now: Instant) {
        for _ in 0..EXPIRED_PER_PICK {
            let pardoned = self.pardoned.pop();
            let due = || {
                self.expiries
                    .peek_mut()
                    .filter(|next| next.0.0 <= now)
                    .map(PeekMut::pop)
            };
            let is_pardoned = pardoned.is_some();
            let Some(Reverse((at, slot, epoch))) = pardoned.or_else(due) else {
                return;
            };
            let verdict = self
                .entries
                .get_mut(slot as usize)
                .map(|entry| match is_pardoned {
                    true => entry.ejection.pardon(epoch, now),
                    false => entry.ejection.expire(epoch, now),
                });
            match verdict {
                Some(Verdict::Back) => self.refresh(slot),
                // One that is proving itself is not pardoned, and still has to be looked at in its time.
                Some(_) if is_pardoned => self.expiries.push(Reverse((at, slot, epoch))),
                // Out of date, or the slot is free by now. If another endpoint has taken it over, that one's own state
                // decides; at worst its trial opens early.
                Some(_) | None => {}
            }
        }
    }

    /// Follows a verdict; the time until which it ejects the endpoint.
    fn judged(&mut self, slot: Slot, verdict: Verdict) -> Option<Instant> {
        let epoch = self.entries[slot as usize].ejection.epoch();
        match verdict {
            Verdict::Nothing => return None,
            Verdict::Out(at) | Verdict::Proving(at) => self.expiries.push(Reverse((at, slot, epoch))),
            // The first that works after all had failed: the fault was common to all and is over. Were the others left
            // out for the rest of their time, every client that reconnects would end up on this one, for hours. Far ones
            // that went on working would not relieve it.
            Verdict::Back if self.is_first_of_its_kind(slot) => {
                self.pardoned
                    .extend(std::mem::take(&mut self.expiries).into_vec());
            }
            Verdict::Back => {}
        }
        self.refresh(slot);
        match verdict {
            Verdict::Out(until) => Some(until),
            Verdict::Nothing | Verdict::Proving(_) | Verdict::Back => None,
        }
    }

    /// Whether no endpoint that is as near has worked since it was last ejected.
    fn is_first_of_its_kind(&self, slot: Slot) -> bool {
        match self.entries[slot as usize].endpoint.far {
            true => self.active == self.suspect,
            false => self.near == 0,
        }
    }

    /// Brings counts and strategies in line with the endpoint after anything about it has changed.
    fn refresh(&mut self, slot: Slot) {
        let limit = self.settings.max_sessions_per_endpoint;
        let entry = &mut self.entries[slot as usize];
        let sessions = Sessions {
            open: entry.sessions,
            weight: entry.endpoint.weight,
        };
        let is = entry.standing(limit);
        let was = std::mem::replace(&mut entry.standing, is);
        self.active = self.active + usize::from(is.active) - usize::from(was.active);
        self.suspect = self.suspect + usize::from(is.suspect) - usize::from(was.suspect);
        self.near = self.near + usize::from(is.near) - usize::from(was.near);
        if was.place != is.place {
            match was.place {
                Place::Nowhere => {}
                Place::Ready => self.ready.near.remove(slot),
                Place::Far => self.ready.far.remove(slot),
                Place::Ejected => self.ejected.remove(slot),
            }
        }
        if self.ring.is_some() {
            self.settle_in_ring(slot);
        }
        let (strategy, rng) = match is.place {
            Place::Nowhere => return,
            Place::Ready => (&mut self.ready.near, &mut self.rng),
            Place::Far => (&mut self.ready.far, &mut self.rng),
            Place::Ejected => (&mut self.ejected, &mut self.rng),
        };
        match was.place == is.place {
            true => strategy.update(slot, sessions, rng),
            false => strategy.insert(slot, sessions, rng),
        }
    }

    fn forget_if_unused(&mut self, slot: Slot) {
        let entry = &self.entries[slot as usize];
        if !entry.listed && entry.sessions == 0 {
            self.slots.remove(&entry.endpoint.identity);
            self.entries.remove(slot as usize);
        }
    }
}

#[cfg(test)]
mod tests;
