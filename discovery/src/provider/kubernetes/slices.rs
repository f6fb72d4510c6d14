//! The slices of a namespace, by service.
//!
//! In: a complete list, or one slice that was written or deleted. Out: which services that concerns, and the slices of
//! one service as a [`Group`] that costs one reference count to hold.
//!
//! Pure: no clock, no connection, no log. A slice is known by its name. A slice that changes its service leaves the old
//! one. That a service has no group means that it has no slice: it is absent, or its slices may not be seen; a service
//! that is scaled to zero has a slice without endpoints.
//!
//! Not here: what the slices of a service mean together ([`select`](super::select)).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::slice::Slice;

/// The slices of one service, by name.
pub(super) type Group = Arc<BTreeMap<Arc<str>, Arc<Slice>>>;

/// The slices of a namespace.
#[derive(Debug, Default)]
pub(super) struct Slices {
    services: HashMap<Arc<str>, Group>,
    /// Which service a slice was last seen in.
    homes: HashMap<Arc<str>, Arc<str>>,
}

impl Slices {
    /// Exactly these, as a list gives them.
    pub(super) fn listed(slices: impl IntoIterator<Item = Slice>) -> Self {
        let mut listed = Self::default();
        for slice in slices {
            listed.put(slice);
        }
        listed
    }

    /// A slice was added or written; the one or two services that this concerns.
    pub(super) fn put(&mut self, slice: Slice) -> Vec<Arc<str>> {
        let Some(service) = slice.service.clone() else {
            return self.delete(&slice.name).into_iter().collect();
        };
        let mut concerned = Vec::with_capacity(1);
        if self.homes.get(&slice.name).is_some_and(|home| *home != service) {
            concerned.extend(self.delete(&slice.name));
        }
        let name = Arc::clone(&slice.name);
        self.homes.insert(Arc::clone(&name), Arc::clone(&service));
        let group = self.services.entry(Arc::clone(&service)).or_default();
        Arc::make_mut(group).insert(name, Arc::new(slice));
        concerned.push(service);
        concerned
    }

    /// A slice was deleted; the service that this concerns.
    pub(super) fn delete(&mut self, name: &str) -> Option<Arc<str>> {
        let service = self.homes.remove(name)?;
        let group = self.services.get_mut(&service)?;
        Arc::make_mut(group).remove(name);
        if group.is_empty() {
            self.services.remove(&service);
        }
        Some(service)
    }

    /// The slices of a service, none if there are none.
    pub(super) fn of(&self, service: &str) -> Group {
        self.services.get(service).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
