//! A straightforward reader of a whole stream, headers by tungstenite, to compare the tracker with.
//!
//! In: all bytes of a direction. Out: what a tracker must show after them.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

use super::{Close, Seen, Sender, Violation};

/// The frame at the start of some bytes.
enum Frame {
    /// So much of its payload is missing; 0 also stands for an unfinished header.
    Part(u64),
    Whole {
        header: FrameHeader,
        payload: Vec<u8>,
        end: usize,
    },
}

pub(super) fn reference(sender: Sender, mut bytes: &[u8]) -> Seen {
    let mut seen = Seen {
        at_boundary: true,
        remaining: 0,
        messages: 0,
        close: None,
        violation: None,
    };
    let mut open = false;
    while !bytes.is_empty() {
        let frame = match seen.close {
            Some(_) => Err(Violation::AfterClose),
            None => frame(sender, open, bytes),
        };
        let (header, payload) = match frame {
            Ok(Frame::Whole { header, payload, end }) => {
                bytes = &bytes[end..];
                (header, payload)
            }
            Ok(Frame::Part(remaining)) => {
                return Seen {
                    at_boundary: false,
                    remaining,
                    ..seen
                };
            }
            Err(violation) => {
                return Seen {
                    at_boundary: false,
                    violation: Some(violation),
                    ..seen
                };
            }
        };
        match header.opcode {
            OpCode::Data(_) => {
                open = !header.is_final;
                seen.messages += u64::from(header.is_final);
            }
            OpCode::Control(Control::Close) => {
                let key = header.mask.unwrap_or_default();
                let code = payload.get(..2).map(|code| [code[0] ^ key[0], code[1] ^ key[1]]);
                seen.close = Some(Close {
                    code: code.map(u16::from_be_bytes),
                });
            }
            OpCode::Control(_) => {}
        }
    }
    seen
}

fn frame(sender: Sender, open: bool, bytes: &[u8]) -> Result<Frame, Violation> {
    if let Some(start) = bytes.get(..2) {
        judge_start(sender, open, start[0], start[1])?;
    }
    let mut cursor = Cursor::new(bytes);
    let Some((header, length)) = FrameHeader::parse(&mut cursor).expect("the opcode is known") else {
        return Ok(Frame::Part(0));
    };
    let start = cursor.position() as usize;
    match start - if header.mask.is_some() { 4 } else { 0 } {
        4 if length < 126 => return Err(Violation::LengthForm),
        10 if length < 65_536 => return Err(Violation::LengthForm),
        10 if length >= 1 << 63 => return Err(Violation::LengthRange),
        _ => {}
    }
    let there = (bytes.len() - start) as u64;
    if there < length {
        // The code of a Close counts as header: nothing of the payload is announced before it is there.
        let in_code = header.opcode == OpCode::Control(Control::Close) && there < 2;
        return Ok(Frame::Part(if in_code { 0 } else { length - there }));
    }
    let end = start + length as usize;
    let payload = bytes[start..end].to_vec();
    Ok(Frame::Whole { header, payload, end })
}

/// RFC 6455, 5.2, 5.4 and 5.5, as far as the first two bytes show it.
fn judge_start(sender: Sender, open: bool, first: u8, second: u8) -> Result<(), Violation> {
    let (opcode, length) = (first & 15, second & 127);
    let checks = [
        ((second >= 128) != (sender == Sender::Client), Violation::Masking),
        (
            [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].contains(&opcode),
            Violation::Opcode,
        ),
        (opcode == 0 && !open, Violation::Continuation),
        ([1, 2].contains(&opcode) && open, Violation::Interleaved),
        (opcode >= 8 && first < 128, Violation::FragmentedControl),
        (opcode >= 8 && length > 125, Violation::LongControl),
        (opcode == 8 && length == 1, Violation::HalfCloseCode),
    ];
    match checks.into_iter().find(|(broken, _)| *broken) {
        Some((_, violation)) => Err(violation),
        None => Ok(()),
    }
}
