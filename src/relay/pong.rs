//! Swallowing the answer to a Ping of our own.
//!
//! In: the bytes of a leg to which we have sent a Ping, chunk by chunk. Out: the same bytes without the Pong that
//! answers it, which the other peer has not asked for.
//!
//! - Used only while the answer is outstanding, at most one Ping per leg: this path copies.
//! - A Pong is ours if it stands between frames and brings our 8 bytes back, unmasked; every other frame passes.
//! - What might still become our Pong is held, up to 14 bytes, and only as long as each byte agrees with it.
//! - The tracker sees exactly the bytes that go on: while a Pong is held the direction is at a boundary, and a
//!   swallowed one leaves it there.
//!
//! Not here: when to ping and how long to wait for the answer ([`relay`](super)).

use super::frames::{FrameTracker, Sender};

/// Takes the Pong with a given payload out of a leg's frames.
#[derive(Clone, Debug)]
pub struct PongFilter {
    expected: [u8; 8],
    held: [u8; MAX_PONG],
    len: u8,
    found: bool,
}

impl PongFilter {
    /// Waits for the Pong that answers a Ping with this payload.
    pub const fn new(expected: [u8; 8]) -> Self {
        Self {
            expected,
            held: [0; MAX_PONG],
            len: 0,
            found: false,
        }
    }

    /// Appends to `out` what of `chunk`, and of what was held before, goes on to the other peer, and lets `tracker`
    /// walk it. Returns true once the Pong was found: then nothing is held and the filter has done its work.
    pub fn filter(&mut self, tracker: &mut FrameTracker, chunk: &[u8], out: &mut Vec<u8>) -> bool {
        let mut rest = chunk;
        while let (false, Some(&next)) = (self.found, rest.first()) {
            if self.agrees(tracker, next) {
                self.hold(next, tracker.sender());
                rest = &rest[1..];
            } else if self.len > 0 {
                self.release(tracker, out);
            } else {
                let (frame, after) = rest.split_at(tracker.to_boundary(rest));
                out.extend_from_slice(frame);
                rest = after;
            }
        }
        tracker.walk(rest);
        out.extend_from_slice(rest);
        self.found
    }

    /// The bytes that have come in but have not gone on.
    pub fn held(&self) -> &[u8] {
        &self.held[..usize::from(self.len)]
    }

    /// Ends the wait, because it took too long or the leg has ended: what is held goes on.
    pub fn give_up(mut self, tracker: &mut FrameTracker, out: &mut Vec<u8>) {
        self.release(tracker, out);
    }

    /// Whether `byte` is what the next byte of our Pong must be.
    fn agrees(&self, tracker: &FrameTracker, byte: u8) -> bool {
        let at = usize::from(self.len);
        let key = self.key(tracker.sender());
        match at {
            0 => byte == PONG && tracker.at_boundary() && tracker.close().is_none(),
            1 => byte == if key.is_empty() { 8 } else { 0x80 | 8 },
            _ if at < 2 + key.len() => true,
            _ => {
                let at = at - 2 - key.len();
                let pad = if key.is_empty() { 0 } else { key[at % key.len()] };
                byte ^ pad == self.expected[at]
            }
        }
    }

    /// The place of the mask key; only meaningful once it is held.
    fn key(&self, sender: Sender) -> &[u8] {
        match sender {
            Sender::Client => &self.held[2..6],
            Sender::Backend => &[],
        }
    }

    fn hold(&mut self, byte: u8, sender: Sender) {
        self.held[usize::from(self.len)] = byte;
        self.len += 1;
        if usize::from(self.len) == 2 + self.key(sender).len() + self.expected.len() {
            self.found = true;
            self.len = 0;
        }
    }

    fn release(&mut self, tracker: &mut FrameTracker, out: &mut Vec<u8>) {
        tracker.walk(self.held());
        out.extend_from_slice(self.held());
        self.len = 0;
    }
}

/// FIN, no reserved bit, opcode 10.
const PONG: u8 = 0x8A;
const MAX_PONG: usize = 2 + 4 + 8;

#[cfg(test)]
mod tests;
