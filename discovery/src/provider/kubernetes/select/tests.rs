use std::{collections::BTreeSet, net::IpAddr};

use proptest::{collection::vec, prelude::*};

use super::*;

fn entry(pod: &str, ip: impl Into<IpAddr>) -> Entry {
    Entry {
        pod: (!pod.is_empty()).then(|| Identity::from(format!("pod:{pod}").as_str())),
        ip: ip.into(),
        state: State::Active,
        zone: None,
        hints: Hints::default(),
    }
}

fn named(name: &str, number: u16) -> Port {
    Port {
        name: name.into(),
        number: NonZeroU16::new(number),
    }
}

fn slice(name: &str, revision: u64, ports: &[Port], entries: &[Entry]) -> Slice {
    Slice {
        name: name.into(),
        service: Some("chat".into()),
        revision,
        ports: ports.into(),
        entries: entries.into(),
        unusable: 0,
    }
}

fn group(slices: impl IntoIterator<Item = Slice>) -> Group {
    let named = |slice: Slice| (Arc::clone(&slice.name), Arc::new(slice));
    Arc::new(slices.into_iter().map(named).collect())
}

fn endpoints(selected: &Selected) -> Vec<(String, String, State)> {
    let Answer::Endpoints(endpoints) = &selected.answer else {
        panic!("{selected:?}");
    };
    let shown = |e: &Endpoint| (e.identity.to_string(), e.address.to_string(), e.state);
    endpoints.iter().map(shown).collect()
}

fn ws() -> PortChoice {
    PortChoice::Named("ws".into())
}

fn number_of(ports: &[Port], wanted: &PortChoice) -> Option<u16> {
    let selected = select(
        &group([slice("a", 1, ports, &[entry("", [10, 0, 0, 1])])]),
        wanted,
        &Location::default(),
    );
    match selected.answer {
        Answer::Endpoints(endpoints) => {
            assert_eq!(selected.complaint, None);
            Some(endpoints[0].address.port())
        }
        Answer::Nothing => {
            assert!(selected.complaint.is_some(), "who gets nothing is told why");
            None
        }
    }
}

#[test]
fn a_port_is_found_by_name_by_number_or_as_the_only_one() {
    let (ws, http, all) = (named("ws", 9001), named("http", 80), named("", 0));
    let number = |number| PortChoice::Number(NonZeroU16::new(number).unwrap());
    let name = |name: &str| PortChoice::Named(name.into());
    assert_eq!(number_of(&[http.clone(), ws.clone()], &name("ws")), Some(9001));
    assert_eq!(number_of(&[named("", 80)], &name("")), Some(80));
    assert_eq!(number_of(std::slice::from_ref(&http), &name("ws")), None);
    assert_eq!(number_of(&[], &name("ws")), None);
    assert_eq!(
        number_of(&[named("ws", 0)], &name("ws")),
        None,
        "a name without a number"
    );
    assert_eq!(number_of(&[http.clone(), ws.clone()], &number(9001)), Some(9001));
    assert_eq!(number_of(std::slice::from_ref(&http), &number(9001)), None);
    assert_eq!(
        number_of(&[], &number(9001)),
        Some(9001),
        "a headless service without ports"
    );
    assert_eq!(number_of(std::slice::from_ref(&all), &number(9001)), Some(9001));
    assert_eq!(
        number_of(std::slice::from_ref(&http), &PortChoice::Only),
        Some(80)
    );
    assert_eq!(number_of(&[http, ws], &PortChoice::Only), None);
    assert_eq!(number_of(&[], &PortChoice::Only), None);
    assert_eq!(number_of(&[all], &PortChoice::Only), None);
}

#[test]
fn a_complaint_says_what_to_write_instead() {
    let slices = group([slice(
        "a",
        1,
        &[named("http", 80), named("", 9001)],
        &[entry("a", [10, 0, 0, 1])],
    )]);
    let complaint = |port| select(&slices, &port, &Location::default()).complaint.unwrap();
    assert_eq!(
        complaint(ws()),
        "the service has no port `ws`; write one of `http`, `9001`"
    );
    assert!(complaint(PortChoice::Only).contains("write one of `http`, `9001` as `port`"));
    assert!(
        complaint(PortChoice::Number(NonZeroU16::MIN)).contains("no port 1; write one of `http`, `9001`")
    );
}

