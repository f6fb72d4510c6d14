use proptest::prelude::*;

use super::super::streams::{self, Plain, chunks, encode};
use super::*;

/// A stream through a filter in chunks, and how many chunks said that the Pong was found.
fn filtered(
    sender: Sender,
    expected: [u8; 8],
    chunks: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> (Vec<u8>, bool) {
    let mut tracker = FrameTracker::new(sender);
    let mut filter = PongFilter::new(expected);
    let (mut out, mut found) = (Vec::new(), false);
    for chunk in chunks {
        let now = filter.filter(&mut tracker, chunk.as_ref(), &mut out);
        assert!(now || !found, "found, then lost");
        found = now;
        assert!(!found || filter.held().is_empty());
        assert_same(&tracker, sender, &out);
    }
    filter.give_up(&mut tracker, &mut out);
    assert_same(&tracker, sender, &out);
    (out, found)
}

/// The tracker has seen what has gone out and nothing else.
fn assert_same(tracker: &FrameTracker, sender: Sender, out: &[u8]) {
    let mut other = FrameTracker::new(sender);
    other.walk(out);
    assert_eq!(tracker.at_boundary(), other.at_boundary());
    assert_eq!(tracker.remaining_payload(), other.remaining_payload());
    assert_eq!(tracker.messages(), other.messages());
    assert_eq!(
        (tracker.close(), tracker.violation()),
        (other.close(), other.violation())
    );
}

const OURS: [u8; 8] = *b"longhaul";

#[test]
fn ours_is_swallowed_at_every_cut_and_the_rest_passes() {
    let streams: &[(Sender, [&[u8]; 3])] = &[
        (Sender::Backend, [b"\x81\x01a", b"\x8A\x08longhaul", b"\x81\x01b"]),
        (Sender::Backend, [b"\x01\x01a", b"\x8A\x08longhaul", b"\x80\x01b"]),
        (
            Sender::Client,
            [
                b"\x81\x81\0\0\0\0a",
                b"\x8A\x88\x01\x02\x03\x04mmmcicvh",
                b"\x81\x81\0\0\0\0b",
            ],
        ),
        // The key looks like the start of a Pong.
        (
            Sender::Client,
            [
                b"",
                b"\x8A\x88\0\0\0\0longhaul",
                b"\x8A\x88\x8A\x88\x8A\x88longhaul",
            ],
        ),
    ];
    for &(sender, [before, pong, after]) in streams {
        let (all, rest) = ([before, pong, after].concat(), [before, after].concat());
        for first in 0..=all.len() {
            for second in first..=all.len() {
                let chunks = [&all[..first], &all[first..second], &all[second..]];
                assert_eq!(
                    filtered(sender, OURS, chunks),
                    (rest.clone(), true),
                    "cut at {first} and {second}"
                );
            }
        }
    }
}

#[test]
fn what_only_resembles_ours_passes() {
    let streams: &[(Sender, &[u8])] = &[
        (Sender::Backend, b"\x8A\x08longhauL"),
        (Sender::Backend, b"\x8A\x07longhau"),
        (Sender::Backend, b"\x8A\x09longhaul!"),
        (Sender::Backend, b"\x89\x08longhaul"),
        (Sender::Backend, b"\x82\x08longhaul"),
        (Sender::Backend, b"\xCA\x08longhaul"),
        (Sender::Backend, b"\x82\x0A\x8A\x08longhaul"),
        (Sender::Client, b"\x8A\x88\x01\x02\x03\x04longhaul"),
        (Sender::Client, b"\x8A\x08longhaul"),
        (Sender::Backend, b"\x88\x00\x8A\x08longhaul"),
        (Sender::Backend, b"\x83\x00\x8A\x08longhaul"),
    ];
    for &(sender, bytes) in streams {
        for cut in 0..=bytes.len() {
            let chunks = [&bytes[..cut], &bytes[cut..]];
            assert_eq!(
                filtered(sender, OURS, chunks),
                (bytes.to_vec(), false),
                "{bytes:02x?} cut at {cut}"
            );
        }
    }
}

#[test]
fn nothing_is_held_longer_than_it_agrees() {
    let mut tracker = FrameTracker::new(Sender::Backend);
    let mut filter = PongFilter::new(OURS);
    let mut out = Vec::new();
    assert!(!filter.filter(&mut tracker, b"\x81\x00\x8A\x08lon", &mut out));
    assert_eq!((&*out, filter.held()), (&b"\x81\x00"[..], &b"\x8A\x08lon"[..]));
    assert!(
        tracker.at_boundary(),
        "a frame of ours may go out before what is held"
    );
    assert!(!filter.filter(&mut tracker, b"x", &mut out));
    assert_eq!((&*out, filter.held()), (&b"\x81\x00\x8A\x08lonx"[..], &b""[..]));
    assert_eq!(tracker.remaining_payload(), 4);
}

#[test]
fn giving_up_lets_go_of_what_is_held() {
    let mut tracker = FrameTracker::new(Sender::Backend);
    let mut filter = PongFilter::new(OURS);
    let mut out = Vec::new();
    filter.filter(&mut tracker, b"\x8A\x08long", &mut out);
    filter.give_up(&mut tracker, &mut out);
    assert_eq!((&*out, tracker.remaining_payload()), (&b"\x8A\x08long"[..], 4));
}

#[test]
fn only_the_first_of_two_equal_pongs_is_ours() {
    let chunk: &[u8] = b"\x8A\x08longhaul\x8A\x08longhaul";
    assert_eq!(
        filtered(Sender::Backend, OURS, [chunk, chunk]),
        (b"\x8A\x08longhaul".repeat(3), true)
    );
}

/// Frames among which there may be Pongs of 8 bytes, but not ours.
fn others() -> impl Strategy<Value = Vec<Plain>> {
    streams::frames().prop_filter("our own pong", |frames| {
        frames.iter().all(|frame| frame.payload != OURS)
    })
}

proptest! {
    #[test]
    fn ours_is_taken_out_wherever_it_stands(
        sender in streams::sender(),
        frames in others(),
        pong in streams::pong(OURS),
        place in any::<prop::sample::Index>(),
        cuts in streams::cuts(),
    ) {
        let (before, after) = frames.split_at(place.index(frames.len() + 1));
        let without = encode(&frames, sender);
        let with = [encode(before, sender), pong.encode(sender), encode(after, sender)].concat();
        prop_assert_eq!(filtered(sender, OURS, chunks(&with, &cuts)), (without, true));
    }

    #[test]
    fn a_stream_without_ours_is_left_alone(
        sender in streams::sender(),
        frames in others(),
        cuts in streams::cuts(),
        end in any::<prop::sample::Index>(),
    ) {
        let bytes = encode(&frames, sender);
        let bytes = &bytes[..end.index(bytes.len() + 1)];
        prop_assert_eq!(filtered(sender, OURS, chunks(bytes, &cuts)), (bytes.to_vec(), false));
    }
}
