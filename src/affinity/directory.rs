//! Which endpoint of a service a tag's fingerprint stands for.
//!
//! In: the service's endpoints as they come and go, in whatever state; the keyring, when it changes. Out: an identity
//! for a fingerprint, found in O(1).
//!
//! - Fingerprints are computed outside the lock, and only where something has changed.
//! - An endpoint that went is remembered for a while, so that nobody waits for it to come: only a fingerprint that was
//!   never seen may be one that other replicas know already.
//!
//! Not here: in which state an endpoint is ([`Balance::look_up`](crate::balance::Balance::look_up)).

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use discovery::{Identity, Snapshot};
use tokio::sync::watch;

use super::{secrets::Keyring, tag::Fingerprint};
use crate::timers::timeout;

/// The endpoints of one service by fingerprint.
#[derive(Debug)]
pub struct Directory {
    service: Arc<str>,
    state: RwLock<State>,
    /// Wakes those who wait for an endpoint that is not here yet.
    grown: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    keyring: Arc<Keyring>,
    identities: HashMap<Fingerprint, Identity>,
    gone: Gone,
}

/// The fingerprints of endpoints that went, the latest [`REMEMBERED`].
#[derive(Debug, Default)]
struct Gone {
    known: HashSet<Fingerprint>,
    order: VecDeque<Fingerprint>,
}

/// More than a large service replaces while any client still has a tag of before.
const REMEMBERED: usize = 4096;

/// How much later than another replica this one may hear of an endpoint.
const LAG: Duration = Duration::from_secs(1);

impl Directory {
    /// Of `service`, which has no endpoints yet.
    pub fn new(service: Arc<str>, keyring: Arc<Keyring>) -> Self {
        Self {
            service,
            state: RwLock::new(State {
                keyring,
                identities: HashMap::new(),
                gone: Gone::default(),
            }),
            grown: watch::Sender::new(()),
        }
    }

    /// An endpoint is listed.
    pub fn insert(&self, identity: &Identity) {
        self.with_fingerprints(identity, |state, fingerprint| {
            state.gone.forget(fingerprint);
            state.identities.insert(fingerprint, identity.clone());
        });
        self.grown.send_replace(());
    }

    /// An endpoint is not listed any more.
    pub fn remove(&self, identity: &Identity) {
        self.with_fingerprints(identity, |state, fingerprint| {
            if state.identities.remove(&fingerprint).is_some() {
                state.gone.note(fingerprint);
            }
        });
    }

    /// Goes over to another keyring; `listed` says which endpoints are listed now.
    pub fn rekey(&self, keyring: &Arc<Keyring>, listed: impl Fn() -> Snapshot) {
        let before = listed();
        let identities = before
            .iter()
            .flat_map(|endpoint| {
                let fingerprints = keyring.fingerprints(&self.service, &endpoint.identity);
                fingerprints.map(|fingerprint| (fingerprint, endpoint.identity.clone()))
            })
            .collect();
        let mut state = self.write();
        state.identities = identities;
        state.keyring = Arc::clone(keyring);
        drop(state);
        self.grown.send_replace(());
        // Those that came meanwhile are under the keys of before, which have just gone.
        let known: HashSet<_> = before.iter().map(|endpoint| &endpoint.identity).collect();
        let now = listed();
        let came = now.iter().filter(|endpoint| !known.contains(&endpoint.identity));
        came.for_each(|endpoint| self.insert(&endpoint.identity));
    }

