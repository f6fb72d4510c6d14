//! The picker against a naive model, and the stories behind its rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use discovery::State;
use proptest::{
    arbitrary::any, collection::vec, prop_assert, prop_assert_eq, prop_oneof, proptest, strategy::Just,
};

use super::*;
use crate::config::Strategy::{LeastConnection, PowerOfTwo, RoundRobin};

fn settings(strategy: crate::config::Strategy, limit: usize) -> Settings {
    Settings {
        strategy,
        max_sessions_per_endpoint: NonZeroUsize::new(limit),
    }
}

fn name(n: u16) -> Identity {
    Identity::from(format!("pod:{n}").as_str())
}

fn endpoint(n: u16) -> Endpoint {
    Endpoint {
        identity: name(n),
        ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], n)))
    }
}

fn far(n: u16) -> Endpoint {
    Endpoint {
        far: true,
        ..endpoint(n)
    }
}

fn picker(strategy: crate::config::Strategy, limit: usize, endpoints: u16) -> Picker {
    let mut picker = Picker::new(settings(strategy, limit), Rng::with_seed(9));
    (0..endpoints).for_each(|n| picker.insert(endpoint(n)));
    picker
}

impl Picker {
    fn pick(&mut self, tried: &[Identity], now: Instant) -> Result<Picked, Unavailable> {
        self.pick_bound(&crate::balance::Bond::None, tried, now)
    }
}

fn number(picked: &Picked) -> u16 {
    picked.endpoint.address.port()
}

fn outcome(picked: &Picked) -> (u16, bool) {
    (number(picked), picked.stamp.to_bits() & 1 == 1)
}

fn status(picker: &Picker, n: u16) -> Option<EndpointStatus> {
    picker
        .status()
        .into_iter()
        .find(|status| status.endpoint.identity == name(n))
}

/// Fails a pick of each endpoint in `which`; the time by which every one of them may be tried again.
fn eject(picker: &mut Picker, which: impl IntoIterator<Item = u16>, all: u16, now: Instant) -> Instant {
    let mut last = now;
    for n in which {
        let others: Vec<_> = (0..all).filter(|other| *other != n).map(name).collect();
        let picked = picker.pick(&others, now).unwrap();
        assert_eq!(number(&picked), n);
        last = last.max(picker.failed(picked.slot, picked.stamp, now).unwrap());
        picker.ended(picked.slot, picked.stamp);
    }
    last
}

/// What the picker holds, written down without any index.
#[derive(Debug, Default)]
struct Model {
    listed: BTreeMap<u16, State>,
    far: BTreeSet<u16>,
    sessions: BTreeMap<u16, usize>,
    leases: Vec<(u16, Slot, Stamp)>,
    limit: usize,
}

impl Model {
    fn open(&self, n: u16) -> usize {
        self.sessions.get(&n).copied().unwrap_or(0)
    }

    fn listed(&mut self, endpoint: &Endpoint) {
        let n = endpoint.address.port();
        self.listed.insert(n, endpoint.state);
        match endpoint.far {
            true => self.far.insert(n),
            false => self.far.remove(&n),
        };
    }

    fn has_room(&self, n: u16) -> bool {
        self.limit == 0 || self.open(n) < self.limit
    }

