use proptest::{collection::vec, prelude::*};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn head(index: u64) -> Head {
    Head {
        index,
        last_contact: Some(Duration::ZERO),
        ..Head::default()
    }
}

/// Asks and judges in one, as a watch does.
fn step(cursor: &mut Cursor, head: &Head) -> (Ask, Worth) {
    let ask = cursor.ask(true);
    (ask, cursor.judge(ask, head, LIMIT))
}

fn ask(index: u64, stale: bool) -> Ask {
    Ask { index, stale }
}

#[test]
fn a_watch_reads_at_once_and_then_waits_for_what_is_newer() {
    let mut cursor = Cursor::default();
    assert_eq!(step(&mut cursor, &head(7)), (ask(0, true), Worth::News));
    assert_eq!(step(&mut cursor, &head(7)), (ask(7, true), Worth::Unchanged));
    assert_eq!(step(&mut cursor, &head(9)), (ask(7, true), Worth::News));
    assert_eq!(cursor.ask(true), ask(9, true));
    // Who is woken by other means does not wait.
    assert_eq!(cursor.ask(false), ask(0, true));
}

#[test]
fn index_0_and_no_index_are_1_so_that_a_watch_never_asks_at_once_in_a_loop() {
    let mut cursor = Cursor::default();
    assert_eq!(step(&mut cursor, &head(0)), (ask(0, true), Worth::News));
    assert_eq!(cursor.ask(true).index, 1);
}

#[test]
fn an_index_that_goes_back_is_asked_of_the_leader_and_then_believed() {
    let mut cursor = Cursor::default();
    step(&mut cursor, &head(100));
    assert_eq!(step(&mut cursor, &head(40)), (ask(100, true), Worth::Doubt));
    assert_eq!(step(&mut cursor, &head(41)), (ask(0, false), Worth::News));
    assert_eq!(cursor.ask(true), ask(41, true));
}

#[test]
fn an_answer_of_a_server_that_lost_its_leader_is_asked_of_the_leader() {
    let mut cursor = Cursor::default();
    step(&mut cursor, &head(5));
    let lost = Head {
        last_contact: Some(LIMIT + Duration::from_millis(1)),
        ..head(6)
    };
    assert_eq!(step(&mut cursor, &lost), (ask(5, true), Worth::Doubt));
    assert_eq!(step(&mut cursor, &head(6)), (ask(0, false), Worth::News));
    // For a while, then any server may answer again.
    for index in 7..(6 + u64::from(MANY)) {
        assert!(!step(&mut cursor, &head(index)).0.stale, "{index}");
    }
    assert!(cursor.ask(true).stale);
}

fn streamed(index: u64) -> Head {
    Head {
        last_contact: None,
        streamed: true,
        ..head(index)
    }
}

#[test]
fn a_stream_without_news_is_looked_at_by_a_plain_read_that_does_not_lose_its_place() {
    let mut cursor = Cursor::default();
    assert_eq!(step(&mut cursor, &head(5)), (ask(0, true), Worth::News));
    assert_eq!(step(&mut cursor, &streamed(7)), (ask(5, true), Worth::News));
    assert_eq!(step(&mut cursor, &streamed(7)), (ask(7, true), Worth::Unchanged));
    assert_eq!(step(&mut cursor, &head(5)), (ask(0, true), Worth::News));
    assert_eq!(step(&mut cursor, &streamed(8)), (ask(7, true), Worth::News));
    // One that lags behind a plain read tells nothing newer.
    assert_eq!(step(&mut cursor, &head(9)), (ask(8, true), Worth::News));
    assert_eq!(step(&mut cursor, &streamed(8)), (ask(9, true), Worth::Unchanged));
    assert_eq!(step(&mut cursor, &head(9)), (ask(0, true), Worth::News));
    assert_eq!(step(&mut cursor, &streamed(10)), (ask(9, true), Worth::News));
    // A stream that goes back is doubted like any other answer.
    assert_eq!(step(&mut cursor, &streamed(3)), (ask(10, true), Worth::Doubt));
    assert_eq!(step(&mut cursor, &head(3)), (ask(0, false), Worth::News));
}

#[test]
fn a_stream_of_a_server_that_lost_its_leader_is_found_out_by_the_look() {
    let mut cursor = Cursor::default();
    step(&mut cursor, &head(5));
    step(&mut cursor, &streamed(7));
    step(&mut cursor, &streamed(7));
    let lost = Head {
        last_contact: Some(LIMIT * 2),
        ..head(5)
    };
    assert_eq!(step(&mut cursor, &lost), (ask(0, true), Worth::Doubt));
    assert!(!cursor.ask(true).stale);
}

#[test]
fn that_all_is_gone_is_asked_of_the_leader_once() {
    let mut cursor = Cursor::default();
    let (asked, _) = step(&mut cursor, &head(5));
    assert!(cursor.doubts_that_all_is_gone(asked));
    let (asked, worth) = step(&mut cursor, &head(5));
    assert_eq!((asked, worth), (ask(0, false), Worth::News));
    assert!(!cursor.doubts_that_all_is_gone(asked));
}

proptest! {
    /// Whatever a registry says, three answers are enough to believe one.
    #[test]
    fn doubt_ends(heads in vec((0u64..6, prop::option::of(0u64..60), any::<bool>()), 3..200)) {
        let (mut cursor, mut doubts) = (Cursor::default(), 0);
        for (index, contact, streamed) in heads {
            let head = Head { last_contact: contact.map(Duration::from_secs), streamed, ..head(index) };
            match step(&mut cursor, &head).1 {
                Worth::Doubt => doubts += 1,
                Worth::News => doubts = 0,
                Worth::Unchanged => {
                    prop_assert!(head.index.max(1) <= cursor.index);
                    doubts = 0;
                }
            }
            prop_assert!(doubts <= 2);
        }
    }

    /// A registry whose index only grows is never doubted, and each index is seen once.
    #[test]
    fn a_growing_index_is_believed_at_once(steps in vec(0u64..3, 1..100)) {
        let (mut cursor, mut index) = (Cursor::default(), 1);
        step(&mut cursor, &head(index));
        for grown in steps {
            index += grown;
            let expected = if grown == 0 { Worth::Unchanged } else { Worth::News };
            prop_assert_eq!(step(&mut cursor, &head(index)), (ask(index - grown, true), expected));
        }
    }
}
