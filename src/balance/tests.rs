//! The balance step as its callers see it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use tower::{Service, ServiceExt};

use super::*;
use crate::config::Strategy::{LeastConnection, PowerOfTwo, RoundRobin};

fn settings(strategy: config::Strategy, limit: usize) -> Settings {
    Settings {
        strategy,
        max_sessions_per_endpoint: NonZeroUsize::new(limit),
    }
}

fn balance(settings: Settings, endpoints: u16) -> Balance {
    let balance = Balance::new("chat".into(), settings);
    (1..=endpoints).for_each(|port| insert(&balance, port));
    balance.mark_known();
    balance
}

fn insert(balance: &Balance, port: u16) {
    let endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)));
    balance.apply(Change::Insert(endpoint.identity.clone(), endpoint));
}

fn remove(balance: &Balance, port: u16) {
    balance.apply(Change::Remove(Identity::of_address(SocketAddr::from((
        [127, 0, 0, 1],
        port,
    )))));
}

fn lease(balance: &Balance) -> Lease {
    balance.pick(&Pick::new()).expect("there is an endpoint")
}

fn port(lease: &Lease) -> u16 {
    lease.endpoint().address.port()
}

fn sessions(balance: &Balance) -> Vec<usize> {
    balance
        .endpoints()
        .into_iter()
        .map(|status| status.sessions)
        .collect()
}

#[tokio::test]
async fn a_pick_waits_until_the_endpoints_are_known() {
    let mut balance = Balance::new("chat".into(), settings(RoundRobin, 0));
    let mut choosing = balance.ready().await.unwrap().call(Pick::new());
    assert!((&mut choosing).now_or_never().is_none());
    insert(&balance, 1);
    assert!(
        (&mut choosing).now_or_never().is_none(),
        "a set that is still growing would get all waiters on its first"
    );
    balance.mark_known();
    assert_eq!(port(&choosing.await.unwrap()), 1);
}

#[tokio::test]
async fn a_known_and_empty_set_is_refused_at_once() {
    let mut balance = balance(settings(RoundRobin, 0), 0);
    let picked = balance
        .ready()
        .await
        .unwrap()
        .call(Pick::new())
        .now_or_never()
        .unwrap();
    assert_eq!(picked.unwrap_err(), Unavailable::Empty);
}

#[tokio::test]
async fn a_retry_leaves_out_what_was_tried() {
    let mut balance = balance(settings(LeastConnection, 0), 3);
    let mut tried = Tried::new();
    for _ in 0..3 {
        let lease = balance.call(Pick::except(tried.clone())).await.unwrap();
        tried.add(&lease.endpoint().identity);
    }
    assert_eq!(tried.len(), 3, "three different endpoints");
    assert_eq!(
        balance.call(Pick::except(tried)).await.unwrap_err(),
        Unavailable::Exhausted
    );
}

#[test]
fn a_lease_counts_until_it_is_dropped() {
    let mut balance = balance(settings(RoundRobin, 0), 1);
    let (one, other) = (lease(&balance), lease(&balance));
    one.established();
    one.lasted();
    assert_eq!(sessions(&balance), [2]);
    drop(one);
    other.failed(Failure::Connect);
    assert_eq!(sessions(&balance), [0]);
    drop(balance.call(Pick::new()));
    assert_eq!(sessions(&balance), [0], "a pick whose caller left is given back");
}

