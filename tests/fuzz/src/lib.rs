//! A straightforward reader of WebSocket frames, to compare the relay's parsers with, and ways to cut a stream.
//!
//! In: all the bytes of a direction at once. Out: where its frames end, what they end, what is wrong with the first
//! invalid one.
//!
//! - Slow and plain on purpose: it shares neither code nor method with what it judges.
//!
//! Not here: any bound on time or memory.

pub mod head;

use longhaul::relay::frames::{Sender, Violation};

/// An input of the fuzzer: whose frames, how to cut them, and the frames.
pub struct Input<'a> {
    pub sender: Sender,
    pub stream: &'a [u8],
    /// 0: not at all; 1: after each byte; else into pieces of up to so many bytes.
    cut: u8,
}

impl<'a> Input<'a> {
    /// The lowest bit of the first byte is the sender, the others are the cut.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (&how, stream) = bytes.split_first()?;
        let sender = if how & 1 == 0 {
            Sender::Client
        } else {
            Sender::Backend
        };
        Some(Self {
            sender,
            stream,
            cut: how >> 1,
        })
    }

    pub fn chunks(&self) -> Vec<&'a [u8]> {
        let mut rest = self.stream;
        let mut state = u64::from(self.cut);
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            // Knuth's MMIX generator: the cuts depend on nothing but the input.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let size = match self.cut {
                0 => rest.len(),
                most => 1 + (state >> 33) as usize % usize::from(most),
            };
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        chunks
    }
}

/// One whole frame.
pub struct Frame {
    pub first: u8,
    /// Unmasked.
    pub payload: Vec<u8>,
    /// Its place in the stream.
    pub place: std::ops::Range<usize>,
}

/// What a stream consists of.
#[derive(Default)]
pub struct Reading {
    pub frames: Vec<Frame>,
    /// What is wrong behind the last of the frames.
    pub violation: Option<Violation>,
    /// Bytes of a payload that is not all there yet.
    pub missing: u64,
}

impl Reading {
    pub fn new(sender: Sender, stream: &[u8]) -> Self {
        let mut reading = Self::default();
        let mut at = 0;
        while at < stream.len() {
            match reading.frame(sender, stream, at) {
                Ok(Some(frame)) => {
                    at = frame.place.end;
                    reading.frames.push(frame);
                }
                Ok(None) => break,
                Err(violation) => {
                    reading.violation = Some(violation);
                    break;
                }
            }
        }
        reading
    }

    pub fn messages(&self) -> u64 {
        self.frames
            .iter()
            .filter(|frame| matches!(frame.first & 0x8F, 0x80..=0x82))
            .count() as u64
    }

    pub fn closed(&self) -> bool {
        self.frames.iter().any(|frame| frame.first & 0x0F == 8)
    }

    /// Where a frame may be injected.
    pub fn ends_at_boundary(&self, stream: &[u8]) -> bool {
        self.frames.last().map_or(0, |frame| frame.place.end) == stream.len()
    }

    fn in_message(&self) -> bool {
        let data = self.frames.iter().rev().find(|frame| frame.first & 0x08 == 0);
        data.is_some_and(|frame| frame.first & 0x80 == 0)
    }

    fn frame(&mut self, sender: Sender, stream: &[u8], start: usize) -> Result<Option<Frame>, Violation> {
        if self.closed() {
            return Err(Violation::AfterClose);
        }
        let mut bytes = stream[start..].iter().copied();
        let (Some(first), Some(second)) = (bytes.next(), bytes.next()) else {
            return Ok(None);
        };
        self.judge(sender, first, second)?;
        let more = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let key_length = if sender == Sender::Client { 4 } else { 0 };
        let length: Vec<u8> = bytes.by_ref().take(more).collect();
        let key: Vec<u8> = bytes.by_ref().take(key_length).collect();
        let code = if first & 0x0F == 8 {
            usize::from(second & 0x7F).min(2)
        } else {
            0
        };
        let payload_start = start + 2 + more + key_length;
        if stream.len() < payload_start + code {
            return Ok(None);
        }
        let written = length
            .iter()
            .fold(0_u128, |sum, &byte| sum * 256 + u128::from(byte));
        let length = match more {
            0 => u128::from(second & 0x7F),
            2 if written < 126 => return Err(Violation::LengthForm),
            8 if written < 65_536 => return Err(Violation::LengthForm),
            8 if written >= 1 << 63 => return Err(Violation::LengthRange),
            _ => written,
        };
        let there: Vec<u8> = bytes.collect();
        if (there.len() as u128) < length {
            self.missing = (length - there.len() as u128) as u64;
            return Ok(None);
        }
        let mut payload = there[..length as usize].to_vec();
        for (at, byte) in payload.iter_mut().enumerate().filter(|_| !key.is_empty()) {
            *byte ^= key[at % 4];
        }
        Ok(Some(Frame {
            first,
            place: start..payload_start + payload.len(),
            payload,
        }))
    }

    fn judge(&self, sender: Sender, first: u8, second: u8) -> Result<(), Violation> {
        let (opcode, fin, length) = (first & 0x0F, first & 0x80 != 0, second & 0x7F);
        if (sender == Sender::Client) != (second & 0x80 != 0) {
            Err(Violation::Masking)
        } else if !matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10) {
            Err(Violation::Opcode)
        } else if opcode == 0 && !self.in_message() {
            Err(Violation::Continuation)
        } else if matches!(opcode, 1 | 2) && self.in_message() {
            Err(Violation::Interleaved)
        } else if opcode >= 8 && !fin {
            Err(Violation::FragmentedControl)
        } else if opcode >= 8 && length > 125 {
            Err(Violation::LongControl)
        } else if opcode == 8 && length == 1 {
            Err(Violation::HalfCloseCode)
        } else {
            Ok(())
        }
    }
}
