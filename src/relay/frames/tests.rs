mod reference;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::super::streams::{self, chunks, encode};
use super::*;
use reference::reference;

/// All that can be seen of a tracker.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    at_boundary: bool,
    remaining: u64,
    messages: u64,
    close: Option<Close>,
    violation: Option<Violation>,
}

fn seen(tracker: &FrameTracker) -> Seen {
    Seen {
        at_boundary: tracker.at_boundary(),
        remaining: tracker.remaining_payload(),
        messages: tracker.messages(),
        close: tracker.close(),
        violation: tracker.violation(),
    }
}

fn walked(sender: Sender, bytes: &[u8]) -> FrameTracker {
    let mut tracker = FrameTracker::new(sender);
    tracker.walk(bytes);
    tracker
}

#[test]
fn the_state_is_small() {
    assert!(
        size_of::<FrameTracker>() <= 40,
        "{} bytes",
        size_of::<FrameTracker>()
    );
}

#[test]
fn every_kind_of_invalid_frame_is_named() {
    use Sender::{Backend, Client};
    let cases: &[(Sender, &[u8], Violation)] = &[
        (Client, &[0x81, 0x00], Violation::Masking),
        (Backend, &[0x81, 0x80], Violation::Masking),
        (Backend, &[0x83, 0x00], Violation::Opcode),
        (Backend, &[0x87, 0x00], Violation::Opcode),
        (Backend, &[0x8B, 0x00], Violation::Opcode),
        (Client, &[0x8F, 0x80], Violation::Opcode),
        (Backend, &[0x09, 0x00], Violation::FragmentedControl),
        (Backend, &[0x08, 0x00], Violation::FragmentedControl),
        (Client, &[0x8A, 0xFE], Violation::LongControl),
        (Backend, &[0x88, 0x7F], Violation::LongControl),
        (Backend, &[0x88, 0x01], Violation::HalfCloseCode),
        (Backend, &[0x82, 126, 0, 125], Violation::LengthForm),
        (
            Backend,
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            Violation::LengthForm,
        ),
        (
            Backend,
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
            Violation::LengthRange,
        ),
        (Backend, &[0x80, 0x00], Violation::Continuation),
        (Backend, &[0x01, 0x00, 0x82, 0x00], Violation::Interleaved),
        (
            Backend,
            &[0x01, 0x00, 0x80, 0x00, 0x80, 0x00],
            Violation::Continuation,
        ),
        (Backend, &[0x88, 0x00, 0x81], Violation::AfterClose),
        (
            Client,
            &[0x88, 0x82, 0, 0, 0, 0, 3, 232, 0x00],
            Violation::AfterClose,
        ),
    ];
    for &(sender, bytes, violation) in cases {
        let mut tracker = FrameTracker::new(sender);
        let (rest, last) = bytes.split_at(bytes.len() - 1);
        tracker.walk(rest);
        assert_eq!(tracker.violation(), None, "{bytes:02x?} without its last byte");
        tracker.walk(last);
        assert_eq!(tracker.violation(), Some(violation), "{bytes:02x?}");
        assert_eq!(
            walked(sender, bytes).violation(),
            Some(violation),
            "{bytes:02x?} at once"
        );
        let messages = tracker.messages();
        tracker.walk(&[0; 4]);
        assert_eq!(tracker.to_boundary(&[0x81, 0x00, 0x81, 0x00]), 4);
        assert_eq!(
            (tracker.at_boundary(), tracker.messages()),
            (false, messages),
            "opaque after {bytes:02x?}"
        );
        assert_eq!(tracker.violation(), Some(violation), "the first one stays");
    }
}