#[test]
fn the_number_of_a_named_port_may_differ_from_slice_to_slice() {
    let slices = group([
        slice("a", 1, &[named("ws", 9001)], &[entry("a", [10, 0, 0, 1])]),
        slice("b", 2, &[named("ws", 9002)], &[entry("b", [10, 0, 0, 2])]),
    ]);
    let found = endpoints(&select(&slices, &ws(), &Location::default()));
    assert_eq!(found[0].1, "10.0.0.1:9001");
    assert_eq!(found[1].1, "10.0.0.2:9002");
}

#[test]
fn no_slice_is_no_answer_and_an_empty_slice_is_one() {
    let absent = select(&group([]), &ws(), &Location::default());
    assert_eq!(absent.answer, Answer::Nothing);
    assert!(
        absent
            .complaint
            .unwrap()
            .contains("is there a Service of this name")
    );
    let empty = slice("a", 1, &[], &[]);
    let scaled_to_zero = select(&group([empty.clone()]), &ws(), &Location::default());
    assert_eq!(scaled_to_zero.answer, Answer::Endpoints(Snapshot::default()));
    assert_eq!(scaled_to_zero.complaint, None);
    // Endpoints that are there and cannot be used are no proof that there should be none.
    let renamed = slice("b", 2, &[named("web", 80)], &[entry("a", [10, 0, 0, 1])]);
    assert_eq!(
        select(&group([empty.clone(), renamed]), &ws(), &Location::default()).answer,
        Answer::Nothing
    );
    let hosts = Slice { unusable: 3, ..empty };
    let selected = select(&group([hosts]), &ws(), &Location::default());
    assert_eq!(selected.answer, Answer::Nothing);
    assert!(selected.complaint.unwrap().starts_with("3 endpoints"));
}

#[test]
fn a_pod_in_two_slices_is_one_endpoint_and_the_later_write_holds() {
    let terminating = Entry {
        state: State::Draining,
        ..entry("a", [10, 0, 0, 1])
    };
    for (stale, fresh) in [("a", "b"), ("b", "a")] {
        let slices = group([
            slice(stale, 9, &[named("ws", 1)], &[entry("a", [10, 0, 0, 1])]),
            slice(
                fresh,
                10,
                &[named("ws", 1)],
                &[terminating.clone(), entry("b", [10, 0, 0, 2])],
            ),
        ]);
        let found = endpoints(&select(&slices, &ws(), &Location::default()));
        let expected = ("pod:a".to_owned(), "10.0.0.1:1".to_owned(), State::Draining);
        assert_eq!((found.len(), &found[0]), (2, &expected));
    }
}

#[test]
fn a_pod_with_addresses_of_both_families_is_one_endpoint_at_the_ipv4_address() {
    let v6: IpAddr = "fd77::1".parse().unwrap();
    for (revision4, revision6) in [(1, 2), (2, 1)] {
        let slices = group([
            slice("a", revision4, &[named("ws", 1)], &[entry("a", [10, 0, 0, 1])]),
            slice(
                "b",
                revision6,
                &[named("ws", 1)],
                &[entry("a", v6), entry("b", v6)],
            ),
        ]);
        let found: Vec<_> = endpoints(&select(&slices, &ws(), &Location::default()))
            .into_iter()
            .map(|e| e.1)
            .collect();
        assert_eq!(found, ["10.0.0.1:1", "[fd77::1]:1"]);
    }
}

#[test]
fn a_pod_that_took_over_an_address_is_another_endpoint() {
    let old = Entry {
        state: State::Draining,
        ..entry("old", [10, 0, 0, 1])
    };
    let slices = group([slice(
        "a",
        1,
        &[named("ws", 1)],
        &[old, entry("new", [10, 0, 0, 1])],
    )]);
    let found = endpoints(&select(&slices, &ws(), &Location::default()));
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].0.as_str(), found[0].2), ("pod:new", State::Active));
    assert_eq!((found[1].0.as_str(), found[1].2), ("pod:old", State::Draining));
}

