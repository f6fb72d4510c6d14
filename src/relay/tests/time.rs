//! Deadlines, and that they are kept whatever the traffic.

use super::{frames::Sender::*, peer::*, *};

#[tokio::test(start_paused = true)]
async fn a_silent_session_is_closed() {
    let ended = Running::start(&limits()).ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Idle, 1001));
    assert_eq!(ended.after, IDLE + CLOSE_TIMEOUT);
    assert!(ended.carried.bytes_to_client > 0);
}

#[tokio::test(start_paused = true)]
async fn traffic_either_way_puts_idleness_off() {
    let session = Running::start(&limits());
    tokio::time::sleep(IDLE - secs(10)).await;
    session.client.send(&text(Client, "x"));
    tokio::time::sleep(IDLE - secs(10)).await;
    session.backend.send(&text(Backend, "x"));
    let ended = session.ended().await;
    assert_eq!(ended.after, 2 * (IDLE - secs(10)) + IDLE + CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_little_by_little_is_not_idle() {
    let session = Running::start(&limits());
    session.client.take_only(0);
    let message = frame(Backend, 2, &[1; 100]);
    session.backend.send(&message);
    settle().await;
    for _ in 0..10 {
        tokio::time::sleep(IDLE - secs(1)).await;
        session.client.take_only(1);
        settle().await;
    }
    assert_eq!(session.client.got(), message[..10]);
    assert!(!session.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_up_to_a_tenth_early_and_not_at_once_for_all() {
    let life = secs(10_000);
    let limits = SessionLimits {
        idle_timeout: 2 * life,
        max_lifetime: Some(life),
        ..limits()
    };
    let sessions: Vec<_> = (0..50).map(|_| Running::start(&limits).ended()).collect();
    let ended = futures_util::future::join_all(sessions).await;
    let lifetime = outcome(Initiator::Router, Reason::Lifetime, 1001);
    assert!(ended.iter().all(|ended| ended.outcome == lifetime));
    let ages = || ended.iter().map(|ended| ended.after - CLOSE_TIMEOUT);
    let (first, last) = (ages().min().unwrap(), ages().max().unwrap());
    // That fifty fall into less than half of the tenth happens once in 2^40 runs.
    assert!(first >= life.mul_f64(0.9) && last <= life + Duration::from_millis(1));
    assert!(last - first > life / 20, "{first:?} to {last:?}");
}

/// Half-closing used to lift the lifetime: whoever ended his stream could be sent to for ever.
#[tokio::test(start_paused = true)]
async fn a_half_closed_session_does_not_outlive_its_lifetime() {
    let limits = SessionLimits {
        max_lifetime: Some(secs(1000)),
        ..limits()
    };
    let session = Running::start(&limits);
    session.client.end();
    let backend = session.backend.clone();
    let trickle = tokio::spawn(async move {
        loop {
            tokio::time::sleep(secs(1)).await;
            backend.send(&text(Backend, "x"));
        }
    });
    let client = session.client.clone();
    let ended = session.ended().await;
    trickle.abort();
    assert!(ended.after <= secs(1000) + CLOSE_TIMEOUT, "{:?}", ended.after);
    assert_eq!(ended.outcome, outcome(Initiator::Client, Reason::Eof, 1001));
    assert_eq!(closes(&client.got()), [1001]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_outlive_its_lifetime() {
    let limits = SessionLimits {
        max_lifetime: Some(secs(1000)),
        ..limits()
    };
    let session = Running::start(&limits);
    session.client.flood(&text(Client, "x").repeat(100));
    settle().await;
    tokio::time::advance(secs(1000)).await;
    settle().await;
    assert_eq!(closes(&session.client.got()), [1001]);
    tokio::time::advance(CLOSE_TIMEOUT).await;
    settle().await;
    assert!(session.is_over());
}

/// A timer that is first polled when a task has used up its budget says "not yet" and is not set. It was taken for set,
/// and never fired: the session had neither idle timeout nor lifetime.
#[tokio::test(start_paused = true)]
async fn a_session_that_begins_with_a_burst_still_has_its_deadlines() {
    let session = Running::start(&limits());
    session.client.send(&text(Client, "x").repeat(1 << 20));
    session.backend.send(&text(Backend, "x").repeat(2 << 20));
    let ended = session.ended().await;
    assert_eq!(ended.outcome, outcome(Initiator::Router, Reason::Idle, 1001));
}

/// One direction used to be served until it rested, and used up the budget of both.
#[tokio::test(start_paused = true)]
async fn a_flood_one_way_does_not_silence_the_other() {
    let session = Running::start(&limits());
    session.client.flood(&text(Client, "x").repeat(100));
    settle().await;
    session.backend.send(&text(Backend, "stop it"));
    settle().await;
    assert_eq!(session.client.got(), text(Backend, "stop it"));
}

/// A future may move to another task between two polls, as it does inside a `select!`.
#[tokio::test(start_paused = true)]
async fn deadlines_wake_the_task_that_polled_last() {
    let (_client, client) = Peer::pair();
    let (_backend, backend) = Peer::pair();
    let ends = Ends {
        client,
        early_client: vec![],
        backend,
        early_backend: vec![],
    };
    let registered = registered();
    let relay = run(ends, Arc::clone(registered.session()), &limits());
    let mut relay = Box::pin(relay);
    let nobody = &mut Context::from_waker(Waker::noop());
    assert!(relay.as_mut().poll(nobody).is_pending());
    let ended = tokio::time::timeout(10 * IDLE, tokio::spawn(relay)).await;
    let ended = ended.expect("the session never ends").unwrap();
    assert_eq!(ended.reason, Reason::Idle);
}
