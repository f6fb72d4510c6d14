//! Bound picks: who is followed, who is moved, and what is counted.

use std::net::SocketAddr;

use discovery::Endpoint;
use fastrand::Rng;

use super::*;
use crate::{balance::Settings, config::Strategy};

fn name(n: u16) -> Identity {
    Identity::from(format!("pod:{n}").as_str())
}

fn endpoint(n: u16, state: State) -> Endpoint {
    Endpoint {
        identity: name(n),
        state,
        ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], n)))
    }
}

fn picker(limit: usize) -> Picker {
    let settings = Settings {
        strategy: Strategy::RoundRobin,
        max_sessions_per_endpoint: std::num::NonZeroUsize::new(limit),
    };
    let mut picker = Picker::new(settings, Rng::with_seed(3));
    (0..4).for_each(|n| picker.insert(endpoint(n, State::Active)));
    picker
}

fn picked(picker: &mut Picker, bond: &Bond, tried: &[Identity]) -> Result<u16, Unavailable> {
    let picked = picker.pick_bound(bond, tried, Instant::now());
    picked.map(|picked| picked.endpoint.address.port())
}

#[test]
fn a_bound_request_goes_to_its_endpoint_even_above_the_limit_and_counts_there() {
    let mut picker = picker(2);
    for bond in [Bond::Only(name(2)), Bond::Rather(name(2))] {
        for _ in 0..3 {
            assert_eq!(picked(&mut picker, &bond, &[]), Ok(2));
        }
    }
    assert_eq!(picker.sessions(&name(2)), 6);
}

#[test]
fn a_bound_request_goes_to_its_endpoint_even_when_that_is_ejected() {
    let mut picker = picker(0);
    let now = Instant::now();
    let lease = picker.pick_bound(&Bond::Only(name(1)), &[], now).unwrap();
    assert!(picker.failed(lease.slot, lease.stamp, now).is_some());
    assert_eq!(picked(&mut picker, &Bond::Only(name(1)), &[]), Ok(1));
    assert_eq!(picked(&mut picker, &Bond::Rather(name(1)), &[]), Ok(1));
}

#[test]
fn draining_is_followed_and_unhealthy_only_by_those_that_nobody_else_can_serve() {
    let mut picker = picker(0);
    picker.insert(endpoint(0, State::Draining));
    picker.insert(endpoint(1, State::Unhealthy));
    assert_eq!(picked(&mut picker, &Bond::Only(name(0)), &[]), Ok(0));
    assert_eq!(picked(&mut picker, &Bond::Rather(name(0)), &[]), Ok(0));
    assert_eq!(picked(&mut picker, &Bond::Only(name(1)), &[]), Ok(1));
    assert!(picked(&mut picker, &Bond::Rather(name(1)), &[]).unwrap() >= 2);
}

#[test]
fn one_that_is_gone_or_was_tried_is_no_other_for_only_and_any_for_rather() {
    let mut picker = picker(0);
    let held = picker
        .pick_bound(&Bond::Only(name(3)), &[], Instant::now())
        .unwrap();
    picker.remove(&name(3));
    assert_eq!(
        picked(&mut picker, &Bond::Only(name(3)), &[]),
        Err(Unavailable::Gone)
    );
    assert!(picked(&mut picker, &Bond::Rather(name(3)), &[]).unwrap() < 3);
    picker.ended(held.slot, held.stamp);
    assert_eq!(
        picked(&mut picker, &Bond::Only(name(2)), &[name(2)]),
        Err(Unavailable::Exhausted)
    );
    assert_ne!(picked(&mut picker, &Bond::Rather(name(2)), &[name(2)]), Ok(2));
}

#[test]
fn a_hash_leads_to_one_endpoint_until_that_takes_no_new_sessions() {
    let mut picker = picker(0);
    picker.keep_ring(true);
    let bond = Bond::Hash(77);
    let at = |picker: &mut Picker| {
        let lease = picker.pick_bound(&bond, &[], Instant::now()).unwrap();
        picker.ended(lease.slot, lease.stamp);
        lease.endpoint.address.port()
    };
    let first = at(&mut picker);
    assert!((0..20).all(|_| at(&mut picker) == first));
    picker.insert(endpoint(first, State::Draining));
    let second = at(&mut picker);
    assert_ne!(second, first);
    assert!((0..20).all(|_| at(&mut picker) == second));
    picker.insert(endpoint(first, State::Active));
    assert_eq!(at(&mut picker), first);
}

#[test]
fn a_hash_leads_to_the_same_endpoint_from_near_and_from_far() {
    let lead = |far: bool| {
        let mut picker = picker(0);
        picker.keep_ring(true);
        (0..2).for_each(|n| {
            let endpoint = endpoint(n, State::Active);
            picker.insert(Endpoint { far, ..endpoint });
        });
        let picked = |hash: u64| picker.pick_bound(&Bond::Hash(hash << 56), &[], Instant::now());
        (0..4)
            .map(picked)
            .map(|it| it.unwrap().endpoint.address)
            .collect::<Vec<_>>()
    };
    assert_eq!(lead(true), lead(false));
}

#[test]
fn a_ring_that_is_asked_for_late_or_kept_through_a_change_of_strategy_leads_the_same_way() {
    let mut early = picker(0);
    early.keep_ring(true);
    let mut late = picker(0);
    late.reconfigure(Settings {
        strategy: Strategy::LeastConnection,
        max_sessions_per_endpoint: None,
    });
    late.keep_ring(true);
    early.reconfigure(Settings {
        strategy: Strategy::PowerOfTwo,
        max_sessions_per_endpoint: None,
    });
    for hash in 0..200 {
        let of = |picker: &mut Picker| {
            let lease = picker
                .pick_bound(&Bond::Hash(hash << 56), &[], Instant::now())
                .unwrap();
            picker.ended(lease.slot, lease.stamp);
            lease.endpoint.address.port()
        };
        assert_eq!(of(&mut early), of(&mut late));
    }
}

#[test]
fn what_discovery_says_of_an_endpoint_is_found_with_the_time_since_when() {
    let mut picker = picker(0);
    let before = picker.look_up(&name(1)).unwrap();
    picker.insert(endpoint(1, State::Active));
    assert_eq!(picker.look_up(&name(1)), Some(before));
    picker.insert(endpoint(1, State::Draining));
    let after = picker.look_up(&name(1)).unwrap();
    assert!(after.state == State::Draining && after.since >= before.since);
    assert_eq!(picker.look_up(&name(9)), None);
}
