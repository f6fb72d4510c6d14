//! Pings of Longhaul's own: answered, swallowed, and never in the way of the peers' frames.

use std::time::Duration;

use crate::support::*;

/// A route that pings both peers often.
async fn pinging(more: &str) -> (Router, Backend) {
    let backend = Backend::manual().await;
    let session = format!("session: {{ ping_interval: 200ms, ping_timeout: 2s{more} }}");
    let router = Router::start(&Config::over(&[&backend], "", &session)).await;
    (router, backend)
}

/// Reads until the next Ping, answering none.
async fn ping(conn: &mut Conn) -> Frame {
    let frame = conn.frame().await;
    assert_eq!((frame.opcode, frame.fin, frame.rsv), (9, true, 0), "{frame:?}");
    frame
}

/// Reads the next Ping and answers it; the Ping.
async fn answer(conn: &mut Conn) -> Frame {
    let asked = ping(conn).await;
    conn.send(Frame::pong(asked.payload.clone())).await;
    asked
}

#[test]
fn both_peers_are_pinged_by_the_masking_rule_of_their_direction() {
    run(async {
        let (router, backend) = pinging("").await;
        let (mut client, mut server) = session(&router, &backend).await;
        for _ in 0..3 {
            assert!(
                answer(&mut client).await.mask.is_none(),
                "a frame to a client is not masked"
            );
            assert!(
                answer(&mut server).await.mask.is_some(),
                "a frame to a backend is masked"
            );
        }
    });
}

#[test]
fn answers_to_our_pings_are_swallowed_and_every_other_pong_passes() {
    run(async {
        let (router, backend) = pinging("").await;
        let (mut client, mut server) = session(&router, &backend).await;
        for round in 0..3 {
            let asked = ping(&mut client).await;
            client.send(Frame::pong("not asked for")).await;
            client.send(Frame::pong(asked.payload)).await;
            client.send(Frame::text(format!("up {round}"))).await;
            let mut seen = Vec::new();
            while seen.len() < 3 {
                let frame = server.frame().await;
                if frame.opcode == 9 {
                    server.send(Frame::pong("nor this")).await;
                    server.send(Frame::pong(frame.payload.clone())).await;
                    server.send(Frame::text(format!("down {round}"))).await;
                }
                seen.push((frame.opcode, frame.string()));
            }
            seen.retain(|(opcode, _)| *opcode != 9);
            assert_eq!(
                seen,
                [(10, "not asked for".to_owned()), (1, format!("up {round}"))]
            );
            let seen = [client.frame().await, client.frame().await];
            let expected = [(10, "nor this".to_owned()), (1, format!("down {round}"))];
            assert_eq!(
                seen.each_ref().map(|frame| (frame.opcode, frame.string())),
                expected
            );
        }
    });
}

#[test]
fn the_peers_own_pings_and_pongs_pass() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (mut client, mut server) = session(&router, &backend).await;
        client.send(Frame::ping("are you there")).await;
        let frame = server.frame().await;
        assert_eq!((frame.opcode, frame.string().as_str()), (9, "are you there"));
        server.send(Frame::pong(frame.payload)).await;
        let frame = client.frame().await;
        assert_eq!((frame.opcode, frame.string().as_str()), (10, "are you there"));
        server.send(Frame::pong("unasked")).await;
        assert_eq!(client.frame().await.string(), "unasked");
    });
}

#[test]
fn no_ping_falls_inside_a_frame() {
    run(async {
        let (router, backend) = pinging("").await;
        let (mut client, mut server) = session(&router, &backend).await;
        let frame = Frame::binary(Pattern::new(4).bytes(400));
        let bytes = frame.encode();
        server.write(&bytes[..150]).await;
        // Three intervals, in which a Ping is due all the time.
        assert!(client.arrivals(Duration::from_millis(600)).await == bytes[..150]);
        server.write(&bytes[150..]).await;
        assert!(client.take(bytes.len() - 150).await == bytes[150..]);
        answer(&mut client).await;
        answer(&mut server).await;
    });
}

