//! How a session ends at every door: the peers' own Close, or no Close at all.

use std::time::Duration;

use serde_json::Value;

use crate::support::*;

/// "At once", with room for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

const CODES: [u16; 13] = [
    1000, 1001, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Backend,
}

const SIDES: [Side; 2] = [Side::Client, Side::Backend];

/// A session's ends as (the one that acts, the one that sees it).
async fn ends(visitor: &mut Visitor<'_>, backend: &Backend, side: Side) -> (Conn, Conn) {
    let (client, server) = visitor.session(backend).await;
    match side {
        Side::Client => (client, server),
        Side::Backend => (server, client),
    }
}

fn word(line: &Value, field: &str) -> String {
    line[field].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_close_passes_byte_for_byte_and_its_answer_too() {
    run(at_every_door(async |entry, backend| {
        let (router, mut visitor) = (&entry.router, entry.visitor().await);
        let reason = "ünïcode ".repeat(12);
        assert!((100..=123).contains(&reason.len()));
        let mut payloads: Vec<_> = CODES
            .iter()
            .map(|&code| Frame::close(code, "going").payload)
            .collect();
        payloads.push(Vec::new());
        payloads.push(Frame::close(1000, "").payload);
        payloads.push(Frame::close(4001, &reason).payload);
        for (index, payload) in payloads.iter().enumerate() {
            for side in SIDES {
                let done = router.log.all("session ended").len();
                let (mut acts, mut sees) = ends(&mut visitor, backend, side).await;
                let bytes = acts.encode(Frame::new(8, payload.clone()));
                acts.write(&bytes).await;
                assert_eq!(sees.take(bytes.len()).await, bytes, "case {index} from {side:?}");
                let answer = sees.encode(Frame::new(8, payload.clone()));
                sees.write(&answer).await;
                assert_eq!(
                    acts.take(answer.len()).await,
                    answer,
                    "case {index} from {side:?}"
                );
                let (client, server) = if side == Side::Client {
                    (&mut acts, &mut sees)
                } else {
                    (&mut sees, &mut acts)
                };
                server.finish().await;
                let (left, end) = within(AT_ONCE, "the client's connection ends", client.rest()).await;
                assert_eq!((left, end), (Vec::new(), End::Finished));
                drop((acts, sees));

                let line = router.ended(done + 1).await.pop().expect("a line");
                let code = payload
                    .get(..2)
                    .map(|code| u16::from_be_bytes([code[0], code[1]]));
                assert_eq!(line["code"].as_u64(), code.map(u64::from), "{line}");
                let initiator = if side == Side::Client { "client" } else { "backend" };
                assert_eq!(word(&line, "initiator"), initiator, "{line}");
            }
        }
    }));
}

#[test]
fn a_close_that_nobody_answers_still_ends_with_the_connection() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        for side in SIDES {
            let (mut acts, mut sees) = ends(&mut visitor, backend, side).await;
            acts.send(Frame::close(1000, "bye")).await;
            assert_eq!(close_code(&sees.frame().await), Some(1000));
            drop(acts);
            let (left, _) = within(AT_ONCE, side, sees.rest()).await;
            assert_eq!(left, b"", "{side:?}: something was invented after the Close");
        }
    }));
}

/// What may follow a peer that left without a Close: nothing, or Longhaul's own 1001 at a frame boundary.
fn assert_no_invention(frames: &[Frame], cut: &[u8], context: &str) {
    assert_eq!(cut, b"", "{context}: a part of a frame");
    match frames {
        [] => {}
        [frame] => assert_eq!(close_code(frame), Some(1001), "{context}: {frame:?}"),
        more => panic!("{context}: {more:?}"),
    }
}

#[test]
fn data_before_a_fin_without_a_close_arrives_and_the_other_side_ends_at_once() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        for side in SIDES {
            let (mut acts, mut sees) = ends(&mut visitor, backend, side).await;
            let payload = Pattern::new(1).bytes(300_000);
            acts.send(Frame::binary(payload.clone())).await;
            acts.finish().await;
            assert!(sees.frame().await.payload == payload, "{side:?}");
            if side == Side::Backend {
                let (frames, cut) = within(AT_ONCE, side, sees.frames_to_end()).await;
                assert_no_invention(&frames, &cut, "after the backend's FIN");
            } else {
                assert_eq!(
                    within(AT_ONCE, side, sees.next()).await,
                    Err(End::Finished),
                    "{side:?}"
                );
            }
        }
    }));
}

#[test]
fn a_reset_ends_the_other_side_at_once_and_nothing_is_invented() {
    run(at_every_door(async |entry, backend| {
        let (router, mut visitor) = (&entry.router, entry.visitor().await);
        for side in SIDES {
            let done = router.log.all("session ended").len();
            let (mut acts, mut sees) = ends(&mut visitor, backend, side).await;
            acts.send(Frame::text("first")).await;
            assert_eq!(sees.frame().await.string(), "first", "{side:?}");
            acts.reset();
            let (frames, cut) = within(AT_ONCE, side, sees.frames_to_end()).await;
            assert_no_invention(&frames, &cut, &format!("after the reset of {side:?}"));
            drop(sees);
            let line = router.ended(done + 1).await.pop().expect("a line");
            assert_eq!(
                word(&line, "initiator"),
                if side == Side::Client { "client" } else { "backend" },
                "{line}"
            );
        }
    }));
}

#[test]
fn an_end_inside_a_frame_passes_the_part_and_adds_nothing_to_it() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        for side in SIDES {
            for cut in [1, 3, 9, 500] {
                for reset in [false, true] {
                    let (mut acts, mut sees) = ends(&mut visitor, backend, side).await;
                    let frame = acts.encode(Frame::binary(vec![7; 1000]));
                    acts.write(&frame[..cut]).await;
                    assert_eq!(sees.take(cut).await, frame[..cut]);
                    if reset {
                        acts.reset();
                    } else {
                        drop(acts);
                    }
                    let (left, _) = within(AT_ONCE, (side, cut, reset), sees.rest()).await;
                    assert_eq!(left, b"", "{side:?} cut at {cut}");
                }
            }
        }
    }));
}

#[test]
fn every_end_frees_both_descriptors_and_the_count_of_its_endpoint() {
    run(at_every_door(async |entry, backend| {
        let (router, mut visitor) = (&entry.router, entry.visitor().await);
        let before = router.descriptors();
        for round in 0..12 {
            let (mut client, mut server) = visitor.session(backend).await;
            match round % 4 {
                0 => client.reset(),
                1 => server.reset(),
                2 => {
                    client.send(Frame::close(1000, "")).await;
                    server.frame().await;
                    server.send(Frame::close(1000, "")).await;
                    server.finish().await;
                    client.rest().await;
                }
                _ => drop((client, server)),
            }
        }
        router.ended(12).await;
        router.metric_becomes("longhaul_sessions_active", &[], 0.0).await;
        eventually(SOON, "descriptors are free", || async {
            (router.descriptors() <= before).then_some(())
        })
        .await;
    }));
}
