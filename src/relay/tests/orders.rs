//! What a session does that is told to end, and how it does what its own deadlines ask for.

use super::{frames::Sender::*, peer::*, *};
use crate::session::Cause;

#[tokio::test(start_paused = true)]
async fn an_order_to_close_tells_both_peers_and_passes_no_answer_on() {
    let session = Running::start(&limits());
    settle().await;
    session.session.close(1012, Cause::Drain);
    settle().await;
    let payload = [&1012_u16.to_be_bytes()[..], b"drain"].concat();
    let (to_client, to_backend) = (session.client.got(), session.backend.got());
    assert_eq!(frames(&to_client), [(8, payload.clone())]);
    assert_eq!(frames(&to_backend), [(8, payload)]);
    assert_eq!((to_client[1] & 0x80, to_backend[1] & 0x80), (0, 0x80));
    session.client.send(&text(Client, "already on its way"));
    session.client.send(&close(Client, 1012, ""));
    session.backend.send(&close(Backend, 1012, ""));
    settle().await;
    assert_eq!((session.client.got(), session.backend.got()), (vec![], vec![]));
    assert!(session.client.is_shut() && session.backend.is_shut());
    session.client.end();
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Drain, 1012));
    assert_eq!(ended.after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_order_given_before_the_first_byte_is_heard() {
    let session = Running::start_behind(b"", &text(Backend, "hello"), &limits());
    session.session.close(1001, Cause::Shutdown);
    settle().await;
    let got = session.client.got();
    assert_eq!(got[..7], text(Backend, "hello"));
    assert_eq!(closes(&got), [1001]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_given_before_the_first_byte_ends_at_once() {
    let session = Running::start_behind(&text(Client, "hello"), b"", &limits());
    session.session.cut(Cause::Operator);
    let ended = session.ended().await;
    assert_eq!(ended.after, Duration::ZERO);
    assert_eq!(ended.carried.messages_from_client, 1);
    assert_eq!(ended.carried.bytes_from_client, 11);
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_the_end_of_the_frame_and_what_follows_is_discarded() {
    let session = Running::start(&limits());
    let (first, second) = (text(Backend, "a frame"), text(Backend, "another"));
    session.backend.send(&first[..4]);
    settle().await;
    session.session.close(1001, Cause::Shutdown);
    settle().await;
    assert_eq!(session.client.got(), first[..4]);
    session.backend.send(&[&first[4..], &second[..]].concat());
    settle().await;
    let got = session.client.got();
    assert_eq!(got[..first.len() - 4], first[4..]);
    assert_eq!(closes(&got[first.len() - 4..]), [1001]);
    session.client.end();
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Shutdown, 1001));
    // Counted as well as discarded, the second was once said to have reached the client.
    assert_eq!(ended.carried.messages_to_client, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_while_it_is_discarded_is_counted_as_sent() {
    let session = Running::start(&limits());
    session.session.close(1001, Cause::Drain);
    settle().await;
    let message = text(Client, "unheard");
    session.client.send(&message);
    session.client.end();
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.carried.bytes_from_client, message.len() as u64);
    assert_eq!(ended.carried.messages_from_client, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_stalled_inside_a_frame_is_cut_after_five_seconds() {
    let session = Running::start(&limits());
    session.backend.send(&text(Backend, "never ends")[..3]);
    settle().await;
    session.session.close(1001, Cause::Drain);
    settle().await;
    assert_eq!(closes(&session.backend.got()), [1001]);
    assert_eq!(session.client.got().len(), 3);
    let client = session.client.clone();
    let ended = session.ended().await;
    assert_eq!(client.got(), b"");
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Drain, 1001));
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_waited_for_its_place_still_has_its_time_to_be_answered() {
    let session = Running::start(&limits());
    let message = text(Backend, "late");
    session.backend.send(&message[..3]);
    settle().await;
    session.session.close(1001, Cause::Drain);
    tokio::time::sleep(secs(4)).await;
    session.backend.send(&message[3..]);
    let ended = session.ended().await;
    assert_eq!(ended.after, secs(4) + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_peer_cannot_stay_by_trickling_after_our_close() {
    let session = Running::start(&limits());
    session.session.close(1001, Cause::Drain);
    let (client, backend) = (session.client.clone(), session.backend.clone());
    let trickle = tokio::spawn(async move {
        loop {
            tokio::time::sleep(secs(1)).await;
            client.send(&text(Client, "x"));
            backend.send(b"x");
        }
    });
    let ended = session.ended().await;
    trickle.abort();
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

/// A peer that sends faster than it is read uses up a task's budget in every poll; without budget left the timer said
/// "not yet" each time, so that the peer was never cut.
#[tokio::test(start_paused = true)]
async fn a_peer_cannot_stay_by_flooding_after_our_close() {
    let session = Running::start(&limits());
    session.session.close(1001, Cause::Drain);
    settle().await;
    session.client.flood(&text(Client, "x").repeat(100));
    tokio::time::advance(CLOSE_TIMEOUT).await;
    settle().await;
    assert!(session.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_at_once() {
    let session = Running::start(&limits());
    session.client.send(&text(Client, "half")[..3]);
    settle().await;
    session.session.cut(Cause::Operator);
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Operator, None));
    assert_eq!(ended.after, Duration::ZERO);
    assert_eq!(ended.carried.bytes_from_client, 3);
}

/// The order to close used up the waker that orders wake: the cut after it was only heard when something else woke the
/// session.
#[tokio::test(start_paused = true)]
async fn a_cut_ends_at_once_a_session_that_is_closing() {
    let session = Running::start(&limits());
    settle().await;
    session.session.close(1001, Cause::Shutdown);
    settle().await;
    session.session.close(1001, Cause::Shutdown);
    settle().await;
    session.session.cut(Cause::Shutdown);
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Shutdown, 1001));
    assert_eq!(ended.after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_direction_with_an_invalid_frame_is_ended_without_a_close() {
    let session = Running::start(&limits());
    // Not masked, so no frame of a client.
    session.client.send(&text(Backend, "not mine"));
    settle().await;
    assert_eq!(session.backend.got(), text(Backend, "not mine"));
    session.session.close(1001, Cause::Drain);
    settle().await;
    assert_eq!(session.backend.got(), b"");
    assert!(session.backend.is_shut());
    assert_eq!(closes(&session.client.got()), [1001]);
    let ended = session.ended().await;
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_turns_out_invalid_while_a_close_waits_is_ended_without_one() {
    let session = Running::start(&limits());
    session.backend.send(&[0x82]);
    settle().await;
    session.session.close(1001, Cause::Drain);
    settle().await;
    // A backend must not mask.
    session.backend.send(&[0x80 | 1, 1, 2, 3, 4, 5]);
    settle().await;
    assert_eq!(session.client.got(), [0x82, 0x81, 1, 2, 3, 4, 5]);
    assert!(session.client.is_shut());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_said_close_gets_exactly_one() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    settle().await;
    session.session.close(1001, Cause::Drain);
    settle().await;
    session.backend.send(&close(Backend, 1000, ""));
    settle().await;
    assert_eq!(closes(&session.client.got()), [1001]);
    assert_eq!(closes(&session.backend.got()), [1000]);
    assert!(session.client.is_shut());
    session.client.end();
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_half_through_is_completed_and_not_followed_by_another() {
    let session = Running::start(&limits());
    let theirs = close(Backend, 1000, "done");
    session.backend.send(&theirs[..4]);
    settle().await;
    session.session.close(1001, Cause::Drain);
    settle().await;
    session.backend.send(&theirs[4..]);
    settle().await;
    assert_eq!(session.client.got(), theirs);
    assert_eq!(closes(&session.backend.got()), [1001]);
}

#[tokio::test(start_paused = true)]
async fn an_order_after_a_clients_end_closes_only_its_own_leg() {
    let session = Running::start(&limits());
    session.client.end();
    settle().await;
    session.session.close(1001, Cause::Drain);
    settle().await;
    assert_eq!(closes(&session.client.got()), [1001]);
    assert!(session.client.is_shut());
    assert_eq!(session.backend.got(), b"");
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Eof, 1001));
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn an_order_after_a_backends_end_closes_only_its_own_leg() {
    let session = Running::start(&limits());
    session.backend.end();
    settle().await;
    session.session.close(1012, Cause::Drain);
    settle().await;
    assert_eq!(closes(&session.client.got()), [1001]);
    assert_eq!(closes(&session.backend.got()), [1012]);
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Eof, 1001));
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_dies_after_our_close_is_not_reported_twice() {
    let session = Running::start(&limits());
    session.session.close(1012, Cause::Drain);
    settle().await;
    session.backend.end();
    settle().await;
    assert_eq!(closes(&session.client.got()), [1012]);
    assert!(session.client.is_shut());
    session.client.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Drain, 1012));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_with_what_it_took_counted() {
    let session = Running::start(&limits());
    let message = text(Backend, "12345678");
    session.client.take_only(25);
    session.backend.send(&message.repeat(100));
    settle().await;
    session.session.close(1001, Cause::Drain);
    let ended = session.ended().await;
    assert_eq!(ended.after, CLOSE_TIMEOUT);
    assert_eq!(ended.carried.bytes_to_client, 25);
    // Of 100 that were read, two fit into 25 bytes; it was once zero, and would now and then have been 100.
    assert_eq!(ended.carried.messages_to_client, 2);
}

#[tokio::test(start_paused = true)]
async fn a_code_that_may_not_be_sent_becomes_going_away() {
    let session = Running::start(&limits());
    session.session.close(1006, Cause::Operator);
    settle().await;
    assert_eq!(closes(&session.client.got()), [1001]);
    assert_eq!(closes(&session.backend.got()), [1001]);
}

#[tokio::test(start_paused = true)]
async fn a_giant_frame_costs_no_memory_and_is_cut_on_time() {
    let session = Running::start(&limits());
    let mut head = vec![0x82, 127];
    head.extend(i64::MAX.to_be_bytes());
    session.backend.send(&head);
    session.backend.send(&[0; 1000]);
    settle().await;
    assert_eq!(session.client.got().len(), 1010);
    session.session.close(1001, Cause::Shutdown);
    let ended = session.ended().await;
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}
