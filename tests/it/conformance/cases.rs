//! The table of frame-level cases, by what each group probes.

mod ends;
mod messages;

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
    messages::fragments(&mut table);
    messages::misplaced(&mut table);
    messages::utf8(&mut table);
    ends::closes(&mut table);
    ends::malformed(&mut table);
    ends::compressed(&mut table);
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
