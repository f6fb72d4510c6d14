//! Where the frames of one direction begin and end.
//!
//! In: the bytes of one direction, in order, in chunks of any size. Out: whether the last byte ended a frame, how
//! many messages have passed, the Close frame, the first frame that RFC 6455 forbids.
//!
//! - Walks the 2-14 header bytes and skips payloads: the cost of a frame does not depend on its length.
//! - Keeps 40 bytes of state, allocates nothing, copies nothing but a header that is split over chunks, and unmasks
//!   nothing but the two code bytes of a Close.
//! - The same bytes give the same answers however they are cut into chunks.
//! - After an invalid frame the direction is opaque: its bytes still pass (the peers judge them), nothing more is
//!   counted, and there is never a boundary again, so nothing is ever injected.
//! - The reserved bits are not judged: they belong to extensions, and extensions are between client and backend.
//!
//! Not here: frames of our own ([`inject`](super::inject)), swallowing the answers to them ([`pong`](super::pong)).

mod header;

use header::{Ends, Start};
pub(super) use header::{MAX_CONTROL, MAX_HEADER};

/// Who sends the frames of a direction, and so whether they must be masked (RFC 6455, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Every frame is masked.
    Client,
    /// No frame is masked.
    Backend,
}

/// A Close frame that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code as the sender wrote it; `None` if the Close had no payload.
    pub code: Option<u16>,
}

/// What was wrong with the first invalid frame of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A client's frame without a mask, or a backend's frame with one.
    #[error("wrong masking for its sender")]
    Masking,
    /// Opcodes 3-7 and 11-15.
    #[error("reserved opcode")]
    Opcode,
    /// A control frame without FIN.
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload.
    #[error("control frame longer than 125 bytes")]
    LongControl,
    /// A Close whose payload is one byte: too short for a code.
    #[error("close frame with half a code")]
    HalfCloseCode,
    /// A length that would have fitted into a shorter form.
    #[error("length not in its shortest form")]
    LengthForm,
    /// A 64-bit length with the top bit set.
    #[error("length above 2^63-1")]
    LengthRange,
    /// A continuation frame with no message to continue.
    #[error("continuation without a start")]
    Continuation,
    /// A new message inside a fragmented one.
    #[error("new message inside a fragmented one")]
    Interleaved,
    /// Any byte after a Close frame.
    #[error("data after a close frame")]
    AfterClose,
}

/// Finds the frame boundaries of one direction of a session.
#[derive(Clone, Debug)]
pub struct FrameTracker {
    place: Place,
    /// A fragmented message has begun and its last frame has not.
    fragmented: bool,
    sender: Sender,
    /// The first `held` bytes of a header whose rest has not come yet.
    header: [u8; MAX_HEADER],
    held: u8,
    remaining: u64,
    messages: u64,
    /// Of the Close that is passing or has passed.
    code: Option<u16>,
}

/// Where the next byte of the direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between two frames.
    Boundary,
    /// In a header, of which at least one byte is held.
    Header,
    /// In a payload, and what it will mean that it has ended.
    Payload(Ends),
    /// Behind the sender's Close.
    Closed,
    /// Behind an invalid frame.
    Opaque(Violation),
}

impl FrameTracker {
    /// A tracker for a direction in which nothing has passed yet.
    pub const fn new(sender: Sender) -> Self {
        Self {
            place: Place::Boundary,
            fragmented: false,
            sender,
            header: [0; MAX_HEADER],
            held: 0,
            remaining: 0,
            messages: 0,
            code: None,
        }
    }

