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
//! Not here: frames of our own ([`inject`](super::inject)), swallowing answers to them ([`pong`](super::pong)).

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameTracker {
    remaining: u64,
    messages: u64,
    /// The start of a header whose rest has not come yet; only the first `held` bytes mean anything.
    header: [u8; MAX_HEADER],
    held: u8,
    sender: Sender,
    /// A fragmented message has begun and its last frame has not.
    fragmented: bool,
    /// What the end of the current frame will mean; `None` in a header.
    frame: Option<Ends>,
    code: Option<u16>,
    closed: bool,
    violation: Option<Violation>,
}

impl FrameTracker {
    /// A tracker for a direction in which nothing has passed yet.
    pub const fn new(sender: Sender) -> Self {
        Self {
            remaining: 0,
            messages: 0,
            header: [0; MAX_HEADER],
            held: 0,
            sender,
            fragmented: false,
            frame: None,
            code: None,
            closed: false,
            violation: None,
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
    pub fn to_boundary(&mut self, bytes: &[u8]) -> usize {
        if self.frame.is_some() {
            return self.skip(bytes);
        }
        let header = self.open(bytes);
        if self.frame.is_none() {
            return bytes.len();
        }
        header + self.skip(&bytes[header..])
    }

    /// Whether a frame could be injected here: no byte of an unfinished frame has passed, and the direction is not
    /// opaque. Also true after the sender's Close, where nothing may follow: see [`close`](Self::close).
    pub const fn at_boundary(&self) -> bool {
        self.held == 0 && self.frame.is_none() && self.violation.is_none()
    }

    /// How many bytes of the current frame's payload are still to come; 0 inside a header, of which the code of a
    /// Close is taken as a part.
    pub const fn remaining_payload(&self) -> u64 {
        self.remaining
    }

    /// Data messages that have passed whole. Control frames are not messages.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// The sender's Close frame, once all of it has passed.
    pub fn close(&self) -> Option<Close> {
        self.closed.then_some(Close { code: self.code })
    }

    /// The first invalid frame; once there is one, the direction is opaque for ever.
    pub const fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Whose frames these are.
    pub const fn sender(&self) -> Sender {
        self.sender
    }

    /// Reads a header, or as much of it as there is; `self.frame` is set once it is complete.
    /// Returns the bytes consumed, all of them if it is not complete.
    fn open(&mut self, bytes: &[u8]) -> usize {
        if self.violation.is_some() || bytes.is_empty() {
            return bytes.len();
        }
        let read = if self.closed {
            Err(Violation::AfterClose)
        } else if self.held == 0 {
            self.open_at_once(bytes)
        } else {
            self.open_in_parts(bytes)
        };
        read.unwrap_or_else(|violation| {
            self.violation = Some(violation);
            self.held = 0;
            bytes.len()
        })
    }

    fn open_at_once(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let &[first, second, ..] = bytes else {
            return self.open_in_parts(bytes);
        };
        let start = Start::judge(first, second, self)?;
        match bytes.get(..start.header) {
            Some(header) => self.enter(&start, header).map(|()| start.header),
            None => self.open_in_parts(bytes),
        }
    }

    fn open_in_parts(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.header[usize::from(self.held)] = byte;
            self.held += 1;
            if self.held < 2 {
                continue;
            }
            let start = Start::judge(self.header[0], self.header[1], self)?;
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
        if start.ends == Ends::Close {
            self.code = start.code(header);
        }
        self.fragmented = start.fragmented;
        self.frame = Some(start.ends);
        Ok(())
    }

    fn skip(&mut self, bytes: &[u8]) -> usize {
        let there = bytes.len() as u64;
        if there < self.remaining {
            self.remaining -= there;
            return bytes.len();
        }
        let rest = self.remaining as usize;
        self.remaining = 0;
        match self.frame.take() {
            Some(Ends::Message) => self.messages += 1,
            Some(Ends::Close) => self.closed = true,
            Some(Ends::Nothing) | None => {}
        }
        rest
    }
}

/// What the end of a frame is the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Nothing,
    Message,
    Close,
}

/// What the first two bytes of a header say.
struct Start {
    /// Length of the header; with a Close, its code is counted in.
    header: usize,
    /// The 7-bit length: up to 125, or 126 and 127 for a longer form that follows.
    length: u8,
    masked: bool,
    ends: Ends,
    /// Whether a fragmented message is open from here on.
    fragmented: bool,
}

impl Start {
    fn judge(first: u8, second: u8, tracker: &FrameTracker) -> Result<Self, Violation> {
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let (masked, length) = (second & 0x80 != 0, second & 0x7F);
        if masked != (tracker.sender == Sender::Client) {
            return Err(Violation::Masking);
        }
        let fragmented = match (opcode, tracker.fragmented) {
            (0, true) | (1 | 2, false) => !fin,
            (0, false) => return Err(Violation::Continuation),
            (1 | 2, true) => return Err(Violation::Interleaved),
            (8..=10, open) if fin && length <= MAX_CONTROL => open,
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
    fn payload(&self, header: &[u8]) -> Result<u64, Violation> {
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
    fn code(&self, header: &[u8]) -> Option<u16> {
        match (self.masked, header) {
            (true, &[_, _, m, n, _, _, a, b]) => Some(u16::from_be_bytes([a ^ m, b ^ n])),
            (false, &[_, _, a, b]) => Some(u16::from_be_bytes([a, b])),
            _ => None,
        }
    }
}

/// 2 bytes, 8 of length, 4 of mask.
const MAX_HEADER: usize = 14;
pub(super) const MAX_CONTROL: u8 = 125;
const MAX_PAYLOAD: u64 = i64::MAX as u64;
const CLOSE: u8 = 8;
