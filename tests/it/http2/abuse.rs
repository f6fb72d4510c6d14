//! Clients that make much work with little (row C4 of the known attacks on HTTP/2).

use std::time::Duration;

use super::peer::{CONNECT, Client, DATA, GET, GOAWAY, HEADERS, RST_STREAM, Raw, WHOLE, fields, frame};
use crate::support::*;

/// Writes rounds of frames until the router ends the connection; how many rounds it took.
async fn until_refused(raw: &mut Raw, limit: u32, mut round: impl FnMut(u32) -> Vec<u8>) -> u32 {
    for n in 0..limit {
        if raw.0.try_write(&round(n)).await.is_err() {
            return n;
        }
    }
    limit
}

#[test]
fn a_client_that_takes_back_what_it_asks_for_is_sent_away() {
    run(async {
        let backend = Backend::running(Script::Silent).await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let before = router.memory();
        let mut raw = Raw::connect(router.address()).await;
        let request = fields(&CONNECT);
        let cancel = [0, 0, 0, 8];
        let rounds = until_refused(&mut raw, 50_000, |n| {
            let stream = 2 * n + 1;
            [
                frame(HEADERS, WHOLE, stream, &request),
                frame(RST_STREAM, 0, stream, &cancel),
            ]
            .concat()
        })
        .await;
        assert!(rounds < 50_000, "all were taken");
        let (handshakes, accepted) = (router.metrics().await, backend.accepted());
        println!("{rounds} rounds, {accepted} dials");
        assert!(accepted <= 2_000, "{accepted} dials");
        assert_eq!(handshakes.sum("longhaul_sessions_active", &[]), 0.0);
        let grown = router.memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes");
        backend.set(Script::Echo);
        Client::connect(router.address())
            .await
            .open()
            .await
            .echoes("somebody else")
            .await;
    });
}

#[test]
fn dials_that_are_taken_back_end_with_their_requests_and_in_the_end_the_connection() {
    const EACH: u32 = 100;
    run(async {
        let backend = Backend::running(Script::Silent).await;
        let config = Config::over(&[&backend], "connect_timeout: 10s, handshake_timeout: 60s", "");
        let router = Router::start(&config).await;
        let mut raw = Raw::connect(router.address()).await;
        let (request, cancel) = (fields(&CONNECT), [0, 0, 0, 8]);
        for round in 0..11 {
            let streams = (round * EACH..(round + 1) * EACH).map(|n| 2 * n + 1);
            let asked = streams
                .clone()
                .flat_map(|stream| frame(HEADERS, WHOLE, stream, &request));
            raw.0.write(&asked.collect::<Vec<_>>()).await;
            let so_far = (round + 1) * EACH;
            eventually(SOON, "a dial for each", || async {
                (backend.heads().len() == so_far as usize).then_some(())
            })
            .await;
            let taken_back = streams.flat_map(|stream| frame(RST_STREAM, 0, stream, &cancel));
            raw.0.write(&taken_back.collect::<Vec<_>>()).await;
            let gone = [("outcome", "client_gone")];
            router
                .metric_becomes("longhaul_handshakes_total", &gone, f64::from(so_far))
                .await;
        }
        raw.0.write(&frame(HEADERS, WHOLE, 22 * EACH + 1, &request)).await;
        // ENHANCE_YOUR_CALM
        assert_eq!(raw.until(GOAWAY, 0).await.payload[4..8], [0, 0, 0, 11]);
        router.metric_becomes("longhaul_connections", &[], 0.0).await;
    });
}

#[test]
fn endless_headers_and_empty_frames_end_the_connection() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let before = router.memory();
        let filler = fields(&[("x-filler", &"f".repeat(100))]).repeat(100);
        let mut raw = Raw::connect(router.address()).await;
        raw.0.write(&frame(HEADERS, 0, 1, &fields(&CONNECT))).await;
        let rounds = until_refused(&mut raw, 20_000, |_| frame(9, 0, 1, &filler)).await;
        assert!(rounds < 20_000, "headers without an end");

        let mut raw = Raw::connect(router.address()).await;
        raw.0.write(&frame(HEADERS, WHOLE, 1, &fields(&CONNECT))).await;
        raw.until(HEADERS, 1).await;
        raw.0.write(&frame(0, 0, 1, &[]).repeat(200)).await;
        let goaway = raw.until(GOAWAY, 0).await;
        // ENHANCE_YOUR_CALM
        assert_eq!(goaway.payload[4..8], [0, 0, 0, 11]);
        assert!(router.memory().saturating_sub(before) < 32 << 20);
        open(&router).await.echoes("somebody else").await;
    });
}