#[test]
fn pods_that_terminate_are_used_only_where_no_pod_is_active() {
    let states = |states: &[State]| {
        let entries: Vec<_> = (1..)
            .zip(states)
            .map(|(ip, state)| Entry {
                state: *state,
                ..entry(&ip.to_string(), [10, 0, 0, ip])
            })
            .collect();
        let selected = select(
            &group([slice("a", 1, &[named("ws", 1)], &entries)]),
            &ws(),
            &Location::default(),
        );
        endpoints(&selected).into_iter().map(|e| e.2).collect::<Vec<_>>()
    };
    let (active, draining, unhealthy) = (State::Active, State::Draining, State::Unhealthy);
    assert_eq!(
        states(&[active, draining, unhealthy]),
        [active, draining, unhealthy]
    );
    assert_eq!(
        states(&[draining, draining, unhealthy]),
        [active, active, unhealthy]
    );
    assert_eq!(states(&[unhealthy]), [unhealthy]);
}

/// An active pod in zone `z`, that those who are named are asked to use.
fn hinted(pod: u8, zones: &[&str], nodes: &[&str]) -> Entry {
    let named = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    Entry {
        zone: Some("z".into()),
        hints: Hints {
            zones: named(zones),
            nodes: named(nodes),
        },
        ..entry(&pod.to_string(), [10, 0, 0, pod])
    }
}

/// Which of the endpoints are far for a process in zone `a` on node `n`.
fn far(entries: &[Entry]) -> Vec<bool> {
    let here = Location {
        zone: Some("a".into()),
        node: Some("n".into()),
    };
    far_from(&here, entries)
}

fn far_from(here: &Location, entries: &[Entry]) -> Vec<bool> {
    let slices = group([slice("a", 1, &[named("ws", 1)], entries)]);
    let Answer::Endpoints(endpoints) = select(&slices, &ws(), here).answer else {
        panic!()
    };
    assert!(
        endpoints.iter().all(|e| e.zone.as_deref() == Some("z")),
        "where it runs is no matter of hints"
    );
    endpoints.iter().map(|e| e.far).collect()
}

#[test]
fn hints_for_zones_count_if_every_active_endpoint_has_some_and_one_names_ours() {
    let (ours, theirs) = (hinted(1, &["a"], &[]), hinted(2, &["b", "c"], &[]));
    let (both, bare) = (hinted(3, &["b", "a"], &[]), hinted(4, &[], &[]));
    assert_eq!(
        far(&[ours.clone(), theirs.clone(), both.clone()]),
        [false, true, false]
    );
    assert_eq!(
        far(&[ours.clone(), theirs.clone(), both.clone(), bare.clone()]),
        [false; 4]
    );
    assert_eq!(far(std::slice::from_ref(&theirs)), [false], "none is for us");
    assert_eq!(far(std::slice::from_ref(&bare)), [false]);
    assert_eq!(
        far_from(&Location::default(), &[ours, theirs, both]),
        [false; 3],
        "who does not know where it runs"
    );
}

#[test]
fn only_active_endpoints_decide_whether_hints_count_and_only_they_are_far() {
    let (ours, theirs, bare) = (
        hinted(1, &["a"], &[]),
        hinted(2, &["b"], &[]),
        hinted(3, &[], &[]),
    );
    let as_is = |state, entry: &Entry| Entry {
        state,
        ..entry.clone()
    };
    for state in [State::Draining, State::Unhealthy] {
        assert_eq!(
            far(&[ours.clone(), theirs.clone(), as_is(state, &bare)]),
            [false, true, false]
        );
        assert_eq!(
            far(&[as_is(state, &ours), theirs.clone()]),
            [false; 2],
            "ours takes no new sessions"
        );
        assert_eq!(far(&[ours.clone(), as_is(state, &theirs)]), [false; 2]);
    }
    // Where none is active, those that terminate are all that is left.
    let leaving = [ours, theirs].map(|entry| as_is(State::Draining, &entry));
    assert_eq!(far(&leaving), [false; 2]);
}

