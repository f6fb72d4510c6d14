//! How a session ends, and frames that end it.

use super::{Case, FIRST, KEY, Step, case, ending};
use crate::support::Frame;

pub(super) fn closes(table: &mut Vec<Case>) {
    let codes = [
        0, 1, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
        1015, 1016, 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65_535,
    ];
    for code in codes {
        table.push(case(format!("close {code}"), vec![Frame::close(code, "")]));
        table.push(case(
            format!("close {code} with a reason"),
            vec![Frame::text(FIRST), Frame::close(code, "why not")],
        ));
    }
    table.push(case("close without a code", vec![Frame::new(8, "")]));
    table.push(case("close of one byte", vec![Frame::new(8, vec![3])]));
    table.push(case(
        "close with the longest reason",
        vec![Frame::close(1000, &"r".repeat(123))],
    ));
    table.push(case(
        "close with a reason that is too long",
        vec![Frame::close(1000, &"r".repeat(124))],
    ));
    table.push(case(
        "close with a reason that is no UTF-8",
        vec![Frame::new(8, b"\x03\xe8\xff\xfe".to_vec())],
    ));
    table.push(case(
        "text after a close",
        vec![Frame::close(1000, ""), Frame::text("too late")],
    ));
    table.push(case(
        "ping after a close",
        vec![Frame::close(1000, ""), Frame::ping("too late")],
    ));
    table.push(case(
        "two closes",
        vec![Frame::close(1000, "one"), Frame::close(1001, "two")],
    ));
    for code in [1000, 1001, 1011, 3000, 4999] {
        table.push(case(
            format!("the server closes with {code}"),
            vec![Frame::text(format!("close {code} as asked"))],
        ));
    }
}

/// Frames that are cut or headed wrongly.
pub(super) fn malformed(table: &mut Vec<Case>) {
    let raw = |name: &str, bytes: Vec<u8>| {
        ending(
            name,
            vec![Step::Send(bytes)],
            usize::from(name == "a mask of zeros"),
        )
    };
    table.push(raw("a text without a mask", Frame::text("bare").encode()));
    table.push(raw("a ping without a mask", Frame::ping("bare").encode()));
    table.push(raw("a close without a mask", Frame::close(1000, "").encode()));
    table.push(raw(
        "a mask of zeros",
        Frame::text("zero").masked([0; 4]).encode(),
    ));
    table.push(raw(
        "a length of 2^64 - 1",
        Frame::announce(true, 2, Some(KEY), u64::MAX),
    ));
    table.push(raw(
        "a length of 2^63 - 1",
        Frame::announce(true, 2, Some(KEY), (1 << 63) - 1),
    ));
    table.push(raw(
        "a length beyond the limit",
        Frame::announce(true, 2, Some(KEY), 1 << 40),
    ));
}

/// permessage-deflate, by the examples of RFC 7692 section 7.2.3.
pub(super) fn compressed(table: &mut Vec<Case>) {
    let hello: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored: &[u8] = &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let with = |name: &str, frames: Vec<Frame>| Case {
        compresses: true,
        ..case(format!("deflate: {name}"), frames)
    };
    table.push(with("a compressed text", vec![Frame::new(1, hello).rsv(4)]));
    table.push(with("a compressed binary", vec![Frame::new(2, hello).rsv(4)]));
    table.push(with("a stored block", vec![Frame::new(1, stored).rsv(4)]));
    table.push(with(
        "two fragments",
        vec![
            Frame::new(1, &hello[..3]).rsv(4).unfinished(),
            Frame::new(0, &hello[3..]),
        ],
    ));
    table.push(with("an uncompressed text", vec![Frame::text("plain")]));
    table.push(with(
        "garbage",
        vec![Frame::new(1, b"\xff\xff\xff\xff".to_vec()).rsv(4)],
    ));
    table.push(with(
        "RSV1 on a continuation",
        vec![
            Frame::new(1, &hello[..3]).rsv(4).unfinished(),
            Frame::new(0, &hello[3..]).rsv(4),
        ],
    ));
    table.push(with("RSV1 on a ping", vec![Frame::ping("x").rsv(4)]));
    table.push(with("RSV2", vec![Frame::new(1, hello).rsv(2)]));
}
