//! How sessions end when a peer ends them.

use super::{frames::Sender::*, peer::*, *};

/// Both peers have said Close and ended their streams.
async fn both_end(session: Running) -> Ended {
    session.client.end();
    session.backend.end();
    session.ended().await
}

#[tokio::test(start_paused = true)]
async fn a_clients_close_and_its_answer_pass_as_they_came() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, "bye"));
    settle().await;
    assert_eq!(session.backend.got(), close(Client, 1000, "bye"));
    assert!(!session.backend.is_shut(), "the backend has not answered yet");
    session.backend.send(&close(Backend, 1000, "bye"));
    settle().await;
    assert_eq!(session.client.got(), close(Backend, 1000, "bye"));
    assert!(session.client.is_shut(), "to the client we are the server");
    assert!(!session.backend.is_shut(), "a server ends its stream first");
    let ended = both_end(session).await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
    assert_eq!(ended.after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_backends_close_and_its_answer_pass_as_they_came() {
    let session = Running::start(&limits());
    session.backend.send(&close(Backend, 4999, ""));
    settle().await;
    assert_eq!(session.client.got(), close(Backend, 4999, ""));
    session.client.send(&close(Client, 4999, ""));
    settle().await;
    assert_eq!(session.backend.got(), close(Client, 4999, ""));
    assert!(session.client.is_shut() && !session.backend.is_shut());
    session.backend.end();
    settle().await;
    assert!(session.backend.is_shut());
    let ended = both_end(session).await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Close, 4999));
}

