//! Backends and clients that break the rules: their own session ends, every other lives.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::*;

const MEBIBYTE: u64 = 1 << 20;

/// A router in front of a good backend under `/good` and a hostile one under `/bad`.
async fn beside(good: &Backend, bad: &Backend, more: &str) -> Router {
    let config = Config::default()
        .service("good", &[good.address], "")
        .service("bad", &[bad.address], &format!("handshake_timeout: 2s{more}"))
        .route(r#"path: "/good""#, "good", "")
        .route(r#"path: "/bad""#, "bad", "");
    Router::start(&config).await
}

#[test]
fn an_answer_that_is_no_http_is_502_and_the_others_live() {
    run(async {
        let (good, bad) = (Backend::echo().await, Backend::running(Script::Silent).await);
        let router = beside(&good, &bad, "").await;
        let mut other = Conn::upgrade(router.address(), &Request::upgrade("/good"))
            .await
            .0;
        let before = router.memory();
        let wide = format!(
            "HTTP/1.1 403 Forbidden\r\nX-Wide: {}\r\n\r\n",
            "w".repeat(10 << 20)
        );
        let many: String = (0..100_000).map(|index| format!("X-{index}: 1\r\n")).collect();
        for (name, answer) in [
            ("garbage", b"\xff\xfe\x00garbage\r\n\r\n".to_vec()),
            (
                "a status that is no number",
                b"HTTP/1.1 abc Wrong\r\n\r\n".to_vec(),
            ),
            ("a status of 99", b"HTTP/1.1 99 Low\r\n\r\n".to_vec()),
            (
                "HTTP/2 in text",
                b"HTTP/2.0 101 Switching Protocols\r\n\r\n".to_vec(),
            ),
            (
                "a NUL in a value",
                b"HTTP/1.1 403 Forbidden\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            (
                "a bare CR in a value",
                b"HTTP/1.1 403 Forbidden\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            ("no colon", b"HTTP/1.1 403 Forbidden\r\nnonsense\r\n\r\n".to_vec()),
            (
                "two lengths",
                b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec(),
            ),
            ("a head of 10 MiB", wide.into_bytes()),
            (
                "100,000 fields",
                format!("HTTP/1.1 403 Forbidden\r\n{many}\r\n").into_bytes(),
            ),
            ("a frame instead of an answer", Frame::text("hello").encode()),
        ] {
            bad.set(Script::Answer(answer));
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/bad")).await;
            assert_eq!(head.status(), 502, "{name}: {head:?}");
            other.echoes(name).await;
        }
        let grown = router.memory().saturating_sub(before);
        assert!(grown < 32 * MEBIBYTE, "{grown} bytes");
    });
}

#[test]
fn endless_interim_answers_end_with_the_handshake_budget() {
    run(async {
        let (good, bad) = (Backend::echo().await, Backend::manual().await);
        let router = beside(&good, &bad, ", retry: { attempts: 1, on: [] }").await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/bad").bytes()).await;
        let mut server = bad.arrival().await;
        server.head().await.expect("a request");
        let before = router.memory();
        let flood = tokio::spawn(async move {
            let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n".repeat(500);
            while server.try_write(&interim).await.is_ok() {}
        });
        let status = client.head().await.expect("an answer").status();
        assert!(matches!(status, 502 | 504), "{status}");
        within(SOON, "the flood stops", flood).await.expect("no panic");
        assert!(router.memory().saturating_sub(before) < 16 * MEBIBYTE);
        let mut other = Conn::upgrade(router.address(), &Request::upgrade("/good"))
            .await
            .0;
        other.echoes("alive").await;
    });
}

#[test]
fn an_answer_that_comes_byte_by_byte_for_ever_is_504() {
    run(async {
        let (good, bad) = (Backend::echo().await, Backend::manual().await);
        let router = beside(&good, &bad, "").await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/bad").bytes()).await;
        let mut server = bad.arrival().await;
        server.head().await.expect("a request");
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            server
                .try_write(b"HTTP/1.1 403 Forbidden\r\nX-Endless: ")
                .await
                .ok();
            while server.try_write(b"x").await.is_ok() {
                pace.tick().await;
            }
        });
        assert_eq!(client.head().await.expect("an answer").status(), 504);
    });
}

#[test]
fn an_endless_refusal_body_costs_no_memory_and_stops_with_its_client() {
    run(async {
        let (good, bad) = (Backend::echo().await, Backend::manual().await);
        let router = beside(&good, &bad, "").await;
        let mut client = Conn::connect_narrow(router.address()).await;
        client.write(&Request::upgrade("/bad").bytes()).await;
        let mut server = bad.arrival().await;
        server.head().await.expect("a request");
        let before = router.memory();
        let flood = tokio::spawn(async move {
            server
                .try_write(b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await
                .ok();
            let chunks = b"1\r\nx\r\n".repeat(10_000);
            while server.try_write(&chunks).await.is_ok() {}
        });
        assert_eq!(client.head().await.expect("an answer").status(), 403);
        client.take(100_000).await;
        let grown = router.memory().saturating_sub(before);
        assert!(grown < 8 * MEBIBYTE, "{grown} bytes");
        drop(client);
        within(SOON, "the flood stops", flood).await.expect("no panic");
    });
}

#[test]
fn garbage_after_a_101_is_relayed_and_hurts_nobody() {
    run(async {
        let (good, bad) = (Backend::echo().await, Backend::manual().await);
        let router = beside(&good, &bad, "").await;
        let mut other = Conn::upgrade(router.address(), &Request::upgrade("/good"))
            .await
            .0;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/bad").bytes()).await;
        let mut server = bad.arrival().await;
        server.accept_upgrade().await;
        assert_eq!(client.head().await.expect("an answer").status(), 101);
        let garbage = Pattern::new(99).bytes(1 << 20);
        let (sent, got) = tokio::join!(server.try_write(&garbage), client.take(garbage.len()));
        sent.expect("a peer that reads");
        assert!(got == garbage);
        other.echoes("alive").await;
    });
}

#[test]
fn a_frame_of_2_63_bytes_is_relayed_as_it_trickles_and_cannot_hold_the_process() {
    run(async {
        let backend = Backend::manual().await;
        let config = Config::to(&[&backend]).line("shutdown: { window: 200ms, deadline: 2s }");
        let mut router = Router::start(&config).await;
        let before = router.memory();
        let mut ends = Vec::new();
        for length in [(1 << 63) - 1, u64::MAX, 1 << 40] {
            let (mut client, mut server) = session(&router, &backend).await;
            let up = Frame::announce(true, 2, Some([9; 4]), length);
            let down = Frame::announce(true, 2, None, length);
            client.write(&up).await;
            server.write(&down).await;
            assert_eq!(server.take(up.len()).await, up);
            assert_eq!(client.take(down.len()).await, down);
            for part in 0..20 {
                client.write(&[part; 1000]).await;
                assert_eq!(server.take(1000).await, [part; 1000]);
            }
            ends.push((client, server));
        }
        // The first sessions of a worker cost its allocator some pages of its own.
        let grown = router.memory().saturating_sub(before);
        assert!(grown < 16 * MEBIBYTE, "{grown} bytes");
        let started = tokio::time::Instant::now();
        router.signal(Signal::TERM);
        router.exit(Duration::from_secs(6)).await;
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
        for (mut client, mut server) in ends {
            assert_eq!(
                (client.rest().await.0, server.rest().await.0),
                (Vec::new(), Vec::new())
            );
        }
    });
}

#[test]
fn frames_with_the_wrong_masking_are_relayed_for_the_peer_to_judge() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (mut client, mut server) = session(&router, &backend).await;
        let unmasked = Frame::text("a client must mask").encode();
        client.write(&unmasked).await;
        assert_eq!(server.take(unmasked.len()).await, unmasked);
        let masked = Frame::text("a server must not").masked([1, 2, 3, 4]).encode();
        server.write(&masked).await;
        assert_eq!(client.take(masked.len()).await, masked);
    });
}
