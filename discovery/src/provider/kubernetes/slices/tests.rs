use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

/// A slice that is told apart by its revision.
fn slice(name: &str, service: Option<&str>, revision: u64) -> Slice {
    Slice {
        name: name.into(),
        service: service.map(Into::into),
        revision,
        ports: Box::default(),
        entries: Box::default(),
        unusable: 0,
    }
}

fn revisions(slices: &Slices, service: &str) -> Vec<(String, u64)> {
    let group = slices.of(service);
    group
        .values()
        .map(|slice| (slice.name.to_string(), slice.revision))
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Option<u8>, u64),
    Delete(u8),
    List(Vec<(u8, Option<u8>, u64)>),
}

fn step() -> impl Strategy<Value = Step> {
    // Few names and services, so that slices are written again, moved and deleted twice.
    let written = || (0..5u8, prop::option::weighted(0.8, 0..3u8), any::<u64>());
    prop_oneof![
        8 => written().prop_map(|(name, service, revision)| Step::Put(name, service, revision)),
        4 => (0..5u8).prop_map(Step::Delete),
        1 => vec(written(), 0..5).prop_map(Step::List),
    ]
}

fn made(name: u8, service: Option<u8>, revision: u64) -> Slice {
    slice(
        &name.to_string(),
        service.map(|service| service.to_string()).as_deref(),
        revision,
    )
}

proptest! {
    #[test]
    fn a_fold_of_events_equals_the_set_that_they_leave(steps in vec(step(), 0..40)) {
        let mut slices = Slices::default();
        let mut model: BTreeMap<String, (Option<String>, u64)> = BTreeMap::new();
        let of = |model: &BTreeMap<String, (Option<String>, u64)>, service: &str| -> Vec<(String, u64)> {
            let there = model.iter().filter(|(_, (home, _))| home.as_deref() == Some(service));
            there.map(|(name, (_, revision))| (name.clone(), *revision)).collect()
        };
        for step in steps {
            let before = model.clone();
            let mut concerned: Vec<Arc<str>> = match step {
                Step::Put(name, service, revision) => {
                    model.insert(name.to_string(), (service.map(|s| s.to_string()), revision));
                    slices.put(made(name, service, revision))
                }
                Step::Delete(name) => {
                    model.remove(&name.to_string());
                    slices.delete(&name.to_string()).into_iter().collect()
                }
                Step::List(listed) => {
                    model = listed.iter().map(|(n, s, r)| (n.to_string(), (s.map(|s| s.to_string()), *r))).collect();
                    slices = Slices::listed(listed.into_iter().map(|(n, s, r)| made(n, s, r)));
                    ["0", "1", "2"].map(Into::into).to_vec()
                }
            };
            concerned.sort();
            prop_assert!(concerned.is_sorted_by(|a, b| a < b), "each service is named once");
            for service in ["0", "1", "2"] {
                prop_assert_eq!(revisions(&slices, service), of(&model, service));
                let changed = of(&before, service) != of(&model, service);
                prop_assert!(!changed || concerned.iter().any(|named| &**named == service), "{} was not named", service);
            }
        }
        let homes: usize = ["0", "1", "2"].iter().map(|service| slices.of(service).len()).sum();
        prop_assert_eq!(slices.homes.len(), homes, "nothing is remembered of what is gone");
        prop_assert!(slices.services.values().all(|group| !group.is_empty()));
    }
}

#[test]
fn a_group_that_is_held_does_not_change() {
    let mut slices = Slices::listed([slice("a", Some("chat"), 1)]);
    let held = slices.of("chat");
    slices.put(slice("a", Some("chat"), 2));
    slices.put(slice("b", Some("chat"), 3));
    assert_eq!(held.values().map(|slice| slice.revision).collect::<Vec<_>>(), [1]);
    assert_eq!(
        revisions(&slices, "chat"),
        [("a".to_owned(), 2), ("b".to_owned(), 3)]
    );
}

#[test]
fn a_slice_that_moves_concerns_both_services() {
    let mut slices = Slices::listed([slice("a", Some("chat"), 1)]);
    assert_eq!(
        slices.put(slice("a", Some("rooms"), 2)),
        ["chat".into(), "rooms".into()]
    );
    assert!(slices.of("chat").is_empty());
    assert_eq!(slices.put(slice("a", None, 3)), ["rooms".into()]);
    assert_eq!(slices.delete("a"), None);
}
