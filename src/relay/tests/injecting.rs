//! Frames of our own in the middle of traffic that never rests, as a WebSocket implementation that is not ours reads it.

use futures_util::StreamExt;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, duplex, split};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::{
    frames::Sender,
    peer::*,
    streams::{self, Plain, chunks},
    *,
};
use crate::session::Cause;

/// What one direction carries, and in which chunks.
#[derive(Clone, Debug)]
struct Traffic {
    frames: Vec<Plain>,
    cuts: Vec<usize>,
}

fn traffic() -> impl Strategy<Value = Traffic> {
    (streams::frames(), streams::cuts()).prop_map(|(frames, cuts)| Traffic { frames, cuts })
}

/// The data messages of `traffic`, joined from their fragments.
fn messages(traffic: &Traffic) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut message = Vec::new();
    for frame in traffic.frames.iter().filter(|frame| frame.is_data()) {
        message.extend_from_slice(&frame.payload);
        if frame.fin {
            messages.push(std::mem::take(&mut message));
        }
    }
    messages
}

/// One peer: writes `traffic` in its chunks, a millisecond apart, and lets tungstenite read what comes.
async fn peer(stream: tokio::io::DuplexStream, role: Role, traffic: Traffic) -> Vec<Message> {
    let sender = match role {
        Role::Client => Sender::Client,
        Role::Server => Sender::Backend,
    };
    let (reader, mut writer) = split(stream);
    // What tungstenite itself wants to say goes between our frames only, so it is not said at all.
    let deaf = tokio::io::join(reader, tokio::io::sink());
    let mut socket = WebSocketStream::from_raw_socket(deaf, role, None).await;
    let write = async {
        let bytes = streams::encode(&traffic.frames, sender);
        for chunk in chunks(&bytes, &traffic.cuts) {
            if writer.write_all(chunk).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        writer
    };
    let read = async {
        let mut got = Vec::new();
        while let Some(message) = socket.next().await {
            match message {
                Ok(message) => got.push(message),
                Err(tokio_tungstenite::tungstenite::Error::Protocol(
                    tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                )) => break,
                Err(error) => panic!("{role:?} objects: {error}"),
            }
        }
        got
    };
    let (_writer, got) = tokio::join!(write, read);
    got
}

/// The data messages that a peer got before a Close, and the codes of its Closes.
fn data_and_closes(got: &[Message]) -> (Vec<Vec<u8>>, Vec<u16>) {
    let mut data = Vec::new();
    let mut closes = Vec::new();
    for message in got {
        match message {
            Message::Close(frame) => closes.push(frame.as_ref().map_or(0, |frame| frame.code.into())),
            Message::Text(_) | Message::Binary(_) => data.push(message.clone().into_data().to_vec()),
            _ => {}
        }
    }
    (data, closes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pings fall due all the time and are never answered in time to matter; the Close comes at any moment.
    #[test]
    fn frames_of_our_own_fall_between_frames_and_a_client_sees_one_close(
        up in traffic(),
        down in traffic(),
        after in 0..200_u64,
        pipe in 1..5000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (at_client, at_backend) = runtime.block_on(async {
            let (client, client_stream) = duplex(pipe);
            let (backend, backend_stream) = duplex(pipe);
            let ends = Ends {
                client: client_stream,
                early_client: vec![],
                backend: backend_stream,
                early_backend: vec![],
            };
            let registered = registered();
            let session = registered.session();
            let limits = SessionLimits {
                ping_interval: Some(Duration::from_millis(10)),
                ping_timeout: Duration::from_secs(600),
                ..limits()
            };
            let order = async {
                tokio::time::sleep(Duration::from_millis(after)).await;
                session.close(1001, Cause::Drain);
            };
            let (_, _, at_client, at_backend) = tokio::join!(
                run(ends, Arc::clone(session), &limits),
                order,
                peer(client, Role::Client, up.clone()),
                peer(backend, Role::Server, down.clone()),
            );
            (at_client, at_backend)
        });
        for (got, sent) in [(at_client, messages(&down)), (at_backend, messages(&up))] {
            let (data, closes) = data_and_closes(&got);
            prop_assert!(sent.starts_with(&data));
            prop_assert!(closes == [1001] || closes.is_empty() , "{closes:?}");
        }
    }
}