#[test]
fn each_form_of_length_is_read() {
    for (length, header) in [
        (0, 2),
        (125, 2),
        (126, 4),
        (65_535, 4),
        (65_536, 10),
        (i64::MAX as u64, 10),
    ] {
        for (sender, mask) in [(Sender::Client, Some([1, 2, 3, 4])), (Sender::Backend, None)] {
            let frame = FrameHeader {
                opcode: OpCode::Data(Data::Binary),
                mask,
                ..FrameHeader::default()
            };
            let mut bytes = Vec::new();
            frame.format(length, &mut bytes).unwrap();
            assert_eq!(bytes.len(), header + mask.map_or(0, |key| key.len()));
            let tracker = walked(sender, &bytes);
            assert_eq!((tracker.remaining_payload(), tracker.violation()), (length, None));
            assert_eq!(tracker.at_boundary(), length == 0);
        }
    }
}

#[test]
fn a_giant_frame_counts_down_as_it_trickles() {
    let mut tracker = walked(
        Sender::Backend,
        &[0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    );
    for sent in 1..=1000 {
        tracker.walk(&[0x88]);
        assert_eq!(tracker.remaining_payload(), i64::MAX as u64 - sent);
    }
    assert!(!tracker.at_boundary());
}

#[test]
fn reserved_bits_are_nobodys_business_here() {
    let tracker = walked(Sender::Backend, &[0xC1, 0x01, 0x00, 0xF2, 0x00, 0xB9, 0x00]);
    assert_eq!(
        (tracker.messages(), tracker.violation(), tracker.at_boundary()),
        (2, None, true)
    );
}

#[test]
fn one_frame_at_a_time_up_to_its_end() {
    let mut tracker = FrameTracker::new(Sender::Backend);
    assert_eq!(tracker.to_boundary(&[]), 0);
    assert_eq!(tracker.to_boundary(&[0x81, 0x00, 0x89, 0x00]), 2);
    assert_eq!(tracker.to_boundary(&[0x01, 0x02, 7]), 3);
    assert!(!tracker.at_boundary());
    assert_eq!(tracker.to_boundary(&[7, 0x80, 0x00]), 1);
    assert!(tracker.at_boundary());
    assert_eq!(tracker.to_boundary(&[0x80, 0x00]), 2);
    assert_eq!(tracker.messages(), 2);
}

#[test]
fn a_close_is_seen_when_all_of_it_has_passed() {
    let frame = [
        0x88,
        0x84,
        0x11,
        0x22,
        0x33,
        0x44,
        0x03 ^ 0x11,
        0xE9 ^ 0x22,
        b'o' ^ 0x33,
        b'k' ^ 0x44,
    ];
    let mut tracker = FrameTracker::new(Sender::Client);
    for byte in frame {
        assert_eq!(tracker.close(), None);
        tracker.walk(&[byte]);
    }
    assert_eq!(tracker.close(), Some(Close { code: Some(1001) }));
    assert!(tracker.at_boundary());
    assert_eq!(
        walked(Sender::Backend, &[0x88, 0x00]).close(),
        Some(Close { code: None })
    );
}

/// Small streams in which every two cuts are tried: between them they meet every place of every kind of frame.
#[test]
fn no_two_cuts_change_what_is_seen() {
    let streams: &[(Sender, &[u8])] = &[
        (
            Sender::Client,
            b"\x81\x82abcdef\x89\x80abcd\x02\x80abcd\x8A\x81abcdx\x80\x81abcdy\x88\x85abcd\x62\x8brst",
        ),
        (
            Sender::Backend,
            b"\x01\x01a\x00\x00\x89\x02pp\x80\x03abc\x82\x00\x88\x02\x03\xE8",
        ),
        (Sender::Backend, b"\x82\x7E\x00\x7E------\x81\x00"),
        (Sender::Backend, b"\x81\x01a\x88\x00\x81\x01a"),
        (
            Sender::Backend,
            b"\x81\x01a\x82\x7F\x00\x00\x00\x00\x00\x00\x00\x05hello",
        ),
        (Sender::Client, b"\x81\x81abcda\x82\xFE\x00\x05abcdhello"),
        (Sender::Client, b"\x81\x81abcda\x83\x81abcda\x81\x81abcda"),
    ];
    for &(sender, bytes) in streams {
        let whole = seen(&walked(sender, bytes));
        assert_eq!(whole, reference(sender, bytes), "{bytes:02x?}");
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut tracker = walked(sender, &bytes[..first]);
                tracker.walk(&bytes[first..second]);
                assert_eq!(
                    seen(&tracker),
                    reference(sender, &bytes[..second]),
                    "cut at {first} and {second}"
                );
                tracker.walk(&bytes[second..]);
                assert_eq!(seen(&tracker), whole, "{bytes:02x?} cut at {first} and {second}");
            }
        }
    }
}