    /// Checks the outcome of a pick, given the ejections before it.
    fn check(
        &self,
        tried: &[u16],
        ejected: &BTreeMap<u16, Instant>,
        now: Instant,
        picked: Result<(u16, bool), Unavailable>,
    ) {
        let active: BTreeSet<_> = self
            .listed
            .iter()
            .filter(|(_, s)| **s == State::Active)
            .map(|(n, _)| *n)
            .collect();
        let untried: BTreeSet<_> = active.iter().filter(|n| !tried.contains(n)).copied().collect();
        let clean: BTreeSet<_> = untried
            .iter()
            .filter(|n| !ejected.contains_key(n))
            .copied()
            .collect();
        let is_out = |n: &u16| ejected.get(n).is_some_and(|until| *until > now);
        match picked {
            Ok((n, trial)) => {
                let nearer = |other: &u16| !self.far.contains(other) && self.has_room(*other);
                assert!(!self.far.contains(&n) || !clean.iter().any(nearer), "{n} is far");
                assert!(untried.contains(&n) && self.has_room(n), "{n} of {untried:?}");
                assert!(
                    clean.is_empty() || !is_out(&n) || trial,
                    "{n} is ejected, and {clean:?} are not"
                );
            }
            Err(Unavailable::Gone) => panic!("no pick of these is bound"),
            Err(Unavailable::Empty) => assert!(active.is_empty()),
            Err(Unavailable::Exhausted) => assert!(!active.is_empty() && untried.is_empty()),
            Err(Unavailable::Full) => {
                assert!(!untried.is_empty());
                assert!(clean.iter().all(|n| !self.has_room(*n)));
                assert!(!clean.is_empty() || untried.iter().all(|n| !self.has_room(*n)));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Insert(Endpoint),
    Remove(u16),
    Pick(BTreeSet<u16>),
    Failed(usize),
    DroppedEarly(usize),
    Established(usize),
    Lasted(usize),
    End(usize),
    Pass(u64),
    Reconfigure(crate::config::Strategy, usize),
}

fn events() -> impl proptest::strategy::Strategy<Value = Vec<Event>> {
    use proptest::strategy::Strategy;
    let state =
        prop_oneof![3 => Just(State::Active), 1 => Just(State::Draining), 1 => Just(State::Unhealthy)];
    let listed = (0..8u16, 1..5u32, state, any::<bool>()).prop_map(|(n, weight, state, far)| Endpoint {
        weight: NonZeroU32::new(weight).unwrap(),
        state,
        far,
        ..endpoint(n)
    });
    let strategy = prop_oneof![Just(RoundRobin), Just(LeastConnection), Just(PowerOfTwo)];
    let event = prop_oneof![
        3 => listed.prop_map(Event::Insert),
        1 => (0..8u16).prop_map(Event::Remove),
        8 => proptest::collection::btree_set(0..8u16, 0..3).prop_map(Event::Pick),
        2 => any::<usize>().prop_map(Event::Failed),
        1 => any::<usize>().prop_map(Event::DroppedEarly),
        2 => any::<usize>().prop_map(Event::Established),
        1 => any::<usize>().prop_map(Event::Lasted),
        3 => any::<usize>().prop_map(Event::End),
        1 => (0..3000u64).prop_map(Event::Pass),
        1 => (strategy, 0..4usize).prop_map(|(strategy, limit)| Event::Reconfigure(strategy, limit)),
    ];
    vec(event, 1..150)
}

fn run(picker: &mut Picker, model: &mut Model, now: &mut Instant, event: Event) {
    let any = |model: &Model, at: usize| (!model.leases.is_empty()).then(|| at % model.leases.len());
    match event {
        Event::Insert(endpoint) => {
            model.listed(&endpoint);
            picker.insert(endpoint);
        }
        Event::Remove(n) => {
            picker.remove(&name(n));
            model.listed.remove(&n);
        }
        Event::Pick(tried) => {
            let tried: Vec<_> = tried.into_iter().collect();
            let before = picker.status();
            let ejected = before
                .iter()
                .filter_map(|s| Some((s.endpoint.address.port(), s.ejected_until?)))
                .collect();
            let picked = picker.pick(&tried.iter().copied().map(name).collect::<Vec<_>>(), *now);
            model.check(
                &tried,
                &ejected,
                *now,
                picked.as_ref().map(outcome).map_err(|e| *e),
            );
            if let Ok(picked) = picked {
                *model.sessions.entry(number(&picked)).or_default() += 1;
                model.leases.push((number(&picked), picked.slot, picked.stamp));
            }
        }
        Event::Failed(at) | Event::DroppedEarly(at) | Event::End(at) => {
            let Some(at) = any(model, at) else { return };
            let (n, slot, stamp) = model.leases.swap_remove(at);
            match event {
                Event::Failed(_) => drop(picker.failed(slot, stamp, *now)),
                Event::DroppedEarly(_) => drop(picker.dropped_early(slot, stamp, *now)),
                _ => {}
            }
            picker.ended(slot, stamp);
            *model.sessions.get_mut(&n).unwrap() -= 1;
        }
        Event::Established(at) | Event::Lasted(at) => {
            let Some(at) = any(model, at) else { return };
            let (_, slot, stamp) = model.leases[at];
            model.leases[at].2 = match event {
                Event::Established(_) => picker.established(slot, stamp, *now),
                _ => picker.lasted(slot, stamp),
            };
        }
        Event::Pass(milliseconds) => *now += Duration::from_millis(milliseconds),
        Event::Reconfigure(strategy, limit) => {
            picker.reconfigure(settings(strategy, limit));
            model.limit = limit;
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_of_events_agrees_with_the_naive_model(events in events(), seed in any::<u64>()) {
        let mut picker = Picker::new(settings(LeastConnection, 0), Rng::with_seed(seed));
        let (mut model, mut now) = (Model::default(), Instant::now());
        for event in events {
            run(&mut picker, &mut model, &mut now, event);
            let held: BTreeMap<_, _> = picker.status().iter().map(|s| (s.endpoint.address.port(), s.sessions)).collect();
            for n in 0..8 {
                let expected = model.listed.contains_key(&n) || model.open(n) > 0;
                prop_assert_eq!(held.get(&n).copied(), expected.then(|| model.open(n)));
            }
            let active = model.listed.values().filter(|state| **state == State::Active).count();
            prop_assert_eq!(picker.active, active);
            prop_assert!(picker.suspect <= picker.active);
            prop_assert!(picker.near <= picker.active - picker.suspect);
            let near = model.listed.iter().any(|(n, state)| *state == State::Active && !model.far.contains(n));
            prop_assert!(near || picker.near == 0);
        }
    }
}

#[test]
fn nothing_active_is_empty_and_everything_tried_is_exhausted() {
    let mut picker = picker(RoundRobin, 0, 0);
    let now = Instant::now();
    assert_eq!(picker.pick(&[], now).unwrap_err(), Unavailable::Empty);
    picker.insert(Endpoint {
        state: State::Draining,
        ..endpoint(1)
    });
    picker.insert(Endpoint {
        state: State::Unhealthy,
        ..endpoint(2)
    });
    assert_eq!(picker.pick(&[], now).unwrap_err(), Unavailable::Empty);
    picker.insert(endpoint(3));
    assert_eq!(number(&picker.pick(&[name(4)], now).unwrap()), 3);
    assert_eq!(picker.pick(&[name(3)], now).unwrap_err(), Unavailable::Exhausted);
}

#[test]
fn a_full_endpoint_is_left_out_until_a_session_ends() {
    let mut picker = picker(LeastConnection, 2, 1);
    let now = Instant::now();
    let picked: Vec<_> = (0..2).map(|_| picker.pick(&[], now).unwrap()).collect();
    assert_eq!(picker.pick(&[], now).unwrap_err(), Unavailable::Full);
    picker.ended(picked[0].slot, picked[0].stamp);
    assert!(picker.pick(&[], now).is_ok());
}

#[test]
fn a_lower_limit_keeps_the_sessions_above_it() {
    let mut picker = picker(RoundRobin, 0, 1);
    let now = Instant::now();
    let picked: Vec<_> = (0..5).map(|_| picker.pick(&[], now).unwrap()).collect();
    picker.reconfigure(settings(PowerOfTwo, 2));
    for picked in &picked[..4] {
        assert_eq!(picker.pick(&[], now).unwrap_err(), Unavailable::Full);
        picker.ended(picked.slot, picked.stamp);
    }
    assert!(picker.pick(&[], now).is_ok());
}

/// A balancer that forgets live sessions when the set changes sends every new session to the endpoint that came back.
#[test]
fn an_endpoint_that_flaps_keeps_its_count() {
    let mut picker = picker(LeastConnection, 0, 2);
    let now = Instant::now();
    let picked: Vec<_> = (0..20).map(|_| picker.pick(&[], now).unwrap()).collect();
    picker.remove(&name(0));
    let gone = status(&picker, 0).unwrap();
    assert_eq!((gone.state, gone.sessions), ("gone", 10));
    picker.insert(endpoint(0));
    assert_eq!(status(&picker, 0).unwrap().sessions, 10);
    let spread: Vec<_> = (0..20).map(|_| number(&picker.pick(&[], now).unwrap())).collect();
    assert_eq!(spread.iter().filter(|n| **n == 0).count(), 10);
    drop(picked);
}

#[test]
fn a_gone_endpoint_is_forgotten_with_its_last_session() {
    let mut picker = picker(RoundRobin, 0, 1);
    let now = Instant::now();
    let picked: Vec<_> = (0..2).map(|_| picker.pick(&[], now).unwrap()).collect();
    picker.remove(&name(0));
    assert_eq!(picker.pick(&[], now).unwrap_err(), Unavailable::Empty);
    picker.ended(picked[0].slot, picked[0].stamp);
    assert!(status(&picker, 0).is_some());
    picker.ended(picked[1].slot, picked[1].stamp);
    assert!(status(&picker, 0).is_none() && picker.slots.is_empty());
}

#[test]
fn weight_state_and_address_change_under_a_live_count() {
    let mut picker = picker(LeastConnection, 0, 1);
    let now = Instant::now();
    let picked = picker.pick(&[], now).unwrap();
    let weight = NonZeroU32::new(7).unwrap();
    let moved = SocketAddr::from(([127, 0, 0, 2], 80));
    picker.insert(Endpoint {
        weight,
        state: State::Draining,
        address: moved,
        ..endpoint(0)
    });
    let changed = status(&picker, 0).unwrap();
    assert_eq!(
        (changed.state, changed.sessions, changed.endpoint.address),
        ("draining", 1, moved)
    );
    assert_eq!(
        picked.endpoint.address,
        endpoint(0).address,
        "the lease keeps what it dialled"
    );
    assert_eq!(picker.pick(&[], now).unwrap_err(), Unavailable::Empty);
}

/// A dead endpoint has the fewest sessions. It must not get every new one.
#[test]
fn a_dead_endpoint_is_no_black_hole() {
    for strategy in [RoundRobin, LeastConnection, PowerOfTwo] {
        let mut picker = picker(strategy, 0, 3);
        let (start, mut dialled) = (Instant::now(), 0);
        for step in 0..6000 {
            let now = start + Duration::from_millis(step * 10);
            let picked = picker.pick(&[], now).unwrap();
            if number(&picked) == 1 {
                dialled += 1;
                picker.failed(picked.slot, picked.stamp, now);
                picker.ended(picked.slot, picked.stamp);
            } else {
                picker.established(picked.slot, picked.stamp, now);
            }
        }
        assert!(
            (4..=8).contains(&dialled),
            "{strategy:?} dialled the dead endpoint {dialled} times in a minute"
        );
    }
}

#[test]
fn one_trial_at_a_time_while_others_take_the_rest() {
    let mut picker = picker(LeastConnection, 0, 3);
    let now = Instant::now();
    let open = eject(&mut picker, [1], 3, now);
    assert!((0..50).all(|_| number(&picker.pick(&[], open - Duration::from_nanos(1)).unwrap()) != 1));
    let trial = picker.pick(&[], open).unwrap();
    assert_eq!(number(&trial), 1, "it has the fewest sessions");
    assert!((0..50).all(|_| number(&picker.pick(&[], open).unwrap()) != 1));
    picker.established(trial.slot, trial.stamp, open);
    assert_eq!(number(&picker.pick(&[], open).unwrap()), 1);
}

#[test]
fn when_all_are_ejected_all_are_candidates() {
    for strategy in [RoundRobin, LeastConnection, PowerOfTwo] {
        let mut picker = picker(strategy, 0, 3);
        let now = Instant::now();
        eject(&mut picker, 0..3, 3, now);
        let picked: BTreeSet<_> = (0..30).map(|_| number(&picker.pick(&[], now).unwrap())).collect();
        assert_eq!(picked.len(), 3, "{strategy:?}");
    }
}

#[test]
fn a_request_that_has_tried_all_others_gets_an_ejected_endpoint() {
    let mut picker = picker(RoundRobin, 0, 3);
    let now = Instant::now();
    eject(&mut picker, [2], 3, now);
    assert_eq!(number(&picker.pick(&[name(0), name(1)], now).unwrap()), 2);
}

#[test]
fn full_endpoints_do_not_send_sessions_to_an_ejected_one() {
    let mut picker = picker(RoundRobin, 1, 2);
    let now = Instant::now();
    eject(&mut picker, [1], 2, now);
    assert_eq!(number(&picker.pick(&[], now).unwrap()), 0);
    assert_eq!(picker.pick(&[], now).unwrap_err(), Unavailable::Full);
}

/// Every backend of a service restarts. Whichever is found up first must not get every client that reconnects while the
/// others sit out the rest of half a minute: their sessions would stay uneven for hours.
#[test]
fn the_first_success_after_a_total_outage_opens_all_other_trials() {
    let mut picker = picker(LeastConnection, 0, 40);
    let now = Instant::now();
    eject(&mut picker, 0..40, 40, now);
    for _ in 0..100 {
        let picked = picker.pick(&[], now).unwrap();
        picker.established(picked.slot, picked.stamp, now);
    }
    let sessions: Vec<_> = picker
        .status()
        .into_iter()
        .map(|status| status.sessions)
        .collect();
    assert!(sessions.iter().all(|open| (2..=3).contains(open)), "{sessions:?}");
}

/// Its trial got a 101 and is living on when another endpoint ends the outage.
#[test]
fn an_endpoint_that_is_proving_itself_comes_back_though_others_are_pardoned() {
    let mut picker = picker(LeastConnection, 0, 2);
    let mut now = Instant::now();
    for _ in 0..3 {
        let picked = picker.pick(&[name(1)], now).unwrap();
        picker.dropped_early(picked.slot, picked.stamp, now);
        picker.ended(picked.slot, picked.stamp);
    }
    now = status(&picker, 0).unwrap().ejected_until.unwrap();
    let proving = picker.pick(&[name(1)], now).unwrap();
    picker.established(proving.slot, proving.stamp, now);
    eject(&mut picker, [1], 2, now);
    let back = picker.pick(&[name(0)], now).unwrap();
    picker.established(back.slot, back.stamp, now);
    let _ = picker.pick(&[], now);
    assert!(status(&picker, 0).unwrap().ejected_until.is_some());
    let _ = picker.pick(&[], now + Duration::from_secs(1));
    assert!(status(&picker, 0).unwrap().ejected_until.is_none());
}

#[test]
fn one_pick_looks_at_a_bounded_number_of_expiries() {
    let mut picker = picker(RoundRobin, 0, 100);
    let now = Instant::now();
    let open = eject(&mut picker, 0..100, 100, now);
    let out = |picker: &Picker| {
        picker
            .entries
            .iter()
            .filter(|(_, entry)| entry.ejection.is_out())
            .count()
    };
    assert_eq!(out(&picker), 100);
    picker.pick(&[], open).unwrap();
    assert_eq!(
        out(&picker),
        100 - EXPIRED_PER_PICK + 1,
        "sixteen opened, one of them is on trial"
    );
}

#[test]
fn an_endpoint_that_is_ejected_stays_so_when_it_flaps_and_not_when_it_moves() {
    let mut picker = picker(RoundRobin, 0, 2);
    let now = Instant::now();
    let held = picker.pick(&[name(0)], now).unwrap();
    eject(&mut picker, [1], 2, now);
    picker.remove(&name(1));
    picker.insert(endpoint(1));
    assert!(status(&picker, 1).unwrap().ejected_until.is_some());
    picker.insert(Endpoint {
        address: SocketAddr::from(([127, 0, 0, 9], 1)),
        ..endpoint(1)
    });
    assert_eq!(status(&picker, 1).unwrap().ejected_until, None);
    picker.ended(held.slot, held.stamp);
}

/// The endpoints of so many picks whose sessions stay.
fn picks(picker: &mut Picker, count: usize, now: Instant) -> BTreeSet<u16> {
    (0..count)
        .map(|_| number(&picker.pick(&[], now).unwrap()))
        .collect()
}

#[test]
fn a_far_endpoint_gets_no_session_while_a_near_one_takes_it() {
    for strategy in [RoundRobin, LeastConnection, PowerOfTwo] {
        let mut picker = picker(strategy, 0, 2);
        picker.insert(far(2));
        picker.insert(far(3));
        let now = Instant::now();
        assert_eq!(picks(&mut picker, 40, now), [0, 1].into(), "{strategy:?}");
        let status = status(&picker, 2).unwrap();
        assert_eq!((status.state, status.sessions), ("active", 0));
    }
}

#[test]
fn a_far_endpoint_is_better_than_none_that_is_left() {
    let now = Instant::now();
    let with_far = |limit| {
        let mut picker = picker(LeastConnection, limit, 2);
        picker.insert(far(2));
        picker
    };
    let mut tried = with_far(0);
    assert_eq!(number(&tried.pick(&[name(0), name(1)], now).unwrap()), 2);
    assert_eq!(
        tried.pick(&[name(0), name(1), name(2)], now).unwrap_err(),
        Unavailable::Exhausted
    );
    let mut full = with_far(1);
    assert_eq!(picks(&mut full, 3, now), [0, 1, 2].into());
    assert_eq!(full.pick(&[], now).unwrap_err(), Unavailable::Full);
    let mut leaving = with_far(0);
    leaving.remove(&name(0));
    leaving.insert(Endpoint {
        state: State::Draining,
        ..endpoint(1)
    });
    assert_eq!(picks(&mut leaving, 5, now), [2].into());
}

#[test]
fn a_far_endpoint_that_works_comes_before_near_ones_that_do_not() {
    for strategy in [RoundRobin, LeastConnection, PowerOfTwo] {
        let mut picker = picker(strategy, 0, 2);
        picker.insert(far(2));
        let now = Instant::now();
        eject(&mut picker, [0, 1], 3, now);
        assert_eq!(picks(&mut picker, 20, now), [2].into(), "{strategy:?}");
        eject(&mut picker, [2], 3, now);
        assert_eq!(picks(&mut picker, 70, now).len(), 3, "{strategy:?}: all are out");
    }
}

#[test]
fn an_endpoint_that_becomes_far_keeps_its_sessions_and_one_that_is_no_more_is_used_at_once() {
    let mut picker = picker(LeastConnection, 0, 2);
    let now = Instant::now();
    picks(&mut picker, 20, now);
    picker.insert(far(1));
    let moved = status(&picker, 1).unwrap();
    assert_eq!((moved.state, moved.sessions), ("active", 10));
    assert_eq!(picks(&mut picker, 10, now), [0].into());
    picker.insert(endpoint(1));
    assert_eq!(picks(&mut picker, 10, now), [1].into(), "it has fewer");
}

/// As with a total outage, though far endpoints went on: whichever near one is back first must not get all that they
/// had.
#[test]
fn the_first_near_endpoint_that_is_back_opens_the_trials_of_the_others() {
    let mut picker = picker(LeastConnection, 0, 8);
    picker.insert(far(8));
    let start = Instant::now();
    let open = eject(&mut picker, 0..8, 9, start);
    let first = (0..8)
        .filter_map(|n| status(&picker, n)?.ejected_until)
        .min()
        .unwrap();
    assert!(first < open);
    for _ in 0..80 {
        let picked = picker.pick(&[], first).unwrap();
        picker.established(picked.slot, picked.stamp, first);
    }
    let sessions: Vec<_> = (0..8).map(|n| status(&picker, n).unwrap().sessions).collect();
    assert!(
        sessions.iter().all(|open| (9..=11).contains(open)),
        "{sessions:?}"
    );
}
