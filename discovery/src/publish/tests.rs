use std::{future::poll_fn, net::SocketAddr, pin::pin, task::Poll};

use tokio::time::advance;

use super::*;
use crate::{Endpoint, allow::Own};

fn ports(ports: &[u16]) -> Snapshot {
    ports
        .iter()
        .map(|port| Endpoint::at(SocketAddr::from(([127, 0, 0, 1], *port))))
        .collect()
}

fn unreachable() -> Error {
    Error::Transient("connection refused".into())
}

#[test]
fn not_known_is_not_the_same_as_empty() {
    let (publisher, mut reader) = Publisher::channel();
    assert_eq!(reader.answer(), None);
    publisher.publish(Snapshot::default());
    assert!(reader.has_changed());
    assert_eq!(reader.answer(), Some(Answer::Endpoints(Snapshot::default())));
}

#[test]
fn an_empty_set_is_another_answer_than_nothing() {
    let (publisher, mut reader) = Publisher::channel();
    publisher.publish(Snapshot::default());
    reader.answer();
    publisher.publish_nothing();
    assert!(reader.has_changed());
    assert_eq!(reader.answer(), Some(Answer::Nothing));
    assert_eq!(reader.endpoints(), Some(Snapshot::default()));
}

#[test]
fn an_equal_answer_wakes_nobody() {
    let (publisher, mut reader) = Publisher::channel();
    publisher.publish(ports(&[1, 2]));
    reader.answer();
    publisher.publish(ports(&[2, 1]));
    assert!(!reader.has_changed());
    publisher.publish(ports(&[1]));
    assert!(reader.has_changed());
}

#[tokio::test(start_paused = true)]
async fn the_age_counts_from_the_last_answer_not_from_the_last_change() {
    let (publisher, mut reader) = Publisher::channel();
    assert_eq!(reader.status().age, None);
    publisher.publish(ports(&[1]));
    reader.answer();
    advance(Duration::from_secs(9)).await;
    assert_eq!(reader.status().age, Some(Duration::from_secs(9)));
    publisher.confirm();
    assert_eq!(reader.status().age, Some(Duration::ZERO));
    advance(Duration::from_secs(2)).await;
    publisher.publish(ports(&[1]));
    assert_eq!(reader.status().age, Some(Duration::ZERO));
    assert!(!reader.has_changed(), "neither was a change");
}

#[test]
fn nothing_is_known_by_a_confirmation_alone() {
    let (publisher, reader) = Publisher::channel();
    publisher.confirm();
    assert_eq!(reader.status().condition, Condition::Waiting);
    assert!(!reader.has_changed());
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_answer_and_its_age_and_is_over_with_the_next_sign_of_life() {
    let (publisher, mut reader) = Publisher::channel();
    publisher.publish(ports(&[1]));
    advance(Duration::from_secs(3)).await;
    publisher.fail(&unreachable());
    let status = reader.status();
    assert_eq!(status.condition, Condition::Failing);
    assert_eq!(status.age, Some(Duration::from_secs(3)));
    assert!(status.error.unwrap().ends_with(": connection refused"));
    assert_eq!(reader.endpoints(), Some(ports(&[1])));
    publisher.confirm();
    assert_eq!(reader.status().condition, Condition::Answering);
    assert_eq!(reader.status().error, None);
    publisher.fail(&Error::Rejected("403".into()));
    assert_eq!(reader.status().condition, Condition::Refused);
    publisher.publish(ports(&[1]));
    assert_eq!(reader.status().condition, Condition::Answering);
}

#[tokio::test]
async fn a_publisher_learns_that_nobody_reads() {
    let (publisher, reader) = Publisher::channel();
    let second = reader.clone();
    drop(reader);
    let mut unread = pin!(publisher.unread());
    assert!(poll_fn(|cx| Poll::Ready(unread.as_mut().poll(cx).is_pending())).await);
    drop(second);
    unread.await;
}

#[test]
fn what_the_rules_refuse_is_left_out_and_a_set_without_a_rest_is_nothing() {
    let (publisher, mut reader) = Publisher::channel();
    let publisher = publisher.with_rules(Rules::new("providers.consul.allow", [], Own::default()));
    let good = Endpoint::at(SocketAddr::from(([10, 0, 0, 1], 1)));
    publisher.publish(Snapshot::from_iter([good.clone(), ports(&[1])[0].clone()]));
    assert_eq!(reader.endpoints().as_deref(), Some(&[good][..]));
    publisher.publish(ports(&[1, 2]));
    assert_eq!(reader.answer(), Some(Answer::Nothing));
    publisher.publish(Snapshot::default());
    assert_eq!(reader.answer(), Some(Answer::Endpoints(Snapshot::default())));
}
