//! The table of frame-level cases, by what each group probes.

use crate::support::{Frame, Pattern, splits};

/// What a client does in one case.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    /// Whether the client offers permessage-deflate.
    pub(super) compresses: bool,
}

#[derive(Clone)]
pub(super) enum Step {
    /// Sends these bytes in one piece.
    Send(Vec<u8>),
    /// Waits until so many messages have come back, or the server's Close, or the connection has ended.
    Messages(usize),
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Whoever sends this text waits for it before the next frame: how much a server answers before it meets a mistake or a
/// Close would otherwise be a matter of timing.
const FIRST: &str = "first";

/// A case that ends with a Close of its own, so that a server which is still content ends too.
fn case(name: impl Into<String>, frames: Vec<Frame>) -> Case {
    let (mut steps, mut messages) = (Vec::new(), 0);
    for frame in frames {
        let first = frame == Frame::text(FIRST);
        messages += usize::from(frame.fin && frame.opcode < 3);
        steps.push(Step::Send(frame.masked(KEY).encode()));
        if first {
            steps.push(Step::Messages(messages));
        }
    }
    ending(name, steps, messages)
}

/// After so many messages: one more, whose echo says that the server has nothing left to say, and a Close.
fn ending(name: impl Into<String>, mut steps: Vec<Step>, messages: usize) -> Case {
    steps.push(Step::Send(Frame::text("end of case").masked(KEY).encode()));
    steps.push(Step::Messages(messages + 1));
    steps.push(Step::Send(Frame::close(1000, "").masked(KEY).encode()));
    Case {
        name: name.into(),
        steps,
        compresses: false,
    }
}

/// The same bytes in pieces of other lengths.
fn chopped(mut case: Case, longest: usize) -> Case {
    let mut pattern = Pattern::new(longest as u64);
    let steps = case.steps.into_iter().flat_map(|step| match step {
        Step::Send(bytes) => {
            let pieces = splits(pattern.rng(), &bytes, longest);
            pieces
                .into_iter()
                .map(|piece| Step::Send(piece.to_vec()))
                .collect()
        }
        wait @ Step::Messages(_) => vec![wait],
    });
    case.steps = steps.collect();
    case.name += &format!(", in pieces up to {longest}");
    case
}

pub(super) fn all() -> Vec<Case> {
    let mut table = Vec::new();
    framing(&mut table);
    control(&mut table);
    reserved(&mut table);
    fragments(&mut table);
    utf8(&mut table);
    closes(&mut table);
    malformed(&mut table);
    compressed(&mut table);
    table
}

fn framing(table: &mut Vec<Case>) {
    for length in [0, 1, 124, 125, 126, 127, 128, 65_535, 65_536, 65_537, 1 << 20] {
        let text: String = "*".repeat(length);
        table.push(case(format!("text of {length}"), vec![Frame::text(text)]));
        table.push(case(
            format!("binary of {length}"),
            vec![Frame::binary(vec![0xfe; length])],
        ));
    }
    for longest in [1, 2, 5, 997] {
        let frames = vec![Frame::text("x".repeat(300)), Frame::binary(vec![1; 130])];
        table.push(chopped(case("two messages", frames), longest));
    }
    let many = (0..200)
        .map(|index| Frame::text(format!("message {index}")))
        .collect();
    table.push(case("200 messages at once", many));
    table.push(case(
        "4 MiB and one byte",
        vec![Frame::binary(vec![0; (4 << 20) + 1])],
    ));
}

fn control(table: &mut Vec<Case>) {
    for length in [0, 1, 124, 125] {
        table.push(case(
            format!("ping of {length}"),
            vec![Frame::ping(vec![b'p'; length])],
        ));
        table.push(case(
            format!("pong of {length}"),
            vec![Frame::pong(vec![b'q'; length]), Frame::ping("after")],
        ));
    }
    for length in [126, 127, 65_536] {
        table.push(case(
            format!("ping of {length}"),
            vec![Frame::ping(vec![b'p'; length])],
        ));
        table.push(case(
            format!("close of {length}"),
            vec![Frame::new(8, vec![b'c'; length])],
        ));
    }
    table.push(case(
        "a ping of bytes that are no text",
        vec![Frame::ping(vec![0, 255, 254, 253, 252, 251, 0, 255])],
    ));
    table.push(case(
        "ten pings",
        (0..10).map(|index| Frame::ping(format!("{index}"))).collect(),
    ));
    table.push(chopped(
        case(
            "ten pings",
            (0..10).map(|index| Frame::ping(format!("{index}"))).collect(),
        ),
        1,
    ));
    table.push(case("a ping without FIN", vec![Frame::ping("x").unfinished()]));
    table.push(case("a pong without FIN", vec![Frame::pong("x").unfinished()]));
    table.push(case(
        "a close without FIN",
        vec![Frame::close(1000, "").unfinished()],
    ));
}

fn reserved(table: &mut Vec<Case>) {
    for bits in 1..8 {
        for opcode in [1, 2, 8, 9, 10] {
            let frame = Frame::new(opcode, if opcode == 8 { vec![3, 232] } else { b"x".to_vec() }).rsv(bits);
            table.push(case(
                format!("opcode {opcode} with reserved bits {bits:03b}"),
                vec![Frame::text(FIRST), frame],
            ));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        table.push(case(
            format!("opcode {opcode}"),
            vec![Frame::new(opcode, ""), Frame::text("after")],
        ));
        table.push(case(
            format!("opcode {opcode} after a text"),
            vec![Frame::text(FIRST), Frame::new(opcode, "x")],
        ));
    }
}

fn fragments(table: &mut Vec<Case>) {
    let (start, middle, end) = (
        Frame::text("a").unfinished(),
        Frame::new(0, "b").unfinished(),
        Frame::new(0, "c"),
    );
    let three = || vec![start.clone(), middle.clone(), end.clone()];
    table.push(case("three fragments", three()));
    table.push(chopped(case("three fragments", three()), 1));
    let ping = Frame::ping("between");
    table.push(case(
        "a ping between fragments",
        vec![start.clone(), ping.clone(), end.clone()],
    ));
    table.push(case(
        "pings between all",
        vec![
            ping.clone(),
            start.clone(),
            ping.clone(),
            middle.clone(),
            ping,
            end.clone(),
        ],
    ));
    table.push(case(
        "a pong between fragments",
        vec![start.clone(), Frame::pong(""), end.clone()],
    ));
    table.push(case(
        "a close between fragments",
        vec![start.clone(), Frame::close(1000, ""), end.clone()],
    ));
    table.push(case(
        "empty fragments",
        vec![
            Frame::text("").unfinished(),
            Frame::new(0, "").unfinished(),
            Frame::new(0, ""),
        ],
    ));
    table.push(case(
        "empty around a middle",
        vec![Frame::text("").unfinished(), middle.clone(), Frame::new(0, "")],
    ));
    table.push(case(
        "a continuation of nothing",
        vec![end.clone(), Frame::text("after")],
    ));
    table.push(case(
        "an unfinished continuation of nothing",
        vec![middle.clone(), Frame::text("after")],
    ));
    table.push(case(
        "a continuation after a message",
        vec![Frame::text(FIRST), end.clone()],
    ));
    table.push(case(
        "a text inside a message",
        vec![start.clone(), Frame::text("other")],
    ));
    table.push(case(
        "a binary inside a message",
        vec![start.clone(), Frame::binary("other"), end.clone()],
    ));
    table.push(case("a message that never ends", vec![start.clone(), middle]));
    let many = |count: usize| {
        let middle = (2..count).map(|_| Frame::new(0, "m").unfinished());
        [start.clone()]
            .into_iter()
            .chain(middle)
            .chain([end.clone()])
            .collect::<Vec<_>>()
    };
    table.push(case("100 fragments", many(100)));
    table.push(case("2000 fragments", many(2000)));
    table.push(chopped(case("100 fragments", many(100)), 7));
}

fn utf8(table: &mut Vec<Case>) {
    let texts: [(&str, &[u8]); 22] = [
        ("every width", "aé世🌍".as_bytes()),
        ("the last code point", b"\xf4\x8f\xbf\xbf"),
        ("beyond the last code point", b"\xf4\x90\x80\x80"),
        ("the first surrogate", b"\xed\xa0\x80"),
        ("the last surrogate", b"\xed\xbf\xbf"),
        ("before the surrogates", b"\xed\x9f\xbf"),
        ("after the surrogates", b"\xee\x80\x80"),
        ("a surrogate pair", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("a slash in two bytes", b"\xc0\xaf"),
        ("a slash in three bytes", b"\xe0\x80\xaf"),
        ("a slash in four bytes", b"\xf0\x80\x80\xaf"),
        ("a NUL in two bytes", b"\xc0\x80"),
        ("a NUL", b"a\0b"),
        ("a lone continuation", b"\x80"),
        ("two continuations", b"\x80\xbf"),
        ("a start without the rest", b"\xc3"),
        ("three of four bytes", b"\xf0\x9f\x8c"),
        ("a start, then a letter", b"\xc3a"),
        ("0xff", b"\xff"),
        ("0xfe", b"\xfe"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
    ];
    for (name, text) in texts {
        table.push(case(format!("UTF-8: {name}"), vec![Frame::new(1, text)]));
        let around = [b"before ", text, b" after"].concat();
        table.push(case(
            format!("UTF-8: {name} inside a text"),
            vec![Frame::new(1, around)],
        ));
        let (start, end) = text.split_at(text.len() / 2);
        let parts = vec![Frame::new(1, start).unfinished(), Frame::new(0, end)];
        table.push(case(format!("UTF-8: {name} over two fragments"), parts));
        table.push(case(
            format!("UTF-8: {name} in a binary"),
            vec![Frame::binary(text)],
        ));
    }
    table.push(case(
        "UTF-8: wrong at once, more to come",
        vec![Frame::new(1, b"\xff".to_vec()).unfinished(), Frame::new(0, "x")],
    ));
}

fn closes(table: &mut Vec<Case>) {
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
    table.push(case(
        "a large message, then a close",
        vec![Frame::binary(vec![2; 300_000]), Frame::close(1000, "")],
    ));
    for code in [1000, 1001, 1011, 3000, 4999] {
        table.push(case(
            format!("the server closes with {code}"),
            vec![Frame::text(format!("close {code} as asked"))],
        ));
    }
}

/// Frames that are cut or headed wrongly.
fn malformed(table: &mut Vec<Case>) {
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
fn compressed(table: &mut Vec<Case>) {
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