#[test]
fn a_client_that_makes_the_router_reset_its_streams_is_sent_away() {
    const ROUNDS: u32 = 50_000;
    run(async {
        let backend = Backend::running(Script::Silent).await;
        // With one worker: each keeps what the worst of its connections once took.
        let router = Router::start(&Config::to(&[&backend]).line("workers: 1")).await;
        let before = router.memory();
        let (open, whole) = (fields(&CONNECT), fields(&GET));
        // Each is an error on its stream, behind a request that is fine.
        let primitives: [(&str, &[u8], u8, &[u8]); 6] = [
            ("WINDOW_UPDATE of 0", &open, 8, &[0, 0, 0, 0]),
            (
                "WINDOW_UPDATE beyond its maximum",
                &open,
                8,
                &[0x7f, 0xff, 0xff, 0xff],
            ),
            ("PRIORITY of a wrong length", &open, 2, &[0, 0, 0, 0]),
            ("PRIORITY on itself", &open, 2, &[]),
            ("HEADERS after the end", &whole, HEADERS, &open),
            ("DATA after the end", &whole, 0, b"more"),
        ];
        for (what, request, kind, payload) in primitives {
            let mut raw = Raw::connect(router.address()).await;
            let (dials, flags) = (
                backend.accepted(),
                if request == whole { WHOLE | 1 } else { WHOLE },
            );
            let rounds = until_refused(&mut raw, ROUNDS, |n| {
                let stream = 2 * n + 1;
                let itself = [&stream.to_be_bytes()[..], &[16]].concat();
                let payload = if payload.is_empty() { &itself } else { payload };
                let bad = frame(kind, if kind == HEADERS { WHOLE } else { 0 }, stream, payload);
                [frame(HEADERS, flags, stream, request), bad].concat()
            })
            .await;
            let dialled = backend.accepted() - dials;
            println!("{what}: {rounds} rounds, {dialled} dials");
            assert!(rounds < ROUNDS, "{what}: all were taken");
            assert!(dialled <= 2_500, "{what}: {dialled} dials");
            drop(raw);
            router.metric_becomes("longhaul_connections", &[], 0.0).await;
        }
        let grown = router.memory().saturating_sub(before);
        // h2 lets go of a client after 1,024 of these, and each takes up to 30 KiB in a debug build.
        assert!(grown < 48 << 20, "{grown} bytes");
        backend.set(Script::Echo);
        open_session(&router).await;
    });
}

#[test]
fn pings_and_settings_without_end_whose_answers_nobody_reads_take_no_memory() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let before = router.memory();
        for flood in [frame(6, 0, 0, &[7; 8]), frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])] {
            let mut raw = Raw::connect(router.address()).await;
            let many = flood.repeat(1000);
            let flooding = async {
                for _ in 0..200 {
                    if raw.0.try_write(&many).await.is_err() {
                        return;
                    }
                }
            };
            // It is held up, sent away, or heard to the end.
            tokio::time::timeout(Duration::from_secs(1), flooding).await.ok();
            open_session(&router).await;
        }
        let grown = router.memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes");
    });
}

#[test]
fn a_head_that_is_small_only_while_it_is_packed_is_refused_at_its_size() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let before = router.memory();
        for _ in 0..20 {
            let mut raw = Raw::connect(router.address()).await;
            // A field that is put into the table (RFC 7541, 6.2.1), and then named by its index again and again.
            let mut block = fields(&CONNECT);
            block.extend([0x40, 3]);
            block.extend(b"x-a");
            block.extend([0x7f, 0x80 + 0x2d, 30]);
            block.extend([b'a'; 127 + 0x2d + (30 << 7)]);
            block.extend([0xbe; 12_000]);
            raw.0.write(&frame(HEADERS, WHOLE, 1, &block)).await;
            let answer = raw.outcome(1).await;
            assert!(answer.kind != HEADERS || answer.payload[0] != 0x88, "{answer:?}");
        }
        assert_eq!(backend.accepted(), 0);
        let grown = router.memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes");
        open_session(&router).await;
    });
}

async fn open_session(router: &Router) {
    let mut client = Client::connect(router.address()).await;
    client.open().await.echoes("somebody else").await;
}

#[test]
fn too_many_fields_are_refused_on_their_stream() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::to(&[&backend]).line("limits: { request_headers: 20 }");
        let router = Router::start(&config).await;
        let mut client = Client::connect(router.address()).await;
        let mut request = super::websocket("/");
        for n in 0..30 {
            let name: http::HeaderName = format!("x-field-{n}").parse().unwrap();
            request.headers_mut().insert(name, "1".parse().unwrap());
        }
        let (head, _) = client.refusal(request).await;
        assert_eq!(head.status, 431);
        let mut long = super::websocket("/");
        long.headers_mut()
            .insert("x-long", "l".repeat(20_000).parse().unwrap());
        let (head, _) = client.refusal(long).await;
        assert_eq!(head.status, 431);
        client.open().await.echoes("as usual").await;
        assert_eq!(backend.accepted(), 1);
    });
}

