//! Frames of our own, to be put between the frames of a session.
//!
//! In: what a Close or Ping shall say, and whose frames it joins. Out: its bytes, in a buffer without heap.
//!
//! - A frame that joins the client's (it goes to the backend) is masked with a fresh key, as a client's must be; one
//!   that joins the backend's (it goes to the client) is not (RFC 6455, 5.1).
//! - A code that may not be sent cannot be given: [`CloseCode`] has none of them.
//! - A reason that is too long is cut between two characters.
//!
//! Not here: when it is safe to write one ([`FrameTracker::at_boundary`](super::frames::FrameTracker::at_boundary)).

use std::fmt;
use std::ops::Deref;

use super::frames::{MAX_CONTROL, Sender};

/// A code that an endpoint may put into a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

/// A code that must not be put into a Close frame (RFC 6455, 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a close code that may be sent: use 1000-1003, 1007-1014 or 3000-4999")]
pub struct InvalidCloseCode(u16);

impl CloseCode {
    /// The session moves or ends, not by the peer's fault: drain, shutdown, rebalance, lifetime.
    pub const GOING_AWAY: Self = Self(1001);
    /// A policy forbids the session to go on.
    pub const POLICY: Self = Self(1008);
    /// A message was longer than the route allows.
    pub const TOO_BIG: Self = Self(1009);

    /// Refuses what is reserved (1004), only ever reported locally (1005, 1006, 1015) or unassigned.
    pub const fn try_new(code: u16) -> Result<Self, InvalidCloseCode> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(InvalidCloseCode(code)),
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = InvalidCloseCode;

    fn try_from(code: u16) -> Result<Self, InvalidCloseCode> {
        Self::try_new(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The bytes of one control frame.
#[derive(Clone)]
pub struct Frame {
    bytes: [u8; 2 + 4 + MAX_CONTROL as usize],
    len: u8,
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Frame").field(&&**self).finish()
    }
}

/// A Close to be written between frames of `among`. At most 123 bytes of `reason` are sent.
pub fn close_frame(code: CloseCode, reason: &str, among: Sender) -> Frame {
    let reason = &reason[..reason.floor_char_boundary(usize::from(MAX_CONTROL) - 2)];
    let mut payload = [0; MAX_CONTROL as usize];
    payload[..2].copy_from_slice(&code.0.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    control(0x88, &payload[..2 + reason.len()], among)
}

/// A Ping to be written between frames of `among`; `payload` is what its Pong will bring back.
pub fn ping_frame(payload: [u8; 8], among: Sender) -> Frame {
    control(0x89, &payload, among)
}

fn control(first: u8, payload: &[u8], among: Sender) -> Frame {
    // Masking exists so that a script cannot choose the bytes on the wire; nobody but us chooses these, so the key
    // need not be cryptographic.
    let key = (among == Sender::Client).then(|| fastrand::u32(..).to_be_bytes());
    let mut frame = Frame {
        bytes: [0; 2 + 4 + MAX_CONTROL as usize],
        len: 0,
    };
    frame.push(first);
    frame.push(payload.len() as u8 | if key.is_some() { 0x80 } else { 0 });
    key.iter().flatten().for_each(|&byte| frame.push(byte));
    let pad = key.unwrap_or_default();
    payload
        .iter()
        .zip(pad.iter().cycle())
        .for_each(|(byte, pad)| frame.push(byte ^ pad));
    frame
}

impl Frame {
    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }
}

#[cfg(test)]
mod tests;
