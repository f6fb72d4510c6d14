//! The end of the process: every session is closed properly, and nothing waits longer than it must.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::*;

async fn draining(shutdown: &str) -> (Router, Backend) {
    let backend = Backend::manual().await;
    let router = Router::start(&Config::to(&[&backend]).line(&format!("shutdown: {{ {shutdown} }}"))).await;
    (router, backend)
}

/// Waits until the router has taken the signal.
async fn begun(router: &Router) {
    let said = |line: &serde_json::Value| line["message"] == "shutting down";
    router.log.wait("the line `shutting down`", 1, said).await;
}

/// What a peer saw until its connection ended, answering a Close as peers do.
struct Seen {
    closes: Vec<Option<u16>>,
    others: usize,
    cut: usize,
    closed_after: Duration,
}

async fn live_until_closed(mut conn: Conn) -> Seen {
    let started = tokio::time::Instant::now();
    let mut seen = Seen {
        closes: Vec::new(),
        others: 0,
        cut: 0,
        closed_after: Duration::ZERO,
    };
    while let Ok(frame) = within(SOON * 3, "a frame or the end", conn.next()).await {
        if !frame.is_close() {
            seen.others += 1;
            continue;
        }
        seen.closes.push(close_code(&frame));
        seen.closed_after = started.elapsed();
        let answer = conn.encode(Frame { mask: None, ..frame });
        conn.try_write(&answer).await.ok();
    }
    seen.cut = conn.arrivals(Duration::ZERO).await.len();
    seen
}

#[test]
fn sigterm_closes_both_sides_of_every_session_with_one_1001_and_exits_0() {
    run(async {
        let (mut router, backend) = draining("window: 1s, deadline: 20s").await;
        let mut ends = Vec::new();
        for index in 0..200 {
            let (mut client, mut server) = session(&router, &backend).await;
            if index % 3 == 0 {
                client.send(Frame::text("busy")).await;
                server.frame().await;
            }
            ends.push(tokio::spawn(live_until_closed(client)));
            ends.push(tokio::spawn(live_until_closed(server)));
        }
        router.signal(Signal::TERM);
        for end in ends {
            let seen = end.await.expect("a proper end");
            assert_eq!(seen.closes, [Some(1001)]);
            assert_eq!((seen.others, seen.cut), (0, 0));
        }
        assert_eq!(router.exit(Duration::from_secs(10)).await.code(), Some(0));
        let lines = router.ended(200).await;
        assert!(
            lines
                .iter()
                .all(|line| line["initiator"] == "router" && line["code"] == 1001),
            "{}",
            lines[0]
        );
    });
}

#[test]
fn closes_are_spread_over_the_window() {
    run(async {
        let (mut router, backend) = draining("window: 3s, deadline: 20s").await;
        let mut ends = Vec::new();
        for _ in 0..60 {
            let (client, server) = session(&router, &backend).await;
            ends.push(tokio::spawn(live_until_closed(client)));
            tokio::spawn(live_until_closed(server));
        }
        let opened = tokio::time::Instant::now();
        router.signal(Signal::TERM);
        let mut times = Vec::new();
        for end in ends {
            times.push(end.await.expect("a proper end").closed_after);
        }
        assert!(
            opened.elapsed() < Duration::from_secs(6),
            "{:?}",
            opened.elapsed()
        );
        times.sort_unstable();
        let middle = times[45].saturating_sub(times[15]);
        // Half of the Closes take half of the window, give or take.
        assert!(
            middle > Duration::from_millis(900) && middle < Duration::from_millis(2100),
            "{middle:?}"
        );
        assert_eq!(router.exit(Duration::from_secs(5)).await.code(), Some(0));
    });
}

#[test]
fn a_router_without_sessions_exits_at_once() {
    run(async {
        let (mut router, _backend) = draining("window: 30s, deadline: 60s").await;
        router.signal(Signal::TERM);
        assert_eq!(router.exit(Duration::from_secs(2)).await.code(), Some(0));
    });
}

#[test]
fn the_process_exits_when_the_last_session_ended_and_not_when_the_window_has() {
    run(async {
        let (mut router, backend) = draining("window: 20s, deadline: 50s").await;
        let (client, server) = session(&router, &backend).await;
        router.signal(Signal::INT);
        let started = tokio::time::Instant::now();
        begun(&router).await;
        drop((client, server));
        assert_eq!(router.exit(Duration::from_secs(5)).await.code(), Some(0));
        assert!(started.elapsed() < Duration::from_secs(6));
    });
}

#[test]
fn readiness_ends_first_and_clients_are_accepted_until_the_delay_is_over() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::to(&[&backend]).line("shutdown: { delay: 3s, window: 1s, deadline: 10s }");
        let mut router = Router::start(&config).await;
        assert_eq!(
            (
                router.get("/readyz").await.status(),
                router.get("/livez").await.status()
            ),
            (200, 200)
        );
        router.signal(Signal::TERM);
        eventually(SOON, "not ready", || async {
            (router.get("/readyz").await.status() == 503).then_some(())
        })
        .await;
        assert_eq!(router.get("/livez").await.status(), 200);
        let mut late = open(&router).await;
        late.echoes("in the delay").await;
        assert_eq!(live_until_closed(late).await.closes, [Some(1001)]);
        assert_eq!(router.exit(SOON).await.code(), Some(0));
        assert!(tokio::net::TcpStream::connect(router.address()).await.is_err());
    });
}

