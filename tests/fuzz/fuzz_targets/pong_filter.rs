//! The Pong filter, cut anywhere, against a search in the whole stream. The first 8 bytes are the expected payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longhaul::relay::frames::FrameTracker;
use longhaul::relay::pong::PongFilter;
use longhaul_fuzz::{Input, Reading};

fuzz_target!(|bytes: &[u8]| {
    let Some((expected, rest)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let Some(input) = Input::new(rest) else { return };
    let reading = Reading::new(input.sender, input.stream);
    let ours = reading
        .frames
        .iter()
        .find(|frame| frame.first == 0x8A && frame.payload == expected);

    let mut tracker = FrameTracker::new(input.sender);
    let mut filter = PongFilter::new(*expected);
    let (mut out, mut came, mut found) = (Vec::new(), 0, false);
    for chunk in input.chunks() {
        found = filter.filter(&mut tracker, chunk, &mut out);
        came += chunk.len();
        let swallowed = if found {
            ours.map_or(0, |frame| frame.place.len())
        } else {
            0
        };
        assert_eq!(came, out.len() + filter.held().len() + swallowed);
    }
    assert!(filter.held().is_empty() || tracker.at_boundary());
    filter.give_up(&mut tracker, &mut out);

    let mut without = input.stream.to_vec();
    if let Some(frame) = ours {
        without.drain(frame.place.clone());
    }
    assert_eq!(found, ours.is_some());
    assert_eq!(out, without);

    let mut other = FrameTracker::new(input.sender);
    other.walk(&out);
    assert_eq!(tracker.at_boundary(), other.at_boundary());
    assert_eq!(tracker.messages(), other.messages());
    assert_eq!(
        (tracker.close(), tracker.violation()),
        (other.close(), other.violation())
    );
});