#[test]
fn a_peer_that_does_not_answer_ends_the_session() {
    run(async {
        let backend = Backend::manual().await;
        let keys = "session: { ping_interval: 200ms, ping_timeout: 300ms }";
        let router = Router::start(&Config::over(&[&backend], "", keys)).await;
        let (mut client, mut server) = session(&router, &backend).await;
        // The client answers, the backend does not.
        let answering = async {
            while let Ok(frame) = client.next().await {
                if frame.opcode == 9 {
                    client
                        .try_write(&Frame::pong(frame.payload.clone()).masked([1; 4]).encode())
                        .await
                        .ok();
                }
                if frame.is_close() {
                    return close_code(&frame);
                }
            }
            None
        };
        let code = within(SOON, "the session ends", answering).await;
        assert!(matches!(code, None | Some(1001)), "{code:?}");
        drop(client);
        let (frames, _) = server.frames_to_end().await;
        assert!(
            frames
                .iter()
                .all(|frame| frame.opcode == 9 || close_code(frame) == Some(1001)),
            "{frames:?}"
        );
        let line = &router.ended(1).await[0];
        assert_eq!(line["initiator"], "router", "{line}");
    });
}

#[test]
fn pings_and_their_answers_do_not_keep_an_idle_session_alive() {
    run(async {
        let (router, backend) = pinging(", idle_timeout: 1s").await;
        let (mut client, mut server) = session(&router, &backend).await;
        let answering = |mut conn: Conn| async move {
            let mut pings = 0;
            while let Ok(frame) = conn.next().await {
                if frame.is_close() {
                    let close = conn.encode(frame);
                    conn.try_write(&close).await.ok();
                    continue;
                }
                pings += 1;
                let pong = conn.encode(Frame::pong(frame.payload));
                conn.try_write(&pong).await.ok();
            }
            pings
        };
        client.send(Frame::text("once")).await;
        server.frame().await;
        let both = async { tokio::join!(answering(client), answering(server)) };
        let (to_client, to_backend) = within(SOON, "the idle session ends", both).await;
        assert!(to_client >= 2 && to_backend >= 2, "{to_client} {to_backend}");
        assert_eq!(router.ended(1).await[0]["initiator"], "router");
    });
}

#[test]
fn a_stream_of_frames_arrives_whole_between_our_pings() {
    run(async {
        let backend = Backend::manual().await;
        let keys = "session: { ping_interval: 50ms, ping_timeout: 20s }";
        let router = Router::start(&Config::over(&[&backend], "", keys)).await;
        let (mut client, mut server) = session(&router, &backend).await;
        let sending = async {
            let mut pattern = Pattern::new(11);
            let mut pace = tokio::time::interval(Duration::from_millis(2));
            for _ in 0..400 {
                pace.tick().await;
                let length = pattern.frame_length(3000);
                let bytes = Frame::binary(pattern.bytes(length)).encode();
                let cut = pattern.rng().usize(..=bytes.len());
                server.write(&bytes[..cut]).await;
                tokio::task::yield_now().await;
                server.write(&bytes[cut..]).await;
                if let Ok(Ok(asked)) = tokio::time::timeout(Duration::ZERO, server.next()).await {
                    server.send(Frame::pong(asked.payload)).await;
                }
            }
            server
        };
        let reading = async {
            let mut pattern = Pattern::new(11);
            let (mut messages, mut pings) = (0, 0);
            while messages < 400 {
                let frame = client.frame().await;
                if frame.opcode == 9 {
                    pings += 1;
                    client.send(Frame::pong(frame.payload)).await;
                    continue;
                }
                let length = pattern.frame_length(3000);
                let expected = pattern.bytes(length);
                pattern
                    .rng()
                    .usize(..=Frame::binary(expected.clone()).encode().len());
                assert!(frame == Frame::binary(expected), "message {messages}");
                messages += 1;
            }
            pings
        };
        let (server, pings) = tokio::join!(sending, reading);
        assert!(pings >= 3, "only {pings} pings in the test's time");
        drop(server);
    });
}
