//! Bytes out equal bytes in, in order, at every length and split.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

/// Writes `sent` in random pieces while the same connection reads `expected`; both ends of a session do this at once.
async fn exchange(conn: Conn, sent: Vec<u8>, expected: Vec<u8>, seed: u64) {
    let (mut reader, mut writer) = conn.into_halves();
    let writing = async {
        let mut rng = fastrand::Rng::with_seed(seed);
        for piece in splits(&mut rng, &sent, 40_000) {
            writer.write_all(piece).await.expect("a peer that reads");
            if rng.u8(..4) == 0 {
                tokio::task::yield_now().await;
            }
        }
        writer.shutdown().await.expect("a connection to half-close");
    };
    let reading = async {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut got, mut chunk) = (Vec::with_capacity(expected.len()), vec![0; 64 * 1024]);
        loop {
            let most = rng.usize(1..=chunk.len());
            match reader.read(&mut chunk[..most]).await.expect("no reset") {
                0 => return got,
                count => got.extend_from_slice(&chunk[..count]),
            }
        }
    };
    let ((), got) = tokio::join!(writing, reading);
    let (bytes, rest) = got.split_at(expected.len().min(got.len()));
    let same = bytes.iter().zip(&expected).take_while(|(a, b)| a == b).count();
    assert!(
        bytes == expected,
        "seed {seed}: {} of {} bytes, the same up to {same}",
        got.len(),
        expected.len()
    );
    // A backend that ended without a Close is followed by the router's own, where it can still be told from a frame.
    assert!(
        rest.is_empty() || rest == Frame::close(1001, "").encode(),
        "seed {seed}: {rest:?} was added"
    );
}

/// A run of valid frames of random kinds and lengths.
fn frames(seed: u64, total: usize, masks: bool) -> Vec<u8> {
    let mut pattern = Pattern::new(seed);
    let mut bytes = Vec::new();
    while bytes.len() < total {
        let length = pattern.frame_length(200_000);
        let payload = pattern.bytes(length);
        let mut frame = match pattern.rng().u8(..6) {
            0 => Frame::ping(payload[..length.min(125)].to_vec()),
            1 => Frame::pong(payload[..length.min(125)].to_vec()),
            2 => Frame::binary(payload).rsv(4),
            _ => Frame::binary(payload),
        };
        if masks {
            frame = frame.masked(pattern.rng().u32(..).to_be_bytes());
        }
        bytes.extend(frame.encode());
    }
    bytes
}

#[test]
fn valid_frames_pass_unchanged_both_ways_at_once() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut ends = Vec::new();
        for seed in 0..24 {
            let (client, server) = session(&router, &backend).await;
            let total = [0, 10, 70_000, 1 << 20, 4 << 20][usize::try_from(seed % 5).unwrap()];
            let (up, down) = (
                frames(seed, total, true),
                frames(seed + 1000, total / 2 + 1, false),
            );
            ends.push(tokio::spawn(exchange(client, up.clone(), down.clone(), seed)));
            ends.push(tokio::spawn(exchange(server, down, up, seed + 500)));
        }
        for end in ends {
            end.await.expect("the same bytes");
        }
    });
}

#[test]
fn bytes_that_are_no_frames_pass_unchanged_both_ways_at_once() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut ends = Vec::new();
        for seed in 100..140 {
            let (client, server) = session(&router, &backend).await;
            let total = [1, 13, 4_096, 300_000, 2 << 20][usize::try_from(seed % 5).unwrap()];
            let (up, down) = (
                Pattern::new(seed).bytes(total),
                Pattern::new(seed + 1000).bytes(total),
            );
            ends.push(tokio::spawn(exchange(client, up.clone(), down.clone(), seed)));
            ends.push(tokio::spawn(exchange(server, down, up, seed + 500)));
        }
        for end in ends {
            end.await.expect("the same bytes");
        }
    });
}

#[test]
fn sixty_four_mebibytes_pass_unchanged() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (client, server) = session(&router, &backend).await;
        let (up, down) = (frames(77, 64 << 20, true), frames(78, 1 << 20, false));
        let client = tokio::spawn(exchange(client, up.clone(), down.clone(), 77));
        let server = tokio::spawn(exchange(server, down, up, 78));
        client.await.expect("the same bytes");
        server.await.expect("the same bytes");
    });
}

#[test]
fn a_message_is_delivered_before_the_next_one_is_sent() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (mut client, mut server) = session(&router, &backend).await;
        for round in 0..200 {
            client.send(Frame::text(format!("up {round}"))).await;
            assert_eq!(server.frame().await.string(), format!("up {round}"));
            server.send(Frame::text(format!("down {round}"))).await;
            assert_eq!(client.frame().await.string(), format!("down {round}"));
        }
    });
}

#[test]
fn a_part_of_a_frame_is_delivered_without_waiting_for_the_rest() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (mut client, mut server) = session(&router, &backend).await;
        let frame = client.encode(Frame::binary(Pattern::new(5).bytes(5000)));
        for part in [
            &frame[..1],
            &frame[1..5],
            &frame[5..9],
            &frame[9..4000],
            &frame[4000..],
        ] {
            client.write(part).await;
            assert_eq!(server.take(part.len()).await, part);
        }
    });
}

#[test]
fn what_a_half_closed_client_still_asked_for_arrives() {
    run(at_every_door(async |entry, backend| {
        let (mut client, mut server) = entry.visitor().await.session(backend).await;
        client.send(Frame::text("last words")).await;
        client.finish().await;
        assert_eq!(server.frame().await.string(), "last words");
        assert_eq!(server.next().await, Err(End::Finished));
        let mut pattern = Pattern::new(6);
        for _ in 0..16 {
            let payload = pattern.bytes(64 * 1024);
            server.send(Frame::binary(payload.clone())).await;
            assert_eq!(client.frame().await.payload, payload);
        }
        server.finish().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Finished));
        entry.router.ended(1).await;
    }));
}

#[test]
fn what_a_half_closed_backend_still_asked_for_arrives() {
    run(at_every_door(async |entry, backend| {
        let (mut client, mut server) = entry.visitor().await.session(backend).await;
        server.send(Frame::close(1000, "")).await;
        server.finish().await;
        assert!(client.frame().await.is_close());
        client.send(Frame::close(1000, "")).await;
        assert!(
            server.frame().await.is_close(),
            "the client's answer to the Close arrives"
        );
        client.finish().await;
        entry.router.ended(1).await;
    }));
}

#[test]
fn a_session_that_stays_half_closed_is_freed() {
    // All wait at the same time.
    run_within(Duration::from_mins(2), async {
        futures_util::future::join_all(DOORS.map(async |door| {
            let (entry, backend) = door.and_backend().await;
            let (router, mut visitor) = (&entry.router, entry.visitor().await);
            let before = router.descriptors();
            let (mut client, _server) = visitor.session(&backend).await;
            client.finish().await;
            // First this: a router that has just started has some descriptors for a moment only.
            let over = || async { (!router.log.all("session ended").is_empty()).then_some(()) };
            eventually(Duration::from_secs(40), "the session is over", over).await;
            let freed = || async { (router.descriptors() <= before).then_some(()) };
            eventually(SOON, "both descriptors are free again", freed).await;
        }))
        .await;
    });
}
