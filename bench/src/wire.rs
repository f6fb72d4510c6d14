//! The WebSocket bytes that client and backend exchange: upgrade heads, frame headers, payloads that can be checked.
//!
//! In: raw bytes. Out: parsed headers and expected payloads. A payload is a window into fixed noise whose place depends on
//! session and sequence number, so that a lost, repeated, reordered or foreign message differs at once.
//! Not here: sockets. Whole frames of one kind are all that is needed, so fragmentation is refused.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};

/// The header in which a backend names the address that was dialled.
pub(crate) const ENDPOINT_HEADER: &str = "x-endpoint";
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
/// Whom every request is for, and whose the certificates are.
pub(crate) const HOST: &str = "bench.local";
/// A client key, the same for every session: the backend computes its answer from what reaches it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const LONGEST_HEADER: usize = 14;
/// Larger than any offset step and prime, so that offsets of neighbouring messages do not repeat.
const OFFSETS: usize = 65_521;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) opcode: u8,
    pub(crate) fin: bool,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) length: usize,
}

/// Collects a header that may arrive in pieces.
#[derive(Debug, Default)]
pub(crate) struct HeaderReader {
    bytes: [u8; LONGEST_HEADER],
    have: usize,
}

/// The payloads of all messages of a run.
#[derive(Debug)]
pub(crate) struct Payloads {
    noise: Vec<u8>,
}

// === impl HeaderReader ===

impl HeaderReader {
    /// Takes bytes from `input` until a header is whole; the rest of `input` is payload.
    pub(crate) fn feed(&mut self, input: &mut &[u8]) -> Option<Header> {
        loop {
            let need = self.need();
            if self.have == need {
                self.have = 0;
                return Some(Header::parse(&self.bytes));
            }
            let take = (need - self.have).min(input.len());
            if take == 0 {
                return None;
            }
            let (head, rest) = input.split_at(take);
            self.bytes[self.have..self.have + take].copy_from_slice(head);
            self.have += take;
            *input = rest;
        }
    }

    fn need(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let extended = match self.bytes[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.bytes[1] & MASKED == 0 { 0 } else { 4 }
    }
}

// === impl Header ===

impl Header {
    fn parse(bytes: &[u8; LONGEST_HEADER]) -> Self {
        let (length, end) = match bytes[1] & !MASKED {
            126 => (u64::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            127 => {
                let mut long = [0; 8];
                long.copy_from_slice(&bytes[2..10]);
                (u64::from_be_bytes(long), 10)
            }
            short => (u64::from(short), 2),
        };
        let mask =
            (bytes[1] & MASKED != 0).then(|| [bytes[end], bytes[end + 1], bytes[end + 2], bytes[end + 3]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Self {
            opcode: bytes[0] & 0x0f,
            fin: bytes[0] & FIN != 0,
            mask,
            length,
        }
    }
}

// === impl Payloads ===

impl Payloads {
    /// Noise for messages of up to `longest` bytes.
    pub(crate) fn new(longest: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32).to_le_bytes()[0]
        });
        Self {
            noise: noise.take(OFFSETS + longest).collect(),
        }
    }

    /// The payload of one message of one session.
    pub(crate) fn of(&self, session: usize, sequence: usize, length: usize) -> &[u8] {
        let offset = (session
            .wrapping_mul(7_919)
            .wrapping_add(sequence.wrapping_mul(104_729)))
            % OFFSETS;
        &self.noise[offset..offset + length]
    }
}

/// Appends one whole frame, masked if a key is given.
pub(crate) fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], key: Option<[u8; 4]>) {
    let masked = if key.is_some() { MASKED } else { 0 };
    out.push(FIN | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => out.push(masked | short),
        (_, Ok(medium)) => {
            out.push(masked | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(key.as_ref().map_or(&[], |key| &key[..]));
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        apply_mask(&mut out[start..], key);
    }
}

/// Masks, or unmasks, a whole payload.
pub(crate) fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The upgrade request, about as long as a browser's shortest.
pub(crate) fn request() -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: longhaul-bench\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nOrigin: http://{HOST}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// The answer to a client key.
pub(crate) fn accept_for(key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    BASE64_STANDARD.encode(digest)
}

/// The value of a header in a head of HTTP/1.1.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    fields
        .into_iter()
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Splits a buffer after the head of a request or an answer.
pub(crate) fn split_head(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_whole_from_single_bytes() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let payload = Payloads::new(65_536).of(3, 4, length).to_vec();
            let mut frame = Vec::new();
            write_frame(&mut frame, BINARY, &payload, Some([1, 2, 3, 4]));
            let mut reader = HeaderReader::default();
            let mut header = None;
            let mut at = 0;
            while header.is_none() {
                let mut one = &frame[at..=at];
                header = reader
                    .feed(&mut one)
                    .inspect(|_| assert!(at + 1 == frame.len() - length));
                at += 1;
            }
            let expected = Header {
                opcode: BINARY,
                fin: true,
                mask: Some([1, 2, 3, 4]),
                length,
            };
            assert_eq!(header, Some(expected));
            apply_mask(&mut frame[at..], [1, 2, 3, 4]);
            assert_eq!(&frame[at..], payload);
        }
    }

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(accept_for(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn neighbouring_messages_differ() {
        let payloads = Payloads::new(64);
        assert_ne!(payloads.of(0, 0, 64), payloads.of(0, 1, 64));
        assert_ne!(payloads.of(0, 0, 64), payloads.of(1, 0, 64));
    }
}