#[test]
fn no_new_session_begins_while_old_ones_drain() {
    run(async {
        let (router, backend) = draining("window: 5s, deadline: 20s").await;
        let (_client, _server) = session(&router, &backend).await;
        let mut early = Conn::connect(router.address()).await;
        router.signal(Signal::TERM);
        eventually(SOON, "no new connection", || async {
            let Ok(stream) = tokio::net::TcpStream::connect(router.address()).await else {
                return Some(());
            };
            let mut conn = Conn::client(stream);
            conn.try_write(&Request::upgrade("/").bytes()).await.ok();
            matches!(
                tokio::time::timeout(Duration::from_millis(300), conn.head()).await,
                Ok(None)
            )
            .then_some(())
        })
        .await;
        early.try_write(&Request::upgrade("/").bytes()).await.ok();
        if let Some(head) = early.head().await {
            assert_eq!((head.status(), head.has("retry-after")), (503, true), "{head:?}");
        }
    });
}

#[test]
fn a_second_signal_exits_at_once() {
    run(async {
        let (mut router, backend) = draining("window: 50s, deadline: 55s").await;
        let (_client, _server) = session(&router, &backend).await;
        router.signal(Signal::TERM);
        begun(&router).await;
        router.signal(Signal::TERM);
        router.exit(Duration::from_secs(2)).await;
    });
}

#[test]
fn a_peer_that_stalls_inside_a_frame_gets_no_close_there_and_cannot_hold_the_process() {
    run(async {
        let (mut router, backend) = draining("window: 500ms, deadline: 3s").await;
        let (mut client, mut server) = session(&router, &backend).await;
        let frame = server.encode(Frame::binary(vec![5; 1000]));
        server.write(&frame[..400]).await;
        assert_eq!(client.take(400).await, frame[..400]);
        let (mut stalled, mut other) = session(&router, &backend).await;
        let frame = stalled.encode(Frame::binary(vec![6; 1000]));
        stalled.write(&frame[..400]).await;
        assert_eq!(other.take(400).await, frame[..400]);

        let started = tokio::time::Instant::now();
        router.signal(Signal::TERM);
        assert_eq!(
            client.rest().await.0,
            b"",
            "something fell into the backend's frame"
        );
        assert_eq!(
            other.rest().await.0,
            b"",
            "something fell into the client's frame"
        );
        router.exit(Duration::from_secs(8)).await;
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    });
}

#[test]
fn a_frame_in_progress_is_finished_before_the_close() {
    run(async {
        let (mut router, backend) = draining("window: 100ms, deadline: 20s").await;
        let (mut client, mut server) = session(&router, &backend).await;
        let frame = Frame::binary(Pattern::new(8).bytes(1000));
        let bytes = frame.encode();
        server.write(&bytes[..400]).await;
        router.signal(Signal::TERM);
        // The backend's own leg is at a boundary: its Close says that the drain has begun.
        assert_eq!(close_code(&server.frame().await), Some(1001));
        server.write(&bytes[400..]).await;
        assert!(client.frame().await == frame);
        assert_eq!(close_code(&client.frame().await), Some(1001));
        client.send(Frame::close(1001, "")).await;
        server.send(Frame::close(1001, "")).await;
        let (left, _) = client.rest().await;
        assert_eq!(left, b"", "the backend's answer to our Close was passed on");
        assert_eq!(router.exit(SOON).await.code(), Some(0));
    });
}

#[test]
fn peers_that_ignore_the_close_are_cut_at_the_deadline() {
    run(async {
        let (mut router, backend) = draining("window: 200ms, deadline: 2s").await;
        let mut held = Vec::new();
        for _ in 0..10 {
            held.push(session(&router, &backend).await);
        }
        let started = tokio::time::Instant::now();
        router.signal(Signal::TERM);
        router.exit(Duration::from_secs(6)).await;
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
        for (mut client, _server) in held {
            let (frames, cut) = client.frames_to_end().await;
            assert_eq!((frames.len(), cut.len()), (1, 0), "{frames:?}");
        }
    });
}

#[test]
fn a_peers_close_that_is_already_on_its_way_stays_the_only_one() {
    run(async {
        let (mut router, backend) = draining("window: 100ms, deadline: 10s").await;
        let (mut client, mut server) = session(&router, &backend).await;
        server.send(Frame::close(4000, "first")).await;
        assert_eq!(close_code(&client.frame().await), Some(4000));
        router.signal(Signal::TERM);
        begun(&router).await;
        client.send(Frame::close(4000, "first")).await;
        drop(server);
        assert_eq!(client.rest().await.0, b"", "a second Close");
        assert_eq!(router.exit(SOON).await.code(), Some(0));
    });
}