    /// Consumes all of `bytes`.
    pub fn walk(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.to_boundary(bytes)..];
        }
    }

    /// Consumes up to and including the end of the current frame, or everything if it does not end in `bytes`;
    /// returns how many bytes that was. At a boundary the current frame is the one that `bytes` starts with.
    #[inline]
    pub fn to_boundary(&mut self, bytes: &[u8]) -> usize {
        if let Some(message) = self.short_message(bytes) {
            self.messages += 1;
            return message;
        }
        let header = match self.place {
            Place::Boundary | Place::Header => self.read_header(bytes),
            Place::Closed if !bytes.is_empty() => Err(Violation::AfterClose),
            Place::Payload(_) | Place::Closed | Place::Opaque(_) => Ok(0),
        };
        match (header, self.place) {
            (Ok(header), Place::Payload(ends)) => {
                header + self.skip((bytes.len() - header) as u64, ends) as usize
            }
            (Ok(_), _) => bytes.len(),
            (Err(violation), _) => {
                self.place = Place::Opaque(violation);
                bytes.len()
            }
        }
    }

    /// Consumes so many bytes of the current payload without seeing them: at most [`Self::remaining_payload`].
    pub fn skip_payload(&mut self, n: u64) {
        debug_assert!(n <= self.remaining, "{n} of {}", self.remaining);
        if let Place::Payload(ends) = self.place {
            self.skip(n, ends);
        }
    }

    /// Whether a frame could be injected here: no byte of an unfinished frame has passed, and the direction is not
    /// opaque. Also true after the sender's Close, where nothing may follow: see [`close`](Self::close).
    pub const fn at_boundary(&self) -> bool {
        matches!(self.place, Place::Boundary | Place::Closed)
    }

    /// How many bytes of the current frame's payload are still to come; 0 inside a header, of which the code of a
    /// Close is taken as a part, and 0 once the direction is opaque.
    pub const fn remaining_payload(&self) -> u64 {
        self.remaining
    }

    /// Data messages that have passed whole. Control frames are not messages.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// The sender's Close frame, once all of it has passed.
    pub fn close(&self) -> Option<Close> {
        let closed = matches!(self.place, Place::Closed | Place::Opaque(Violation::AfterClose));
        closed.then_some(Close { code: self.code })
    }

    /// The first invalid frame; once there is one, the direction is opaque for ever.
    pub const fn violation(&self) -> Option<Violation> {
        match self.place {
            Place::Opaque(violation) => Some(violation),
            _ => None,
        }
    }

    /// Whose frames these are.
    pub const fn sender(&self) -> Sender {
        self.sender
    }

    /// The length of the frame at the start of `bytes` if it is by far the most usual one: a message in one frame,
    /// with the shortest form of length, and all of it there. Answering this first makes it more than twice as fast.
    #[inline]
    fn short_message(&self, bytes: &[u8]) -> Option<usize> {
        let &[first, second, ..] = bytes else { return None };
        let (mask, key) = match self.sender {
            Sender::Client => (0x80, 4),
            Sender::Backend => (0, 0),
        };
        let length = second ^ mask;
        let frame = 2 + key + usize::from(length);
        let whole = matches!(first & 0x8F, 0x81 | 0x82) && length <= 125 && frame <= bytes.len();
        (whole && self.place == Place::Boundary && !self.fragmented).then_some(frame)
    }

    /// Reads a header, or as much of it as there is; once it is complete, the place is its payload.
    /// Returns the bytes consumed.
    fn read_header(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        if let (Place::Boundary, &[first, second, ..]) = (self.place, bytes) {
            let start = Start::judge(first, second, self.sender, self.fragmented)?;
            if let Some(header) = bytes.get(..start.header) {
                self.enter(&start, header)?;
                return Ok(start.header);
            }
        }
        self.read_header_in_parts(bytes)
    }

    fn read_header_in_parts(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.place = Place::Header;
            self.header[usize::from(self.held)] = byte;
            self.held += 1;
            if self.held < 2 {
                continue;
            }
            let start = Start::judge(self.header[0], self.header[1], self.sender, self.fragmented)?;
            if usize::from(self.held) == start.header {
                let header = self.header;
                self.held = 0;
                self.enter(&start, &header[..start.header])?;
                return Ok(at + 1);
            }
        }
        Ok(bytes.len())
    }

    /// The whole header is there.
    fn enter(&mut self, start: &Start, header: &[u8]) -> Result<(), Violation> {
        self.remaining = start.payload(header)?;
        self.fragmented = start.fragmented;
        self.place = Place::Payload(start.ends);
        if start.ends == Ends::Close {
            self.code = start.code(header);
        }
        Ok(())
    }

    /// Passes as many of `there` bytes as belong to the payload; returns how many that was.
    fn skip(&mut self, there: u64, ends: Ends) -> u64 {
        if there < self.remaining {
            self.remaining -= there;
            return there;
        }
        let rest = self.remaining;
        self.remaining = 0;
        self.messages += u64::from(ends == Ends::Message);
        self.place = if ends == Ends::Close {
            Place::Closed
        } else {
            Place::Boundary
        };
        rest
    }
}

#[cfg(test)]
mod tests;