#[test]
fn counts_survive_reload_and_removal() {
    let balance = balance(settings(RoundRobin, 0), 2);
    let leases: Vec<_> = (0..10).map(|_| lease(&balance)).collect();
    balance.reconfigure(settings(LeastConnection, 100));
    remove(&balance, 1);
    assert_eq!(sessions(&balance), [5, 5]);
    assert_eq!(balance.endpoints()[0].state, "gone");
    assert_eq!(balance.snapshot().len(), 1);
    insert(&balance, 1);
    remove(&balance, 2);
    drop(leases);
    assert_eq!(sessions(&balance), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_gets_one_trial_when_its_time_is_over() {
    let balance = balance(settings(LeastConnection, 0), 2);
    let _load: Vec<_> = (0..10).map(|_| lease(&balance)).collect();
    let victim = lease(&balance);
    let dead = port(&victim);
    victim.failed(Failure::Timeout);
    let status = balance
        .endpoints()
        .into_iter()
        .find(|s| s.endpoint.address.port() == dead)
        .unwrap();
    assert_eq!(status.failures, 1);
    let until = status.ejected_until.unwrap();
    // Less loaded than the others by far, and yet it gets none.
    let mut held: Vec<_> = (0..10).map(|_| lease(&balance)).collect();
    assert!(held.iter().all(|lease| port(lease) != dead));
    tokio::time::advance(until - Instant::now() + Duration::from_millis(1)).await;
    let trial = lease(&balance);
    assert_eq!(port(&trial), dead);
    held.extend((0..10).map(|_| lease(&balance)));
    assert!(
        held.iter().all(|lease| port(lease) != dead),
        "one trial at a time"
    );
    drop(trial);
    let trial = lease(&balance);
    assert_eq!(port(&trial), dead, "a trial without a verdict is open again");
    trial.established();
    assert!(
        balance
            .endpoints()
            .iter()
            .all(|status| status.ejected_until.is_none() && status.failures == 0)
    );
    assert_eq!(port(&lease(&balance)), dead);
}

#[tokio::test(start_paused = true)]
async fn three_sessions_dropped_early_eject_and_a_lasting_trial_brings_back() {
    let balance = balance(settings(RoundRobin, 0), 1);
    for _ in 0..3 {
        let lease = lease(&balance);
        lease.established();
        lease.dropped_early();
    }
    let until = balance.endpoints()[0].ejected_until.unwrap();
    tokio::time::advance(until - Instant::now() + Duration::from_millis(1)).await;
    let trial = lease(&balance);
    trial.established();
    assert!(
        balance.endpoints()[0].ejected_until.is_some(),
        "the 101 proves nothing"
    );
    tokio::time::advance(Duration::from_millis(1001)).await;
    drop(lease(&balance));
    assert!(
        balance.endpoints()[0].ejected_until.is_none(),
        "a second is proof, without a word from the relay"
    );
}

/// Eight workers pick and drop at once, some dials fail, and a registry flaps an endpoint meanwhile.
#[test]
fn the_limit_holds_against_eight_threads() {
    const LIMIT: usize = 3;
    for strategy in [RoundRobin, LeastConnection, PowerOfTwo] {
        let balance = balance(settings(strategy, LIMIT), 4);
        let open: [AtomicUsize; 5] = Default::default();
        thread::scope(|scope| {
            for seed in 0..8 {
                let (balance, open) = (balance.clone(), &open);
                scope.spawn(move || hammer(&balance, open, LIMIT, seed));
            }
            scope.spawn(|| {
                for _ in 0..500 {
                    remove(&balance, 2);
                    insert(&balance, 2);
                }
            });
        });
        assert_eq!(sessions(&balance), [0; 4], "{strategy:?}");
    }
}

fn hammer(balance: &Balance, open: &[AtomicUsize; 5], limit: usize, seed: u64) {
    let (mut rng, mut held) = (fastrand::Rng::with_seed(seed), Vec::new());
    for _ in 0..5000 {
        if let Ok(lease) = balance.pick(&Pick::new()) {
            let counted = open[usize::from(port(&lease))].fetch_add(1, SeqCst) + 1;
            assert!(counted <= limit, "{counted} sessions on one endpoint");
            held.push(lease);
        }
        if held.len() > 2 || rng.bool() {
            let Some(lease) = held.pop() else { continue };
            open[usize::from(port(&lease))].fetch_sub(1, SeqCst);
            match rng.u8(..20) {
                0 => lease.failed(Failure::Reset),
                1 => lease.dropped_early(),
                2 => lease.established(),
                _ => drop(lease),
            }
        }
    }
    for lease in held {
        open[usize::from(port(&lease))].fetch_sub(1, SeqCst);
    }
}
