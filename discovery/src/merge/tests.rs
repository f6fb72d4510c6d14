use std::net::SocketAddr;

use tokio::time::{advance, timeout};

use super::*;
use crate::{Identity, Publisher, State, belief::SETTLE, provider::Error};

const HOLD: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

fn at(port: u16) -> Endpoint {
    Endpoint::at(SocketAddr::from(([10, 0, 0, 1], port)))
}

fn ports(ports: &[u16]) -> Snapshot {
    ports.iter().map(|port| at(*port)).collect()
}

fn away() -> Error {
    Error::Transient("connection refused".into())
}

/// So many ordinary sources, then so many fallbacks.
fn merge(ordinary: usize, fallbacks: usize) -> (Vec<Publisher>, Merge) {
    remembering(ordinary, fallbacks, &[])
}

/// As [`merge`], with sets remembered of the first sources.
fn remembering(ordinary: usize, fallbacks: usize, sets: &[Snapshot]) -> (Vec<Publisher>, Merge) {
    let (publishers, readers): (Vec<_>, Vec<_>) =
        (0..ordinary + fallbacks).map(|_| Publisher::channel()).unzip();
    let sources = readers.into_iter().enumerate().map(|(index, reader)| Source {
        reader,
        fallback: index >= ordinary,
        remembered: sets.get(index).cloned(),
    });
    (publishers, Merge::new(sources, HOLD))
}

/// The set after all that can happen within this time has happened.
async fn after(merge: &mut Merge, time: Duration) -> Option<Snapshot> {
    let _ = timeout(time, async { while merge.next().await {} }).await;
    merge.merged().cloned()
}

#[tokio::test(start_paused = true)]
async fn a_single_source_is_passed_on_at_once() {
    let (publishers, mut merge) = merge(1, 0);
    publishers[0].publish(ports(&[1, 2]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[1, 2])));
    publishers[0].publish(ports(&[2]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[2])));
}

#[tokio::test(start_paused = true)]
async fn a_single_source_that_does_not_answer_leaves_the_set_not_known() {
    let (publishers, mut merge) = merge(1, 0);
    assert_eq!(after(&mut merge, 10 * PATIENCE).await, None);
    publishers[0].fail(&away());
    assert_eq!(after(&mut merge, 10 * PATIENCE).await, None);
    publishers[0].publish(ports(&[]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[])));
}

#[tokio::test(start_paused = true)]
async fn a_union_is_known_when_every_source_has_answered() {
    let (publishers, mut merge) = merge(2, 0);
    publishers[0].publish(ports(&[1]));
    assert_eq!(after(&mut merge, PATIENCE / 2).await, None);
    publishers[1].publish(ports(&[2]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[1, 2])));
}

#[tokio::test(start_paused = true)]
async fn a_union_does_not_wait_for_a_source_that_fails_or_is_late() {
    let (publishers, mut failing) = merge(2, 0);
    publishers[0].publish(ports(&[1]));
    publishers[1].fail(&away());
    assert_eq!(after(&mut failing, MS).await, Some(ports(&[1])));
    let (publishers, mut late) = merge(2, 0);
    publishers[0].publish(ports(&[1]));
    assert_eq!(after(&mut late, PATIENCE + MS).await, Some(ports(&[1])));
    publishers[1].publish(ports(&[2]));
    assert_eq!(after(&mut late, MS).await, Some(ports(&[1, 2])));
}

#[tokio::test(start_paused = true)]
async fn one_source_of_a_union_that_is_emptied_takes_its_endpoints_at_once() {
    let (publishers, mut merge) = merge(2, 0);
    publishers[0].publish(ports(&[1]));
    publishers[1].publish(ports(&[2]));
    after(&mut merge, MS).await;
    publishers[1].publish(ports(&[]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[1])));
}

#[tokio::test(start_paused = true)]
async fn an_unexplained_nothing_of_one_source_is_held_though_another_has_endpoints() {
    let (publishers, mut merge) = merge(2, 0);
    publishers[0].publish(ports(&[1]));
    publishers[1].publish(ports(&[2]));
    after(&mut merge, MS).await;
    publishers[1].publish_nothing();
    assert_eq!(after(&mut merge, HOLD - MS).await, Some(ports(&[1, 2])));
    assert_eq!(after(&mut merge, 2 * MS).await, Some(ports(&[1])));
}

