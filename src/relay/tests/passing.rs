//! What goes in comes out, exactly, and is counted exactly.

use proptest::{collection::vec, prelude::*};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

use super::{
    frames::{FrameTracker, Sender::*},
    peer::*,
    streams::{self, chunks, encode},
    *,
};
use crate::session::Traffic;

/// What one peer sends, in which chunks, and how much of it before the session begins.
#[derive(Clone, Debug)]
struct Script {
    bytes: Vec<u8>,
    cuts: Vec<usize>,
    early: usize,
    pipe: usize,
}

/// What the two peers got, and the session's figures.
struct Passed {
    at_backend: Vec<u8>,
    at_client: Vec<u8>,
    outcome: Outcome,
    carried: Traffic,
}

fn script(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Script> {
    let pipe = prop_oneof![1..5_usize, 5..300_usize, 300..200_000_usize];
    (bytes, streams::cuts(), any::<prop::sample::Index>(), pipe).prop_map(|(bytes, cuts, early, pipe)| {
        let early = early.index(bytes.len() + 1).min(pipe);
        Script {
            bytes,
            cuts,
            early,
            pipe,
        }
    })
}

/// A peer that sends all it has while it reads, and ends its stream.
async fn converse(stream: DuplexStream, script: Script) -> Vec<u8> {
    let (mut reader, mut writer) = split(stream);
    let send = async {
        for chunk in chunks(&script.bytes[script.early..], &script.cuts) {
            if writer.write_all(chunk).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let mut got = Vec::new();
    let receive = reader.read_to_end(&mut got);
    let (_, received) = tokio::join!(send, receive);
    received.expect("a pipe does not fail");
    got
}

fn pass(up: &Script, down: &Script) -> Passed {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, client_stream) = duplex(up.pipe);
        let (backend, backend_stream) = duplex(down.pipe);
        let ends = Ends {
            client: client_stream,
            early_client: up.bytes[..up.early].to_vec(),
            backend: backend_stream,
            early_backend: down.bytes[..down.early].to_vec(),
        };
        let registered = registered();
        let session = registered.session();
        let (outcome, at_client, at_backend) = tokio::join!(
            run(ends, Arc::clone(session), &limits()),
            converse(client, up.clone()),
            converse(backend, down.clone()),
        );
        Passed {
            at_backend,
            at_client,
            outcome,
            carried: session.carried.read(),
        }
    })
}

fn messages(sender: Sender, bytes: &[u8]) -> u64 {
    let mut tracker = FrameTracker::new(sender);
    tracker.walk(bytes);
    tracker.messages()
}

/// Whole frames and a Close.
fn closed(sender: Sender) -> impl Strategy<Value = Vec<u8>> {
    (streams::frames(), streams::close()).prop_map(move |(mut frames, close)| {
        frames.push(close);
        encode(&frames, sender)
    })
}

