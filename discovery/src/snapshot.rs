//! The complete endpoint set of a service at a moment, and the difference between two of them.
//!
//! In: endpoints in any order. Out: a [`Snapshot`] that is sorted by identity, holds each identity once and costs one
//! reference count to clone; and [`diff`], the only place where two sets are compared.

use std::{cmp::Ordering, iter, ops::Deref, sync::Arc};

use crate::{Endpoint, Identity};

/// The complete set of a service's endpoints at a moment: sorted by identity, each identity once.
///
/// Where an identity is given twice the last one holds, as in a map, so a provider that may see an endpoint twice
/// decides by order. One address under two identities is two endpoints: a pod and the pod that took over its address
/// have separate sessions.
#[derive(Clone, Debug)]
pub struct Snapshot {
    endpoints: Arc<[Endpoint]>,
}

/// One difference between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diff<'a> {
    /// Was not there before.
    Added(&'a Endpoint),
    /// Was there with another address, weight, state, zone or distance; this is how it is now.
    Changed(&'a Endpoint),
    /// Is not there any more.
    Removed(&'a Identity),
}

/// What leads from `old` to `new`, in order of identity, each identity at most once; nothing if they are equal.
pub fn diff<'a>(old: &'a Snapshot, new: &'a Snapshot) -> impl Iterator<Item = Diff<'a>> {
    // Two handles on one allocation are equal without a look at ten thousand endpoints.
    let same = Arc::ptr_eq(&old.endpoints, &new.endpoints);
    let (mut old, mut new) = if same {
        (&[][..], &[][..])
    } else {
        (&old[..], &new[..])
    };
    iter::from_fn(move || {
        loop {
            let order = match (old.first(), new.first()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(was), Some(is)) => was.identity.cmp(&is.identity),
            };
            let was = if order.is_le() {
                old.split_off_first()
            } else {
                None
            };
            let is = if order.is_ge() {
                new.split_off_first()
            } else {
                None
            };
            match (was, is) {
                (Some(was), None) => return Some(Diff::Removed(&was.identity)),
                (None, Some(is)) => return Some(Diff::Added(is)),
                (Some(was), Some(is)) if was != is => return Some(Diff::Changed(is)),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    })
}

// === impl Snapshot ===

impl FromIterator<Endpoint> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        let mut endpoints: Vec<_> = endpoints.into_iter().collect();
        // Reversed before a stable sort, the last of a row of equals comes first, and `dedup` keeps the first.
        endpoints.reverse();
        endpoints.sort_by(|a, b| a.identity.cmp(&b.identity));
        endpoints.dedup_by(|later, kept| later.identity == kept.identity);
        Self {
            endpoints: endpoints.into(),
        }
    }
}

impl Default for Snapshot {
    /// The set that is known to be empty.
    fn default() -> Self {
        Self {
            endpoints: Arc::new([]),
        }
    }
}

impl Deref for Snapshot {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.endpoints, &other.endpoints) || self.endpoints == other.endpoints
    }
}

impl Eq for Snapshot {}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::State;

    fn endpoint() -> impl Strategy<Value = Endpoint> {
        let state = prop_oneof![Just(State::Active), Just(State::Draining), Just(State::Unhealthy)];
        // Few names and few addresses, so that sets overlap and addresses are shared.
        (0..12u8, 1..4u16, 1..4u32, state, any::<(bool, bool)>()).prop_map(
            |(name, port, weight, state, (zone, far))| Endpoint {
                identity: Identity::from(format!("pod:{name}").as_str()),
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                weight: NonZeroU32::new(weight).unwrap(),
                state,
                zone: zone.then(|| "a".into()),
                far,
            },
        )
    }

    proptest! {
        #[test]
        fn the_difference_applied_to_the_old_set_gives_the_new(old in vec(endpoint(), 0..16), new in vec(endpoint(), 0..16)) {
            let (old, new): (Snapshot, Snapshot) = (old.into_iter().collect(), new.into_iter().collect());
            let mut set: BTreeMap<_, _> = old.iter().map(|e| (e.identity.clone(), e.clone())).collect();
            for difference in diff(&old, &new) {
                match difference {
                    Diff::Added(e) => prop_assert_eq!(set.insert(e.identity.clone(), e.clone()), None),
                    Diff::Changed(e) => {
                        let was = set.insert(e.identity.clone(), e.clone());
                        prop_assert!(was.is_some_and(|was| was != *e));
                    }
                    Diff::Removed(identity) => prop_assert!(set.remove(identity).is_some()),
                }
            }
            prop_assert_eq!(set.into_values().collect::<Snapshot>(), new);
        }

        #[test]
        fn equal_sets_differ_in_nothing_whatever_their_order(endpoints in vec(endpoint(), 0..16), seed in any::<u64>()) {
            let one: Snapshot = endpoints.into_iter().collect();
            let mut shuffled = one.to_vec();
            let middle = seed as usize % (shuffled.len() + 1);
            shuffled.rotate_left(middle);
            let other: Snapshot = shuffled.into_iter().collect();
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(diff(&one, &other).count(), 0);
            prop_assert_eq!(diff(&one, &one.clone()).count(), 0);
        }

        #[test]
        fn a_set_is_sorted_and_of_equal_identities_holds_the_last(endpoints in vec(endpoint(), 0..24)) {
            let set: Snapshot = endpoints.iter().cloned().collect();
            prop_assert!(set.is_sorted_by(|a, b| a.identity < b.identity));
            for kept in set.iter() {
                let last = endpoints.iter().rfind(|e| e.identity == kept.identity);
                prop_assert_eq!(last, Some(kept));
            }
            prop_assert!(endpoints.iter().all(|e| set.iter().any(|kept| kept.identity == e.identity)));
        }
    }

    #[test]
    fn one_address_under_two_identities_is_two_endpoints() {
        let named = |name: &str| Endpoint {
            identity: Identity::from(name),
            ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], 1)))
        };
        assert_eq!(Snapshot::from_iter([named("pod:a"), named("pod:b")]).len(), 2);
    }
}
