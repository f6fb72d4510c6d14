//! Clients that make much work with little (row C4 of the known attacks on HTTP/2).

use super::peer::{CONNECT, Client, GOAWAY, HEADERS, RST_STREAM, Raw, WHOLE, fields, frame};
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
