use std::net::SocketAddr;

use super::*;
use crate::Endpoint;

const HOLD: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
const WELL: Condition = Condition::Answering;

fn ports(ports: &[u16]) -> Snapshot {
    ports
        .iter()
        .map(|port| Endpoint::at(SocketAddr::from(([10, 0, 0, 1], *port))))
        .collect()
}

fn set(ports_of: &[u16]) -> Option<Answer> {
    Some(Answer::Endpoints(ports(ports_of)))
}

fn draining(port: u16) -> Snapshot {
    let endpoint = ports(&[port])[0].clone();
    Snapshot::from_iter([Endpoint {
        state: State::Draining,
        ..endpoint
    }])
}

fn believing(ports_of: &[u16], now: Instant) -> Belief {
    let mut belief = Belief::new(HOLD);
    belief.hear(set(ports_of), WELL, now);
    belief
}

#[test]
fn an_unexplained_nothing_is_held() {
    let now = Instant::now();
    let mut belief = believing(&[1], now);
    belief.hear(Some(Answer::Nothing), WELL, now);
    assert_eq!(belief.believed(), Some(&ports(&[1])));
    assert_eq!(belief.deadline(), Some(now + HOLD));
    belief.hear(Some(Answer::Nothing), WELL, now + HOLD - SECOND);
    assert_eq!(belief.believed(), Some(&ports(&[1])));
    belief.hear(Some(Answer::Nothing), WELL, now + HOLD);
    assert_eq!(belief.believed(), Some(&ports(&[])));
    assert_eq!(belief.deadline(), None);
}

#[test]
fn an_explained_empty_set_is_believed_at_once() {
    let now = Instant::now();
    let mut belief = believing(&[1], now);
    belief.hear(set(&[]), WELL, now);
    assert_eq!(belief.believed(), Some(&ports(&[])));
}

#[test]
fn endpoints_that_come_back_end_the_hold() {
    let now = Instant::now();
    let mut belief = believing(&[1], now);
    belief.hear(Some(Answer::Nothing), WELL, now);
    belief.hear(set(&[2]), WELL, now + SECOND);
    assert_eq!(belief.believed(), Some(&ports(&[2])));
    assert_eq!(belief.deadline(), None);
    let again = now + 20 * SECOND;
    belief.hear(Some(Answer::Nothing), WELL, again);
    assert_eq!(
        belief.deadline(),
        Some(again + HOLD),
        "another hold begins from the start"
    );
}

#[test]
fn nothing_before_a_failure_is_not_believed_until_it_stands_for_the_whole_hold() {
    let now = Instant::now();
    let mut belief = believing(&[1], now);
    belief.hear(Some(Answer::Nothing), WELL, now);
    belief.hear(Some(Answer::Nothing), Condition::Failing, now + SECOND);
    assert_eq!(belief.deadline(), None);
    belief.hear(Some(Answer::Nothing), Condition::Failing, now + 10 * HOLD);
    assert_eq!(belief.believed(), Some(&ports(&[1])));
    let recovered = now + 11 * HOLD;
    belief.hear(Some(Answer::Nothing), WELL, recovered);
    assert_eq!(belief.deadline(), Some(recovered + HOLD));
    belief.hear(Some(Answer::Nothing), WELL, recovered + HOLD);
    assert_eq!(belief.believed(), Some(&ports(&[])));
}

#[test]
fn nothing_at_first_is_not_known_until_the_hold_is_over() {
    let now = Instant::now();
    let mut belief = Belief::new(HOLD);
    belief.hear(Some(Answer::Nothing), WELL, now);
    assert_eq!(belief.believed(), None);
    assert!(belief.doubts());
    belief.hear(Some(Answer::Nothing), WELL, now + HOLD);
    assert_eq!(belief.believed(), Some(&ports(&[])));
}

#[test]
fn without_a_hold_nothing_is_believed_at_once() {
    let now = Instant::now();
    let mut belief = Belief::new(Duration::ZERO);
    belief.hear(Some(Answer::Nothing), WELL, now);
    assert_eq!(belief.believed(), Some(&ports(&[])));
}

#[test]
fn what_is_remembered_gives_way_to_an_answer_and_not_the_other_way_round() {
    let now = Instant::now();
    let mut belief = Belief::new(HOLD);
    belief.remember(ports(&[1]));
    assert_eq!(belief.believed(), Some(&ports(&[1])));
    belief.hear(set(&[2]), WELL, now);
    belief.remember(ports(&[1]));
    assert_eq!(belief.believed(), Some(&ports(&[2])));
}

#[test]
fn what_leaves_an_active_endpoint_is_used_at_once() {
    let now = Instant::now();
    let mut settle = Settle::default();
    for set in [ports(&[1, 2]), ports(&[2]), ports(&[3, 4, 5])] {
        settle.offer(&set, now);
        assert_eq!(settle.used(), Some(&set));
        assert_eq!(settle.deadline(), None);
    }
}

#[test]
fn what_would_leave_nothing_waits() {
    let now = Instant::now();
    for nothing in [ports(&[]), draining(1)] {
        let mut settle = Settle::default();
        settle.offer(&ports(&[1]), now);
        settle.offer(&nothing, now);
        assert_eq!(settle.used(), Some(&ports(&[1])));
        assert_eq!(settle.deadline(), Some(now + SETTLE));
        settle.offer(&nothing, now + SETTLE);
        assert_eq!(settle.used(), Some(&nothing));
        assert_eq!(settle.deadline(), None);
    }
}

#[test]
fn the_other_half_of_a_move_ends_the_wait_and_the_wait_is_not_prolonged() {
    let now = Instant::now();
    let mut settle = Settle::default();
    settle.offer(&ports(&[1]), now);
    settle.offer(&ports(&[]), now);
    settle.offer(&draining(1), now + SETTLE / 2);
    assert_eq!(settle.deadline(), Some(now + SETTLE));
    settle.offer(&ports(&[2]), now + SETTLE / 2);
    assert_eq!(settle.used(), Some(&ports(&[2])));
    assert_eq!(settle.deadline(), None);
}

#[test]
fn the_first_set_and_one_after_nothing_are_used_at_once() {
    let now = Instant::now();
    let mut settle = Settle::default();
    settle.offer(&ports(&[]), now);
    assert_eq!(settle.used(), Some(&ports(&[])));
    settle.offer(&draining(1), now);
    assert_eq!(settle.used(), Some(&draining(1)));
    settle.offer(&ports(&[1]), now);
    assert_eq!(settle.used(), Some(&ports(&[1])));
}