    pub(super) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.read().keyring)
    }

    /// The endpoint of a fingerprint; waits for one that other replicas may know already.
    pub(super) async fn find(&self, fingerprint: Fingerprint) -> Option<Identity> {
        // Subscribed before the first look, so that nothing comes between.
        let mut grown = self.grown.subscribe();
        let mut look = || {
            grown.mark_unchanged();
            let state = self.read();
            let identity = state.identities.get(&fingerprint).cloned();
            (identity, state.gone.known.contains(&fingerprint))
        };
        match look() {
            (None, false) => {}
            (identity, _) => return identity,
        }
        let waiting = async {
            loop {
                grown.changed().await.ok()?;
                let identity = self.read().identities.get(&fingerprint).cloned();
                if identity.is_some() {
                    return identity;
                }
            }
        };
        timeout(LAG, waiting).await.ok().flatten()
    }

    /// Whether it knows this fingerprint's endpoint now.
    #[cfg(test)]
    fn has(&self, fingerprint: Fingerprint) -> bool {
        self.read().identities.contains_key(&fingerprint)
    }

    fn with_fingerprints(&self, identity: &Identity, change: impl Fn(&mut State, Fingerprint)) {
        let mut keyring = self.keyring();
        loop {
            let fingerprints: Vec<_> = keyring.fingerprints(&self.service, identity).collect();
            let mut state = self.write();
            if !Arc::ptr_eq(&state.keyring, &keyring) {
                keyring = Arc::clone(&state.keyring);
                continue;
            }
            for fingerprint in fingerprints {
                change(&mut state, fingerprint);
            }
            return;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Gone ===

impl Gone {
    fn note(&mut self, fingerprint: Fingerprint) {
        if self.known.insert(fingerprint) {
            self.order.push_back(fingerprint);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn forget(&mut self, fingerprint: Fingerprint) {
        if self.known.remove(&fingerprint) {
            self.order.retain(|other| *other != fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::SocketAddr};

    use discovery::Endpoint;
    use tokio::time::{Instant, sleep};

    use super::*;

    fn ring(seeds: &[u8]) -> Arc<Keyring> {
        let secrets: Vec<_> = seeds.iter().map(|seed| [*seed; 32]).collect();
        Arc::new(Keyring::of(secrets.iter().map(|secret| &secret[..])))
    }

    fn name(n: u16) -> Identity {
        Identity::from(format!("pod:{n}").as_str())
    }

    fn of(ring: &Keyring, n: u16) -> Vec<Fingerprint> {
        ring.fingerprints("chat", &name(n)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_found_under_every_key_at_once_and_gone_at_once() {
        let ring = ring(&[1, 2]);
        let directory = Directory::new("chat".into(), Arc::clone(&ring));
        directory.insert(&name(1));
        let start = Instant::now();
        for fingerprint in of(&ring, 1) {
            assert_eq!(directory.find(fingerprint).await, Some(name(1)));
        }
        directory.remove(&name(1));
        for fingerprint in of(&ring, 1) {
            assert_eq!(directory.find(fingerprint).await, None);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        directory.insert(&name(1));
        assert_eq!(directory.find(of(&ring, 1)[1]).await, Some(name(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_never_seen_is_waited_for_and_no_longer_than_a_second() {
        let ring = ring(&[1]);
        let directory = Arc::new(Directory::new("chat".into(), Arc::clone(&ring)));
        let late = Arc::clone(&directory);
        let start = Instant::now();
        let telling = tokio::spawn(async move {
            late.insert(&name(2));
            sleep(Duration::from_millis(300)).await;
            late.insert(&name(1));
        });
        assert_eq!(directory.find(of(&ring, 1)[0]).await, Some(name(1)));
        assert_eq!(start.elapsed(), Duration::from_millis(300));
        telling.await.unwrap();
        assert_eq!(directory.find(of(&ring, 3)[0]).await, None);
        assert_eq!(start.elapsed(), Duration::from_millis(1300));
    }

    #[tokio::test(start_paused = true)]
    async fn another_keyring_knows_the_endpoints_that_are_listed() {
        let (old, both, new) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
        let directory = Directory::new("chat".into(), Arc::clone(&old));
        let listed = Endpoint {
            identity: name(1),
            ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], 1)))
        };
        directory.insert(&name(1));
        directory.rekey(&both, || std::iter::once(listed.clone()).collect());
        assert!(of(&both, 1).into_iter().all(|known| directory.has(known)));
        directory.rekey(&new, || std::iter::once(listed.clone()).collect());
        assert!(directory.has(of(&new, 1)[0]) && !directory.has(of(&old, 1)[0]));
        directory.insert(&name(2));
        assert!(directory.has(of(&new, 2)[0]));
    }

    #[test]
    fn an_endpoint_that_comes_while_keys_change_is_known_under_the_new_ones() {
        let (old, new) = (ring(&[1]), ring(&[2]));
        let directory = Directory::new("chat".into(), Arc::clone(&old));
        let came = Cell::new(false);
        let listed = || {
            let so_far = came.replace(true);
            if !so_far {
                // It is in the list only afterwards.
                directory.insert(&name(1));
            }
            let endpoint = Endpoint {
                identity: name(1),
                ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], 1)))
            };
            so_far.then_some(endpoint).into_iter().collect()
        };
        directory.rekey(&new, listed);
        assert!(directory.has(of(&new, 1)[0]));
    }

    #[test]
    fn only_so_many_that_went_are_remembered() {
        let ring = ring(&[1]);
        let directory = Directory::new("chat".into(), ring);
        for n in 0..u16::try_from(REMEMBERED).unwrap() + 10 {
            directory.insert(&name(n));
            directory.remove(&name(n));
        }
        let state = directory.read();
        assert_eq!(
            (state.gone.known.len(), state.gone.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}
