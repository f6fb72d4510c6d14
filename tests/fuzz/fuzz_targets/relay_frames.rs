//! The frame tracker, cut anywhere, against a reader of the whole stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longhaul::relay::frames::{Close, FrameTracker};
use longhaul_fuzz::{Input, Reading};

fuzz_target!(|bytes: &[u8]| {
    let Some(input) = Input::new(bytes) else { return };
    let reading = Reading::new(input.sender, input.stream);
    let mut walking = FrameTracker::new(input.sender);
    let mut stepping = FrameTracker::new(input.sender);
    let mut ends = Vec::new();
    let mut at = 0;
    for chunk in input.chunks() {
        walking.walk(chunk);
        let mut rest = chunk;
        while !rest.is_empty() {
            let count = stepping.to_boundary(rest);
            assert!(count > 0);
            at += count;
            rest = &rest[count..];
            if stepping.at_boundary() {
                ends.push(at);
            }
        }
    }
    let expected: Vec<usize> = reading.frames.iter().map(|frame| frame.place.end).collect();
    assert_eq!(ends, expected);
    check(&walking, &reading, input.stream);
    check(&stepping, &reading, input.stream);
});

fn check(tracker: &FrameTracker, reading: &Reading, stream: &[u8]) {
    assert_eq!(tracker.violation(), reading.violation);
    assert_eq!(tracker.messages(), reading.messages());
    assert_eq!(tracker.remaining_payload(), reading.missing);
    assert_eq!(tracker.at_boundary(), reading.ends_at_boundary(stream));
    let close = reading.frames.iter().find(|frame| frame.first & 0x0F == 8);
    let close = close.map(|frame| {
        frame
            .payload
            .get(..2)
            .map(|code| u16::from_be_bytes([code[0], code[1]]))
    });
    assert_eq!(tracker.close(), close.map(|code| Close { code }));
}