/// Valid streams, the same with a frame repeated elsewhere or some bytes changed, and noise.
fn any_bytes() -> impl Strategy<Value = (Sender, Vec<u8>)> {
    let repeated = proptest::option::of(any::<[prop::sample::Index; 2]>());
    let valid = (
        streams::sender(),
        streams::frames(),
        proptest::option::of(streams::close()),
        repeated,
    );
    let valid = valid.prop_map(|(sender, mut frames, close, repeated)| {
        frames.extend(close);
        if let (Some([from, to]), false) = (repeated, frames.is_empty()) {
            frames.insert(to.index(frames.len() + 1), from.get(&frames).clone());
        }
        (sender, encode(&frames, sender))
    });
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let broken = (valid, changes).prop_map(|((sender, mut bytes), changes)| {
        if !bytes.is_empty() {
            changes
                .into_iter()
                .for_each(|(at, byte)| *at.get_mut(&mut bytes) = byte);
        }
        (sender, bytes)
    });
    prop_oneof![4 => broken, 1 => (streams::sender(), vec(any::<u8>(), 0..300))]
}

proptest! {
    #[test]
    fn it_sees_what_a_reader_of_the_whole_stream_sees((sender, bytes) in any_bytes(), end in any::<prop::sample::Index>()) {
        let bytes = &bytes[..end.index(bytes.len() + 1)];
        prop_assert_eq!(seen(&walked(sender, bytes)), reference(sender, bytes));
    }

    #[test]
    fn chunks_do_not_matter((sender, bytes) in any_bytes(), cuts in streams::cuts()) {
        let mut walking = FrameTracker::new(sender);
        let mut stepping = FrameTracker::new(sender);
        let mut bytewise = FrameTracker::new(sender);
        for chunk in chunks(&bytes, &cuts) {
            walking.walk(chunk);
            let mut rest = chunk;
            while !rest.is_empty() {
                let frame = stepping.to_boundary(rest);
                prop_assert!(frame > 0 && (frame == rest.len() || stepping.at_boundary()));
                rest = &rest[frame..];
            }
            chunk.iter().for_each(|&byte| bytewise.walk(&[byte]));
            prop_assert_eq!(seen(&walking), seen(&stepping));
            prop_assert_eq!(seen(&walking), seen(&bytewise));
        }
        prop_assert_eq!(seen(&walking), seen(&walked(sender, &bytes)));
    }

    #[test]
    fn boundaries_are_the_ends_of_valid_frames(sender in streams::sender(), frames in streams::frames(), close in streams::close()) {
        let mut tracker = FrameTracker::new(sender);
        let mut messages = 0;
        for frame in frames.iter().chain([&close]) {
            let bytes = frame.encode(sender);
            for byte in &bytes[..bytes.len() - 1] {
                tracker.walk(&[*byte]);
                prop_assert!(!tracker.at_boundary());
            }
            tracker.walk(&bytes[bytes.len() - 1..]);
            messages += u64::from(frame.ends_message());
            prop_assert!(tracker.at_boundary());
            prop_assert_eq!((tracker.messages(), tracker.violation()), (messages, None));
        }
        let code = close.payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
        prop_assert_eq!(tracker.close(), Some(Close { code }));
    }
}