#[tokio::test(start_paused = true)]
async fn closes_of_every_kind_pass_byte_for_byte_and_are_named() {
    let longest = "r".repeat(123);
    let codes = [
        1000_u16, 1001, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4999,
    ];
    let with_code = codes.map(|code| (Some(code), [&code.to_be_bytes(), longest.as_bytes()].concat()));
    for (code, payload) in with_code.into_iter().chain([(None, Vec::new())]) {
        for from in [Client, Backend] {
            let session = Running::start(&limits());
            let (teller, told, initiator) = match from {
                Client => (&session.client, &session.backend, Initiator::Client),
                Backend => (&session.backend, &session.client, Initiator::Backend),
            };
            teller.send(&frame(from, 8, &payload));
            settle().await;
            assert_eq!(told.got(), frame(from, 8, &payload));
            let ended = both_end(session).await;
            assert_eq!(ended.outcome, outcome(initiator, Reason::Close, code));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_both_closes_peers_get_five_seconds_to_leave() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    session.backend.send(&close(Backend, 1000, ""));
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
    assert_eq!(ended.after, BACKEND_FIRST + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_waits_for_our_end_gets_it_after_half_a_second() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    session.backend.send(&close(Backend, 1000, ""));
    session.client.end();
    settle().await;
    assert!(!session.backend.is_shut());
    tokio::time::advance(BACKEND_FIRST).await;
    settle().await;
    assert!(session.backend.is_shut());
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
    assert_eq!(ended.after, BACKEND_FIRST);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_its_time_to_leave_however_soon_its_backend_did() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    session.backend.send(&close(Backend, 1000, ""));
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_session_lived_until_its_end_was_noticed_however_long_the_rest_took() {
    let session = Running::start(&limits());
    session.backend.end();
    let noticed = Arc::clone(&session.session);
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Eof, 1001));
    assert!(
        ended.after >= CLOSE_TIMEOUT,
        "the client does not answer our Close"
    );
    assert!(noticed.lived() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_close_and_leaves_at_once_has_closed() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    session.client.end();
    settle().await;
    assert!(session.backend.is_shut());
    session.backend.send(&close(Backend, 1000, ""));
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
    assert_eq!(ended.after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_close_ends_after_half_a_minute() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
    assert_eq!(ended.after, HALF_CLOSE_TIMEOUT);
}

/// Only silence used to end a session after a Close: a backend that ignored it and sent a byte now and then kept the
/// session, and the endpoint's place, for ever.
#[tokio::test(start_paused = true)]
async fn a_backend_that_ignores_a_close_cannot_stay_by_trickling() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    let backend = session.backend.clone();
    let trickle = tokio::spawn(async move {
        loop {
            tokio::time::sleep(secs(1)).await;
            backend.send(&text(Backend, "x"));
        }
    });
    let ended = session.ended().await;
    trickle.abort();
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
    assert_eq!(ended.after, HALF_CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_ignores_a_close_cannot_stay_by_flooding() {
    let session = Running::start(&limits());
    session.backend.flood(&text(Backend, "x").repeat(100));
    session.client.send(&close(Client, 1000, ""));
    settle().await;
    tokio::time::advance(HALF_CLOSE_TIMEOUT).await;
    settle().await;
    assert!(session.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_close_and_ends_its_stream_cannot_be_sent_to_for_ever() {
    let session = Running::start(&limits());
    session.client.send(&close(Client, 1000, ""));
    session.client.end();
    let backend = session.backend.clone();
    let trickle = tokio::spawn(async move {
        loop {
            tokio::time::sleep(secs(1)).await;
            backend.send(&text(Backend, "x"));
        }
    });
    let ended = session.ended().await;
    trickle.abort();
    assert_eq!(ended.after, HALF_CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_dies_between_frames_has_its_client_told() {
    let session = Running::start(&limits());
    session.backend.send(&text(Backend, "last"));
    session.backend.end();
    settle().await;
    let got = session.client.got();
    assert_eq!(got[..6], text(Backend, "last"));
    assert_eq!(frames(&got[6..]), [(8, 1001_u16.to_be_bytes().to_vec())]);
    assert!(session.client.is_shut());
    session.client.send(&close(Client, 1001, ""));
    session.client.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Eof, 1001));
    assert_eq!(ended.after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_dies_inside_a_frame_leaves_no_place_for_a_close() {
    let session = Running::start(&limits());
    let part = &text(Backend, "half of it")[..5];
    session.backend.send(part);
    session.backend.end();
    settle().await;
    assert_eq!(session.client.got(), part);
    assert!(session.client.is_shut());
    session.client.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn a_reset_backends_data_still_arrives() {
    let session = Running::start(&limits());
    session.backend.send(&text(Backend, "last"));
    session.backend.reset();
    settle().await;
    let got = session.client.got();
    assert_eq!(got[..6], text(Backend, "last"));
    assert_eq!(closes(&got), [1001]);
    assert!(session.client.is_shut());
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Reset, 1001));
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_still_gets_what_a_dead_backend_had_sent() {
    let session = Running::start(&limits());
    session.client.take_only(10);
    let data = frame(Backend, 2, &[7; 5000]);
    session.backend.send(&data);
    session.backend.end();
    settle().await;
    assert!(!session.client.is_shut());
    session.client.take_only(usize::MAX);
    settle().await;
    let got = session.client.got();
    assert_eq!(got[..data.len()], data);
    assert_eq!(closes(&got[data.len()..]), [1001]);
    assert!(session.client.is_shut());
}

#[tokio::test(start_paused = true)]
async fn a_client_has_half_a_minute_to_finish_after_its_backend_ended() {
    let session = Running::start(&limits());
    session.backend.end();
    let client = session.client.clone();
    let (backend, trickle) = (session.backend.clone(), text(Client, "x"));
    let busy = tokio::spawn(async move {
        loop {
            tokio::time::sleep(secs(1)).await;
            client.send(&trickle);
        }
    });
    let ended = session.ended().await;
    busy.abort();
    assert_eq!(ended.after, HALF_CLOSE_TIMEOUT);
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Eof, 1001));
    assert_eq!(frames(&backend.got()).len(), 29);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_stream_still_gets_the_rest() {
    let session = Running::start(&limits());
    session.client.send(&text(Client, "all I have"));
    session.client.end();
    settle().await;
    assert_eq!(session.backend.got(), text(Client, "all I have"));
    assert!(session.backend.is_shut());
    let part = frame(Backend, 2, &[1; 10_000]);
    for _ in 0..5 {
        tokio::time::sleep(secs(29)).await;
        session.backend.send(&part);
        settle().await;
        assert_eq!(session.client.got(), part);
    }
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Eof, None));
    assert_eq!(ended.after, secs(5 * 29) + HALF_CLOSE_TIMEOUT);
}

/// It was once taken for dead, and its client was told so behind the last of its data.
#[tokio::test(start_paused = true)]
async fn a_backend_that_ends_after_its_client_has_finished() {
    let session = Running::start(&limits());
    session.client.end();
    settle().await;
    session.backend.send(&text(Backend, "the answer"));
    session.backend.end();
    settle().await;
    assert_eq!(session.client.got(), text(Backend, "the answer"));
    assert!(session.client.is_shut());
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Eof, None));
    assert_eq!(ended.after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_closes_after_its_clients_end_is_named_by_its_code() {
    let session = Running::start(&limits());
    session.client.end();
    settle().await;
    session.backend.send(&close(Backend, 1000, ""));
    settle().await;
    assert_eq!(session.client.got(), close(Backend, 1000, ""));
    assert!(session.client.is_shut());
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Eof, 1000));
    assert_eq!(ended.after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_reset_client_ends_the_backends_leg_behind_what_it_sent() {
    let session = Running::start(&limits());
    session.backend.take_only(3);
    session.client.send(&text(Client, "last words"));
    session.client.reset();
    settle().await;
    session.backend.take_only(usize::MAX);
    settle().await;
    assert_eq!(session.backend.got(), text(Client, "last words"));
    assert!(session.backend.is_shut());
    session.backend.send(&text(Backend, "to nobody"));
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Reset, None));
    assert_eq!(ended.after, Duration::ZERO);
    assert_eq!(ended.carried.bytes_to_client, 0);
    assert_eq!(ended.carried.messages_to_client, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_explained_by_what_the_peer_said_last() {
    let session = Running::start(&limits());
    session.client.refuse();
    session.backend.send(&text(Backend, "hello"));
    session.client.send(&close(Client, 1000, ""));
    session.client.end();
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Close, 1000));
}

/// The kernel reports a reset once: to the write. The read that follows sees a plain end, and the session was logged
/// as ended by "eof".
#[tokio::test(start_paused = true)]
async fn a_failed_write_and_then_an_end_is_a_reset() {
    let session = Running::start(&limits());
    session.client.refuse();
    session.backend.send(&text(Backend, "hello"));
    settle().await;
    session.client.end();
    session.backend.end();
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Reset, None));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_can_not_be_written_to_is_given_up_after_five_seconds() {
    let session = Running::start(&limits());
    session.backend.refuse();
    session.client.send(&text(Client, "hello"));
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Reset, None));
    assert_eq!(ended.after, CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_peers_close_passes_too() {
    let session = Running::start(&limits());
    let bytes = [close(Backend, 1000, ""), b"garbage".to_vec()].concat();
    session.backend.send(&bytes);
    settle().await;
    assert_eq!(session.client.got(), bytes);
    let ended = both_end(session).await;
    assert_eq!(ended.outcome, outcome(Initiator::Backend, Reason::Close, 1000));
}

/// The peer has not got it yet: the time to answer it has not begun, nor is there anything behind it.
#[tokio::test(start_paused = true)]
async fn a_close_that_is_still_on_its_way_is_not_followed_by_the_end() {
    let session = Running::start(&limits());
    session.client.stall(true);
    session.backend.send(&close(Backend, 1000, ""));
    settle().await;
    session.client.send(&close(Client, 1000, ""));
    settle().await;
    assert!(!session.client.is_shut());
    session.client.stall(false);
    settle().await;
    assert!(session.client.is_shut());
}
