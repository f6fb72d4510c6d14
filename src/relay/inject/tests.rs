use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::super::frames::FrameTracker;
use super::super::streams::{self, encode};
use super::*;

/// A peer's socket: what it will read, and nothing that it writes.
struct Incoming(Cursor<Vec<u8>>);

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All that the peer on the other end makes of a stream; fails if it objects to anything.
fn received(sender: Sender, bytes: Vec<u8>) -> Vec<Message> {
    let role = match sender {
        Sender::Client => Role::Server,
        Sender::Backend => Role::Client,
    };
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let mut peer = WebSocket::from_raw_socket(Incoming(Cursor::new(bytes)), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match peer.read() {
            Ok(message) => messages.push(message),
            Err(Error::ConnectionClosed) => return messages,
            // The end of the bytes, without a Close.
            Err(Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return messages,
            Err(error) => panic!("the peer objects: {error}"),
        }
    }
}

/// `bytes` with `frame` put in at the first boundary at or after `cut`; and where that is.
fn injected(sender: Sender, bytes: &[u8], cut: usize, frame: &[u8]) -> (Vec<u8>, usize) {
    let (before, after) = bytes.split_at(cut);
    let mut tracker = FrameTracker::new(sender);
    tracker.walk(before);
    let boundary = if tracker.at_boundary() {
        cut
    } else {
        cut + tracker.to_boundary(after)
    };
    assert!(tracker.at_boundary());
    ([&bytes[..boundary], frame, &bytes[boundary..]].concat(), boundary)
}

#[test]
fn codes_that_may_not_be_sent_are_refused() {
    let refused = |range: std::ops::RangeInclusive<u16>| {
        range.into_iter().all(|code| CloseCode::try_new(code).is_err())
    };
    assert!(refused(0..=999) && refused(1004..=1006) && refused(1015..=2999) && refused(5000..=u16::MAX));
    for code in (1000..=1003).chain(1007..=1014).chain(3000..=4999) {
        assert_eq!(CloseCode::try_new(code).map(CloseCode::number), Ok(code));
    }
}

#[test]
fn a_frame_to_the_client_is_plain() {
    let code = CloseCode::GOING_AWAY;
    assert_eq!(
        &*close_frame(code, "bye", Sender::Backend),
        b"\x88\x05\x03\xE9bye"
    );
    assert_eq!(&*ping_frame(*b"12345678", Sender::Backend), b"\x89\x0812345678");
}

#[test]
fn a_frame_to_the_backend_has_a_fresh_mask() {
    let frames = [0; 4].map(|_| ping_frame([0; 8], Sender::Client));
    for frame in &frames {
        assert_eq!((frame.len(), &frame[..2]), (14, &[0x89, 0x88][..]));
        assert_eq!(frame[2..6], frame[6..10], "zeros under a mask show the mask");
    }
    assert!(
        frames.iter().any(|frame| frame[2..6] != frames[0][2..6]),
        "four equal keys: {frames:?}"
    );
}

#[test]
fn a_long_reason_ends_between_two_characters() {
    let reason = format!("{}é!", "x".repeat(122));
    let frame = close_frame(CloseCode::POLICY, &reason, Sender::Backend);
    assert_eq!((frame.len(), frame[1]), (2 + 2 + 122, 124));
    let frame = close_frame(CloseCode::POLICY, &"x".repeat(500), Sender::Client);
    assert_eq!((frame.len(), frame[1]), (2 + 4 + 125, 0x80 | 125));
}

proptest! {
    #[test]
    fn a_ping_at_any_cut_is_one_more_message_to_the_peer(
        sender in streams::sender(),
        frames in streams::frames(),
        payload in any::<[u8; 8]>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = encode(&frames, sender);
        let cut = cut.index(bytes.len() + 1);
        let (with, boundary) = injected(sender, &bytes, cut, &ping_frame(payload, sender));
        let mut expected = received(sender, bytes.clone());
        // An unfinished message is delivered after the Ping, so all complete before it are before it.
        let before = received(sender, bytes[..boundary].to_vec()).len();
        expected.insert(before, Message::Ping(payload.to_vec().into()));
        prop_assert_eq!(received(sender, with), expected);
    }

    #[test]
    fn a_close_at_any_cut_is_the_last_the_peer_sees(
        sender in streams::sender(),
        frames in streams::frames(),
        // Not 1014: registered, but tungstenite objects to it.
        code in prop_oneof![1000..=1003_u16, 1007..=1013_u16, 3000..=4999_u16],
        reason in "\\PC{0,140}",
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = encode(&frames, sender);
        let cut = cut.index(bytes.len() + 1);
        let frame = close_frame(CloseCode::try_new(code).unwrap(), &reason, sender);
        let (mut with, boundary) = injected(sender, &bytes, cut, &frame);
        // Nothing is written after a Close of ours.
        with.truncate(boundary + frame.len());
        let mut messages = received(sender, with);
        let Some(Message::Close(Some(close))) = messages.pop() else {
            return Err(TestCaseError::fail("no close at the end"));
        };
        prop_assert_eq!(u16::from(close.code), code);
        prop_assert!(reason.starts_with(close.reason.as_str()));
        prop_assert!(close.reason.len() <= 123 && close.reason.len() + 3 >= reason.len().min(123));
        prop_assert_eq!(messages, received(sender, bytes[..boundary].to_vec()));
    }
}