/// What a client has sent before it hears of a reset is no fault of its own, and must not cost its other sessions.
#[test]
fn bodies_that_nobody_wants_do_not_end_the_connection() {
    const REFUSED: u32 = 300;
    const ROUNDS: u32 = 5;
    run(async {
        let backend = Backend::echo().await;
        let config = Config::to(&[&backend]).line("limits: { connections: 2000 }");
        let router = Router::start(&config).await;
        let mut raw = Raw::connect(router.address()).await;
        raw.0.write(&frame(HEADERS, WHOLE, 1, &fields(&CONNECT))).await;
        raw.until(HEADERS, 1).await;
        // WINDOW_UPDATE: room for all answers.
        raw.0.write(&frame(8, 0, 0, &[0, 255, 0, 0])).await;
        let request = fields(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/upload"),
            (":authority", "chat.example"),
            // A 400, as the two differ.
            ("host", "another.example"),
        ]);
        for round in 0..ROUNDS {
            let streams = || (1..=REFUSED).map(|n| 2 * (round * REFUSED + n) + 1);
            let asked = streams().flat_map(|stream| frame(HEADERS, WHOLE, stream, &request));
            raw.0.write(&asked.collect::<Vec<_>>()).await;
            let reset = raw.until(RST_STREAM, 2 * (round + 1) * REFUSED + 1).await;
            assert_eq!(reset.payload, [0, 0, 0, 0], "NO_ERROR, behind an answer");
            let bodies = streams().flat_map(|stream| frame(DATA, 0, stream, b"part"));
            raw.0.write(&bodies.collect::<Vec<_>>()).await;
        }
        let text = Frame::text("still here").masked([1, 2, 3, 4]).encode();
        raw.0.write(&frame(DATA, 0, 1, &text)).await;
        assert_eq!(
            raw.until(DATA, 1).await.payload,
            Frame::text("still here").encode()
        );
    });
}

/// A page that is left takes back all that it has just asked for; the sessions of another page share its connection.
#[test]
fn a_page_that_is_left_takes_no_session_of_another_with_it() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut raw = Raw::connect(router.address()).await;
        raw.0.write(&frame(HEADERS, WHOLE, 1, &fields(&CONNECT))).await;
        raw.until(HEADERS, 1).await;
        let request = fields(&CONNECT);
        let streams = || (1..=60).map(|n| 2 * n + 1);
        let asked = streams().flat_map(|stream| frame(HEADERS, WHOLE, stream, &request));
        let taken_back = streams().flat_map(|stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        raw.0.write(&asked.chain(taken_back).collect::<Vec<_>>()).await;
        let text = Frame::text("still here").masked([1, 2, 3, 4]).encode();
        raw.0.write(&frame(DATA, 0, 1, &text)).await;
        assert_eq!(
            raw.until(DATA, 1).await.payload,
            Frame::text("still here").encode()
        );
    });
}

#[test]
fn a_client_writes_nothing_into_the_log_of_others() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut raw = Raw::connect(router.address()).await;
        // Answers to pings that were never sent.
        raw.0.write(&frame(6, 1, 0, b"whatever").repeat(1_000)).await;
        raw.0.write(&frame(HEADERS, WHOLE, 1, &fields(&CONNECT))).await;
        raw.until(HEADERS, 1).await;
        drop(raw);
        router.ended(1).await;
        let log = router.log.raw();
        assert!(!log.contains("h2::"), "{} bytes of log", log.len());
    });
}

/// Memory of requests that there is no room for, while their client takes no answer.
#[test]
fn refused_requests_keep_nothing_of_what_they_said() {
    const REFUSED: u32 = 900;
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("limits: { connections: 1 }")).await;
        let mut raw = Raw::connect(router.address()).await;
        // SETTINGS_INITIAL_WINDOW_SIZE
        raw.0.write(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
        let filler = "f".repeat(100);
        let names: Vec<_> = (0..90).map(|n| format!("x-field-{n}")).collect();
        let more = names.iter().map(|name| (name.as_str(), filler.as_str()));
        let request = fields(&CONNECT.into_iter().chain(more).collect::<Vec<_>>());
        let before = router.memory();
        for n in 0..REFUSED {
            raw.0.write(&frame(HEADERS, WHOLE, 2 * n + 1, &request)).await;
            raw.until(HEADERS, 2 * n + 1).await;
        }
        let grown = router.memory().saturating_sub(before);
        println!("{grown} bytes");
        assert!(grown < 16 << 20, "{grown} bytes");
    });
}