#[test]
fn hints_for_nodes_come_first_and_those_for_zones_stand_in_for_them() {
    let ours = hinted(1, &["a"], &["n"]);
    let neighbour = hinted(2, &["a"], &["m"]);
    let theirs = hinted(3, &["b"], &["o"]);
    assert_eq!(
        far(&[ours.clone(), neighbour.clone(), theirs.clone()]),
        [false, true, true]
    );
    assert_eq!(
        far(&[neighbour.clone(), theirs.clone()]),
        [false, true],
        "nobody on our node"
    );
    let partly = hinted(4, &["b"], &[]);
    assert_eq!(
        far(&[ours.clone(), neighbour.clone(), partly]),
        [false, false, true],
        "hints for nodes are not on all"
    );
    let nowhere = Location {
        zone: Some("a".into()),
        node: None,
    };
    assert_eq!(
        far_from(&nowhere, &[ours, neighbour, theirs]),
        [false, false, true]
    );
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let state = prop_oneof![Just(State::Active), Just(State::Draining), Just(State::Unhealthy)];
    (prop::option::weighted(0.8, 0..5u8), 1..5u8, any::<bool>(), state).prop_map(|(pod, ip, v6, state)| {
        Entry {
            pod: pod.map(|pod| Identity::from(format!("pod:{pod}").as_str())),
            ip: if v6 {
                IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, u16::from(ip)])
            } else {
                [10, 0, 0, ip].into()
            },
            state,
            zone: None,
            hints: Hints::default(),
        }
    })
}

proptest! {
    /// A slice has one family, and no two have one revision; the rest may overlap in any way.
    #[test]
    fn of_each_pod_the_preferred_copy_is_found_and_no_other(slices in vec((vec(any_entry(), 0..6), any::<bool>(), any::<bool>()), 0..6)) {
        let slices: Vec<Slice> = slices.into_iter().enumerate().map(|(index, (mut entries, v6, ws))| {
            entries.retain(|entry| entry.ip.is_ipv6() == v6);
            let mut pods = BTreeSet::new();
            entries.retain(|entry| entry.pod.is_none() || pods.insert(entry.pod.clone()));
            let ports = [if ws { named("ws", 9001) } else { named("http", 80) }];
            slice(&index.to_string(), index as u64, &ports, &entries)
        }).collect();
        let selected = select(&group(slices.clone()), &ws(), &Location::default());
        // One by one: is there a better copy of it anywhere?
        let usable = || slices.iter().filter(|slice| &*slice.ports[0].name == "ws");
        let mut expected = BTreeSet::new();
        for slice in usable() {
            for entry in &slice.entries {
                let better = |other: &&Slice| other.entries.iter().any(|copy| {
                    let same = match &entry.pod { Some(pod) => copy.pod.as_ref() == Some(pod), None => copy.pod.is_none() && copy.ip == entry.ip };
                    same && (copy.ip.is_ipv4(), other.revision) > (entry.ip.is_ipv4(), slice.revision)
                });
                if !usable().any(|other| better(&other)) {
                    let address = SocketAddr::new(entry.ip, 9001);
                    let identity = entry.pod.as_ref().map_or_else(|| format!("addr:{address}"), ToString::to_string);
                    expected.insert((identity, address.to_string()));
                }
            }
        }
        let unusable = slices.iter().any(|slice| !slice.entries.is_empty() && &*slice.ports[0].name != "ws");
        prop_assert_eq!(selected.complaint.is_some(), unusable || slices.is_empty());
        match selected.answer {
            Answer::Nothing => prop_assert!(expected.is_empty() && (unusable || slices.is_empty())),
            Answer::Endpoints(found) => {
                let found: BTreeSet<_> = found.iter().map(|e| (e.identity.to_string(), e.address.to_string())).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
