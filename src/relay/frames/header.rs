//! What one frame header says, and whether it may say it (RFC 6455, 5.2, 5.4 and 5.5).
//!
//! In: the first two bytes, then all of the header. Out: how long the header and the payload are, what the frame ends.
//!
//! - A header is judged in two steps, because its first two bytes tell how many more there are.
//! - The code of a Close is read as the end of its header: it is all that is ever wanted from a payload.
//!
//! Not here: gathering a header that comes in parts, and what a frame means for its direction
//! ([`FrameTracker`](super::FrameTracker)).

use super::{Sender, Violation};

/// What the end of a frame is the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Nothing,
    Message,
    Close,
}

/// What the first two bytes of a header say.
pub(super) struct Start {
    /// Length of the header; with a Close, its code is counted in.
    pub(super) header: usize,
    /// The 7-bit length: up to 125, or 126 and 127 for a longer form that follows.
    length: u8,
    masked: bool,
    pub(super) ends: Ends,
    /// Whether a fragmented message is open behind this header.
    pub(super) fragmented: bool,
}

impl Start {
    /// `open`: whether a fragmented message is open before it.
    pub(super) fn judge(first: u8, second: u8, sender: Sender, open: bool) -> Result<Self, Violation> {
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let (masked, length) = (second & 0x80 != 0, second & 0x7F);
        if masked != (sender == Sender::Client) {
            return Err(Violation::Masking);
        }
        let fragmented = match (opcode, open) {
            (0, true) | (1 | 2, false) => !fin,
            (0, false) => return Err(Violation::Continuation),
            (1 | 2, true) => return Err(Violation::Interleaved),
            (8..=10, _) if fin && length <= MAX_CONTROL => open,
            (8..=10, _) if fin => return Err(Violation::LongControl),
            (8..=10, _) => return Err(Violation::FragmentedControl),
            _ => return Err(Violation::Opcode),
        };
        let close = opcode == CLOSE;
        if close && length == 1 {
            return Err(Violation::HalfCloseCode);
        }
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let code = if close && length > 0 { 2 } else { 0 };
        let ends = match opcode {
            CLOSE => Ends::Close,
            0..=2 if fin => Ends::Message,
            _ => Ends::Nothing,
        };
        let header = 2 + extended + if masked { 4 } else { 0 } + code;
        Ok(Self {
            header,
            length,
            masked,
            ends,
            fragmented,
        })
    }

    /// The payload that follows the header.
    pub(super) fn payload(&self, header: &[u8]) -> Result<u64, Violation> {
        let (length, least) = match (self.length, header) {
            (126, &[_, _, a, b, ..]) => (u64::from(u16::from_be_bytes([a, b])), 126),
            (127, &[_, _, a, b, c, d, e, f, g, h, ..]) => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 1 << 16)
            }
            (short, _) => (u64::from(short), 0),
        };
        if length < least {
            return Err(Violation::LengthForm);
        }
        if length > MAX_PAYLOAD {
            return Err(Violation::LengthRange);
        }
        let code = if self.ends == Ends::Close {
            length.min(2)
        } else {
            0
        };
        Ok(length - code)
    }

    /// The code of a Close, unmasked.
    pub(super) fn code(&self, header: &[u8]) -> Option<u16> {
        match (self.masked, header) {
            (true, &[_, _, m, n, _, _, a, b]) => Some(u16::from_be_bytes([a ^ m, b ^ n])),
            (false, &[_, _, a, b]) => Some(u16::from_be_bytes([a, b])),
            _ => None,
        }
    }
}

/// Two bytes, 8 of length, 4 of mask.
pub(in crate::relay) const MAX_HEADER: usize = 14;
/// The longest payload of a control frame.
pub(in crate::relay) const MAX_CONTROL: u8 = 125;
const MAX_PAYLOAD: u64 = i64::MAX as u64;
const CLOSE: u8 = 8;