/// Anything, sometimes after whole frames, but no Close.
fn garbage(sender: Sender) -> impl Strategy<Value = Vec<u8>> {
    (streams::frames(), vec(any::<u8>(), 0..2000))
        .prop_map(move |(frames, garbage)| [encode(&frames, sender), garbage].concat())
        .prop_filter("a Close is answered", move |bytes| {
            let mut tracker = FrameTracker::new(sender);
            tracker.walk(bytes);
            tracker.close().is_none()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_leave_as_they_came_and_are_counted(
        up in script(closed(Client)),
        down in script(closed(Backend)),
    ) {
        let passed = pass(&up, &down);
        prop_assert!(passed.at_backend == up.bytes);
        prop_assert!(passed.at_client == down.bytes);
        prop_assert_eq!(passed.outcome.reason, Reason::Close);
        let expected = Traffic {
            bytes_from_client: up.bytes.len() as u64,
            bytes_to_client: down.bytes.len() as u64,
            messages_from_client: messages(Client, &up.bytes),
            messages_to_client: messages(Backend, &down.bytes),
        };
        prop_assert_eq!(passed.carried, expected);
    }

    #[test]
    fn garbage_leaves_as_it_came(up in script(garbage(Client)), down in script(garbage(Backend))) {
        let passed = pass(&up, &down);
        prop_assert!(passed.at_backend == up.bytes);
        let (data, last) = passed.at_client.split_at(down.bytes.len());
        prop_assert!(data == down.bytes);
        let mut tracker = FrameTracker::new(Backend);
        tracker.walk(&down.bytes);
        let died = passed.outcome.initiator == Initiator::Backend;
        let expected = if died && tracker.at_boundary() { vec![1001] } else { vec![] };
        prop_assert_eq!(closes(last), expected);
        prop_assert_eq!(passed.carried.bytes_from_client, up.bytes.len() as u64);
        prop_assert_eq!(passed.carried.bytes_to_client, passed.at_client.len() as u64);
    }

    /// However far a client had come with reading when the session was cut, the figures are its own.
    #[test]
    fn a_cut_leaves_exact_figures(
        frames in streams::frames(),
        cuts in streams::cuts(),
        room in any::<prop::sample::Index>(),
    ) {
        let bytes = encode(&frames, Backend);
        let room = room.index(bytes.len() + 1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let session = Running::start(&limits());
            session.client.take_only(room);
            for chunk in chunks(&bytes, &cuts).take(50) {
                session.backend.send(chunk);
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            }
            session.session.cut(crate::session::Cause::Operator);
            let client = session.client.clone();
            let ended = session.ended().await;
            let got = client.got();
            assert_eq!(ended.carried.bytes_to_client, got.len() as u64);
            assert_eq!(ended.carried.messages_to_client, messages(Backend, &got));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_early_goes_first() {
    let (hello, hi) = (text(Client, "hello"), text(Backend, "hi"));
    let session = Running::start_behind(&hello[..5], &hi[..1], &limits());
    session.client.send(&hello[5..]);
    session.backend.send(&hi[1..]);
    settle().await;
    assert_eq!(session.backend.got(), hello);
    assert_eq!(session.client.got(), hi);
    let carried = session.session.carried.read();
    assert_eq!(carried.messages_from_client, 1);
    assert_eq!(carried.bytes_from_client, hello.len() as u64);
    assert_eq!(carried.messages_to_client, 1);
}

/// A stream of random bytes happened to hold something like a Close; once its backend had ended too, the rest of the
/// stream was thrown away.
#[tokio::test(start_paused = true)]
async fn what_follows_something_like_a_close_arrives_though_the_backend_has_ended() {
    let session = Running::start(&limits());
    let mut sent = close(Client, 4000, "");
    sent.extend_from_slice(b"and more");
    session.client.send(&sent);
    settle().await;
    session.backend.end();
    settle().await;
    session.client.send(b", and the rest");
    settle().await;
    assert_eq!(session.backend.got(), [&sent[..], b", and the rest"].concat());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_buffers_is_flushed_once_the_source_rests() {
    let session = Running::start(&limits());
    session.client.hold_back();
    session.backend.send(&text(Backend, "one"));
    settle().await;
    assert_eq!(session.client.got(), text(Backend, "one"));
    session.session.close(1001, crate::session::Cause::Drain);
    settle().await;
    assert_eq!(closes(&session.client.got()), [1001]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_stops_the_other_after_one_buffer() {
    let session = Running::start(&limits());
    session.client.take_only(100);
    settle().await;
    assert!(!session.backend.was_kept_waiting());
    session.backend.flood(&frame(Backend, 2, &[0; 10_000]));
    settle().await;
    assert!(session.backend.was_kept_waiting());
    assert!(!session.client.was_kept_waiting());
    assert!(session.backend.was_read() <= BUFFER_SIZE as u64);
    session.client.take_only(1000);
    settle().await;
    assert_eq!(session.client.got().len(), 1100);
    assert!(session.backend.was_read() <= BUFFER_SIZE as u64);
}
