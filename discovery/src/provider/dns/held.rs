//! Addresses that are missing from an answer, but not for long enough to be gone.
//!
//! In: each answer's addresses. Out: those of the last few answers together, as endpoints.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32};

use crate::{Endpoint, Snapshot};

/// The addresses of the last few answers.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<SocketAddr, Seen>);

/// An address with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) weight: NonZeroU32,
}

#[derive(Debug)]
struct Seen {
    weight: NonZeroU32,
    /// Answers in a row from which it was missing.
    misses: u32,
}

impl Held {
    /// Takes in an answer.
    pub(super) fn update(&mut self, targets: impl IntoIterator<Item = Target>) -> Snapshot {
        for seen in self.0.values_mut() {
            seen.misses += 1;
        }
        for Target { address, weight } in targets {
            self.0.insert(address, Seen { weight, misses: 0 });
        }
        self.0.retain(|_, seen| seen.misses < MISSES);
        let endpoints = self.0.iter().map(|(address, seen)| Endpoint {
            weight: seen.weight,
            ..Endpoint::at(*address)
        });
        endpoints.collect()
    }
}

/// A server that gives out random halves leaves an address out three times in a row once in eight; what it costs then is
/// a drain that ends with the next answer.
const MISSES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(ports: &[u16]) -> Vec<Target> {
        let target = |port: &u16| Target {
            address: SocketAddr::from(([10, 0, 0, 1], *port)),
            weight: NonZeroU32::MIN,
        };
        ports.iter().map(target).collect()
    }

    fn ports(snapshot: &Snapshot) -> Vec<u16> {
        snapshot.iter().map(|endpoint| endpoint.address.port()).collect()
    }

    #[test]
    fn a_new_address_counts_at_once_and_a_missing_one_is_kept_for_two_answers() {
        let mut held = Held::default();
        assert_eq!(ports(&held.update(targets(&[1, 2]))), [1, 2]);
        assert_eq!(ports(&held.update(targets(&[2, 3]))), [1, 2, 3]);
        assert_eq!(ports(&held.update(targets(&[2, 3]))), [1, 2, 3]);
        assert_eq!(ports(&held.update(targets(&[2, 3]))), [2, 3]);
    }

    #[test]
    fn an_address_that_is_seen_again_begins_anew() {
        let mut held = Held::default();
        held.update(targets(&[1, 2]));
        for _ in 0..5 {
            held.update(targets(&[2]));
            held.update(targets(&[2]));
            assert_eq!(ports(&held.update(targets(&[1, 2]))), [1, 2]);
        }
    }

    #[test]
    fn another_weight_counts_at_once() {
        let mut held = Held::default();
        held.update(targets(&[1]));
        let heavy = Target {
            weight: NonZeroU32::new(7).unwrap(),
            ..targets(&[1])[0]
        };
        assert_eq!(held.update([heavy])[0].weight.get(), 7);
    }
}
