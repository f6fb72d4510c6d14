//! Pings of our own and the answers to them.

use super::{frames::Sender::*, peer::*, *};

fn with_pings() -> SessionLimits {
    SessionLimits {
        ping_interval: Some(secs(30)),
        ..limits()
    }
}

/// The payload of the only frame that this peer got, which must be a Ping.
fn ping(peer: &Peer) -> Vec<u8> {
    let got = frames(&peer.got());
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!((got[0].0, got[0].1.len()), (9, 8));
    got[0].1.clone()
}

fn pong(sender: Sender, payload: &[u8]) -> Vec<u8> {
    frame(sender, 10, payload)
}

/// Answers every Ping of a peer for ever, half a second late.
async fn answer(peer: Peer, sender: Sender) {
    loop {
        tokio::time::sleep(HALF_A_SECOND).await;
        for (opcode, payload) in frames(&peer.got()) {
            if opcode == 9 {
                peer.send(&pong(sender, &payload));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn peers_are_pinged_in_turn_and_their_answers_are_swallowed() {
    let session = Running::start(&with_pings());
    for _ in 0..3 {
        tokio::time::sleep(secs(30)).await;
        settle().await;
        let payload = ping(&session.client);
        assert_eq!(session.backend.got(), b"", "one answer is awaited at a time");
        session.client.send(&pong(Client, &payload));
        settle().await;
        let got = session.backend.got();
        assert_eq!(
            (got[0], got[1]),
            (0x89, 0x80 | 8),
            "a Ping to the backend is masked"
        );
        session.backend.send(&pong(Backend, &frames(&got)[0].1));
        settle().await;
        assert_eq!((session.client.got(), session.backend.got()), (vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn only_our_own_pong_is_swallowed_wherever_it_is_cut() {
    let session = Running::start(&with_pings());
    tokio::time::sleep(secs(30)).await;
    settle().await;
    let payload = ping(&session.client);
    let before = [pong(Client, b"a foreign one"), pong(Client, &[0; 8])].concat();
    let after = [text(Client, "and so on"), pong(Client, &payload)].concat();
    for byte in [&before[..], &pong(Client, &payload), &after].concat() {
        session.client.send(&[byte]);
        settle().await;
    }
    let got = session.backend.got();
    assert_eq!(got[..before.len()], before);
    // Our Ping to the backend follows the Pong; a second copy of that Pong was not asked for by us.
    let rest = frames(&got[before.len()..]);
    let opcodes: Vec<u8> = rest.iter().map(|(opcode, _)| *opcode).collect();
    assert_eq!(opcodes, [9, 1, 10]);
    assert_eq!(rest[2].1, payload);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_when_its_pong_is_due() {
    let session = Running::start(&with_pings());
    tokio::time::sleep(secs(49)).await;
    settle().await;
    ping(&session.client);
    assert_eq!(session.backend.got(), b"");
    tokio::time::sleep(secs(1)).await;
    settle().await;
    assert_eq!(closes(&session.client.got()), [1001]);
    assert_eq!(closes(&session.backend.got()), [1001]);
    let ended = session.ended().await;
    assert_eq!(
        ended.outcome,
        outcome(Initiator::Router, Reason::PongTimeout, 1001)
    );
    assert_eq!(ended.after, secs(50) + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_is_closed_when_its_pong_is_due() {
    let session = Running::start(&with_pings());
    let client = tokio::spawn(answer(session.client.clone(), Client));
    let ended = session.ended().await;
    client.abort();
    assert_eq!(
        ended.outcome,
        outcome(Initiator::Router, Reason::PongTimeout, 1001)
    );
    let late = ended.after - secs(30 + 20) - CLOSE_TIMEOUT;
    assert!(late <= HALF_A_SECOND, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_took_is_counted_exactly_while_an_answer_is_awaited() {
    let session = Running::start(&with_pings());
    tokio::time::sleep(secs(30)).await;
    settle().await;
    let payload = ping(&session.client);
    session.client.send(&pong(Client, &payload));
    settle().await;
    ping(&session.backend);
    let message = text(Backend, "12345678");
    session.backend.send(&message);
    settle().await;
    session.client.take_only(25);
    session.backend.send(&message.repeat(100));
    settle().await;
    session.session.cut(crate::session::Cause::Operator);
    let ended = session.ended().await;
    // One, and then two in 25 bytes; behind the Ping, which takes ten.
    assert_eq!(ended.carried.messages_to_client, 3);
    assert_eq!(ended.carried.bytes_to_client, 10 + 10 + 25);
}

/// What was held back because it began like our Pong is part of the peer's stream after all.
#[tokio::test(start_paused = true)]
async fn half_a_pong_is_passed_on_when_the_session_closes() {
    let session = Running::start(&with_pings());
    tokio::time::sleep(secs(30)).await;
    settle().await;
    let answer = pong(Client, &ping(&session.client));
    session.client.send(&answer[..9]);
    settle().await;
    assert_eq!(session.backend.got(), b"");
    session.session.close(1001, crate::session::Cause::Drain);
    settle().await;
    session.client.send(&answer[9..]);
    settle().await;
    let got = session.backend.got();
    assert_eq!(got[..answer.len()], answer);
    assert_eq!(closes(&got[answer.len()..]), [1001]);
}

/// A Ping went through the queue, and whatever left the queue was taken for traffic: a session with Pings was never idle.
#[tokio::test(start_paused = true)]
async fn pings_and_their_answers_do_not_keep_a_session_from_being_idle() {
    let session = Running::start(&with_pings());
    let client = tokio::spawn(answer(session.client.clone(), Client));
    let backend = tokio::spawn(answer(session.backend.clone(), Backend));
    let ended = session.ended().await;
    client.abort();
    backend.abort();
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Idle, 1001));
    assert_eq!(ended.after, IDLE + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn pings_of_the_peers_keep_a_session_alive() {
    let session = Running::start(&limits());
    for _ in 0..3 {
        tokio::time::sleep(IDLE - secs(1)).await;
        session.client.send(&frame(Client, 9, b"?"));
        settle().await;
        assert_eq!(session.backend.got(), frame(Client, 9, b"?"));
    }
    assert!(!session.is_over());
}

/// In an opaque direction a Pong cannot be told from anything else, so it passed unseen, and the client that had sent
/// it was closed for not answering.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_answers_cannot_be_read_is_not_pinged() {
    let session = Running::start(&with_pings());
    session.client.send(&text(Backend, "not masked"));
    settle().await;
    session.backend.got();
    let backend = tokio::spawn(answer(session.backend.clone(), Backend));
    tokio::time::sleep(secs(300)).await;
    settle().await;
    backend.abort();
    assert_eq!(session.client.got(), b"");
    assert!(!session.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_answer_can_no_longer_be_read_is_not_blamed() {
    let session = Running::start(&with_pings());
    tokio::time::sleep(secs(30)).await;
    settle().await;
    ping(&session.client);
    session.client.send(&text(Backend, "not masked"));
    tokio::time::sleep(secs(60)).await;
    settle().await;
    assert_eq!(session.client.got(), b"");
    assert!(!session.is_over());
}

/// A Pong cannot be sent inside a frame: a client that took a minute to upload one was closed for not answering.
#[tokio::test(start_paused = true)]
async fn a_peer_in_the_middle_of_a_long_frame_is_not_blamed_for_its_silence() {
    let session = Running::start(&with_pings());
    let message = frame(Client, 2, &[5; 600]);
    let mut parts = message.chunks(10);
    session.client.send(parts.next().unwrap());
    tokio::time::sleep(secs(30)).await;
    settle().await;
    let payload = ping(&session.client);
    for part in parts {
        tokio::time::sleep(secs(1)).await;
        session.client.send(part);
    }
    settle().await;
    assert_eq!(session.backend.got(), message);
    assert_eq!(session.client.got(), b"", "no Close");
    session.client.send(&pong(Client, &payload));
    settle().await;
    ping(&session.backend);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_in_the_middle_of_a_frame_is_found_by_its_pong() {
    let session = Running::start(&with_pings());
    session.client.send(&text(Client, "half")[..5]);
    let ended = session.ended().await;
    assert_eq!(
        ended.outcome,
        outcome(Initiator::Router, Reason::PongTimeout, 1001)
    );
    assert_eq!(ended.after, secs(50) + CLOSE_TIMEOUT);
}

/// The Ping to the client waits for the backend's frame to end. When that never came, the round never came to the
/// backend either, which was the one to ask.
#[tokio::test(start_paused = true)]
async fn a_backend_that_stops_in_the_middle_of_a_frame_is_found_by_its_pong() {
    let session = Running::start(&with_pings());
    session.backend.send(&text(Backend, "half")[..3]);
    let ended = session.ended().await;
    assert_eq!(
        ended.outcome,
        outcome(Initiator::Router, Reason::PongTimeout, 1001)
    );
    assert_eq!(ended.after, secs(30 + 20 + 20) + CLOSE_TIMEOUT);
}

/// While the backend does not read, we do not read from the client: its answer may be there.
#[tokio::test(start_paused = true)]
async fn a_client_is_not_blamed_for_an_answer_that_we_do_not_read() {
    let session = Running::start(&with_pings());
    session.backend.take_only(0);
    session.client.send(&text(Client, "stuck"));
    tokio::time::sleep(secs(30)).await;
    settle().await;
    let payload = ping(&session.client);
    session.client.send(&pong(Client, &payload));
    tokio::time::sleep(secs(50)).await;
    session.backend.take_only(usize::MAX);
    settle().await;
    let got = frames(&session.backend.got());
    assert_eq!(got[0], (1, b"stuck".to_vec()));
    assert_eq!(got[1].0, 9);
    assert!(!session.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_waits_for_its_place_is_given_up_when_the_session_ends() {
    let session = Running::start(&with_pings());
    let message = text(Backend, "slow");
    session.backend.send(&message[..3]);
    tokio::time::sleep(secs(31)).await;
    session.client.end();
    settle().await;
    session.backend.send(&message[3..]);
    settle().await;
    assert_eq!(session.client.got(), message);
}

const HALF_A_SECOND: Duration = Duration::from_millis(500);