#[tokio::test(start_paused = true)]
async fn a_set_that_would_leave_nothing_waits_a_moment_for_the_other_half_of_a_move() {
    let (publishers, mut merge) = merge(1, 0);
    publishers[0].publish(ports(&[1]));
    after(&mut merge, MS).await;
    publishers[0].publish(ports(&[]));
    assert_eq!(after(&mut merge, SETTLE - MS).await, Some(ports(&[1])));
    publishers[0].publish(ports(&[2]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[2])));
    publishers[0].publish(ports(&[]));
    assert_eq!(after(&mut merge, SETTLE + MS).await, Some(ports(&[])));
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_last_set_and_does_not_fall_back() {
    let (publishers, mut merge) = merge(1, 1);
    publishers[0].publish(ports(&[1]));
    publishers[1].publish(ports(&[9]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[1])));
    publishers[0].fail(&away());
    assert_eq!(after(&mut merge, 10 * HOLD).await, Some(ports(&[1])));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_used_when_the_ordinary_source_never_answered() {
    let (publishers, mut merge) = merge(1, 1);
    publishers[1].publish(ports(&[9]));
    assert_eq!(
        after(&mut merge, PATIENCE / 2).await,
        None,
        "the ordinary one may still answer"
    );
    publishers[0].fail(&away());
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[9])));
    publishers[0].publish(ports(&[1]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[1])));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_is_needed_is_waited_for() {
    let (publishers, mut merge) = merge(1, 1);
    publishers[0].publish(ports(&[]));
    assert_eq!(after(&mut merge, PATIENCE / 2).await, None);
    publishers[1].publish(ports(&[9]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[9])));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_used_while_the_ordinary_source_has_no_active_endpoint() {
    let (publishers, mut merge) = merge(1, 1);
    publishers[0].publish(ports(&[1]));
    publishers[1].publish(ports(&[9]));
    after(&mut merge, MS).await;
    let leaving = Endpoint {
        state: State::Draining,
        ..at(1)
    };
    publishers[0].publish(Snapshot::from_iter([leaving.clone()]));
    let both = Snapshot::from_iter([leaving, at(9)]);
    assert_eq!(after(&mut merge, SETTLE + MS).await, Some(both));
    publishers[0].publish(ports(&[1]));
    assert_eq!(after(&mut merge, MS).await, Some(ports(&[1])));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_waits_until_an_unexplained_nothing_is_believed() {
    let (publishers, mut merge) = merge(1, 1);
    publishers[0].publish(ports(&[1]));
    publishers[1].publish(ports(&[9]));
    after(&mut merge, MS).await;
    publishers[0].publish_nothing();
    assert_eq!(after(&mut merge, HOLD - MS).await, Some(ports(&[1])));
    assert_eq!(after(&mut merge, SETTLE + 2 * MS).await, Some(ports(&[9])));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_used_once_the_source_fails_or_is_late_and_until_it_answers() {
    let (publishers, mut failing) = remembering(1, 1, &[ports(&[1])]);
    publishers[1].publish(ports(&[9]));
    assert_eq!(after(&mut failing, PATIENCE / 2).await, None);
    publishers[0].fail(&away());
    assert_eq!(
        after(&mut failing, MS).await,
        Some(ports(&[1])),
        "better than a fallback"
    );
    publishers[0].publish(ports(&[2]));
    assert_eq!(after(&mut failing, MS).await, Some(ports(&[2])));
    let (_publishers, mut late) = remembering(1, 0, &[ports(&[1])]);
    assert_eq!(after(&mut late, PATIENCE + MS).await, Some(ports(&[1])));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_stands_while_a_first_nothing_is_doubted() {
    let (publishers, mut merge) = remembering(1, 0, &[ports(&[1])]);
    publishers[0].publish_nothing();
    assert_eq!(after(&mut merge, HOLD - MS).await, Some(ports(&[1])));
    assert_eq!(after(&mut merge, SETTLE + 2 * MS).await, Some(ports(&[])));
}

#[tokio::test(start_paused = true)]
async fn the_first_source_has_the_word_on_an_endpoint_and_a_better_name_replaces_an_address() {
    let (publishers, mut merge) = merge(2, 0);
    let leaving = Endpoint {
        state: State::Draining,
        ..at(1)
    };
    let named = Endpoint {
        identity: Identity::from("consul:dc1/a/chat"),
        ..at(2)
    };
    publishers[0].publish(Snapshot::from_iter([leaving.clone(), at(2)]));
    publishers[1].publish(Snapshot::from_iter([at(1), named.clone()]));
    let merged = after(&mut merge, MS).await;
    assert_eq!(merged, Some(Snapshot::from_iter([leaving, named])));
}

#[tokio::test(start_paused = true)]
async fn what_is_believed_is_told_by_source() {
    let (publishers, mut merge) = merge(1, 1);
    publishers[0].publish(ports(&[1]));
    publishers[1].publish(ports(&[9]));
    after(&mut merge, MS).await;
    let believed: Vec<_> = merge.believed().map(Option::<&Snapshot>::cloned).collect();
    assert_eq!(believed, [Some(ports(&[1])), Some(ports(&[9]))]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_last_publisher_and_keeps_the_set() {
    let (publishers, mut merge) = merge(2, 0);
    publishers[0].publish(ports(&[1]));
    publishers[1].publish(ports(&[2]));
    drop(publishers);
    advance(MS).await;
    while merge.next().await {}
    assert_eq!(merge.merged(), Some(&ports(&[1, 2])));
}
