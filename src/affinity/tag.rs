//! The tag that a router hangs on an id, and that any replica with the same secret reads back.
//!
//! `tagged = id "." kid base64url(flags[1] enc[8] mac[9])`: always 26 characters of `A-Za-z0-9-_.`, which clients carry
//! through URLs and cookies whether they escape or not.
//!
//! ```text
//! fp(endpoint) = HMAC(key, "fp",  service, identity)[..8]
//! enc          = HMAC(key, "pad", service, id)[..8] xor fp
//! mac          = HMAC(key, "mac", service, flags, enc, id)[..9]
//! ```
//!
//! Promises:
//! - A tag is bound to its id and its service: on another it is forged. Every field is hashed with its length.
//! - It tells nobody which endpoint it means, nor whether two tags mean the same.
//! - It is compared in constant time, and nothing in a text can make reading it panic.
//! - It holds no time: a tag is over when its endpoint is.
//!
//! Not here: which endpoint has a fingerprint ([`super::directory`]).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use discovery::Identity;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Characters of a tag.
pub(super) const LENGTH: usize = 26;
/// Bytes that its last 24 characters stand for.
const BYTES: usize = 18;

/// What stands for an endpoint under one key: 64 bits of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 8]);

/// What else a tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) kind: Kind,
    /// The session can be resumed on its own endpoint, and there alone.
    pub(super) stateful: bool,
    /// The id is SignalR's public one: its client speaks version 0.
    pub(super) version_0: bool,
}

/// Whose id is tagged. One protocol's tag is not another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SignalR = 0,
    SocketIo = 1,
    // 2 is kept for SignalR of ASP.NET 4.
    Cookie = 3,
}

/// A text that may end in a tag.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened<'t> {
    /// It has none.
    Plain,
    /// It ends in what looks like one, and none of the keys made it.
    Forged,
    /// It has one.
    Tagged {
        id: &'t [u8],
        flags: Flags,
        fingerprint: Fingerprint,
    },
}

/// One secret, ready for use.
#[derive(Clone)]
pub(super) struct Key {
    /// A character that says which key it may be, so that the others need not be tried.
    kid: u8,
    keyed: Hmac<Sha256>,
}

impl Flags {
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            stateful: false,
            version_0: false,
        }
    }

    fn to_byte(self) -> u8 {
        u8::from(self.stateful) | u8::from(self.version_0) << 1 | (self.kind as u8) << 4
    }

    fn from_byte(byte: u8) -> Option<Self> {
        let kind = match byte >> 4 {
            0 => Kind::SignalR,
            1 => Kind::SocketIo,
            3 => Kind::Cookie,
            _ => return None,
        };
        (byte & 0b1100 == 0).then_some(Self {
            kind,
            stateful: byte & 1 != 0,
            version_0: byte & 2 != 0,
        })
    }
}

impl Key {
    pub(super) fn new(secret: &[u8]) -> Self {
        let keyed = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        let mut key = Self { kid: 0, keyed };
        let digit = key.first("kid", &[])[0] & 63;
        key.kid = DIGITS[usize::from(digit)];
        key
    }

    /// What stands for an endpoint of `service`.
    pub(super) fn fingerprint(&self, service: &str, identity: &Identity) -> Fingerprint {
        Fingerprint(self.first("fp", &[service.as_bytes(), identity.as_str().as_bytes()]))
    }

    /// The tag for `id`.
    pub(super) fn tag(&self, service: &str, endpoint: Fingerprint, flags: Flags, id: &[u8]) -> String {
        let flags = flags.to_byte();
        let hidden = xor(endpoint.0, self.pad(service, id));
        let mac = self.mac(service, flags, &hidden, id).finalize().into_bytes();
        let mut bytes = [0; BYTES];
        bytes[0] = flags;
        bytes[1..9].copy_from_slice(&hidden);
        bytes[9..].copy_from_slice(&mac[..9]);
        let mut tag = String::with_capacity(LENGTH);
        tag.push('.');
        tag.push(char::from(self.kid));
        URL_SAFE_NO_PAD.encode_string(bytes, &mut tag);
        tag
    }

    fn read(&self, service: &str, bytes: &[u8; BYTES], id: &[u8]) -> Option<(Flags, Fingerprint)> {
        let hidden = *bytes[1..].first_chunk::<8>()?;
        self.mac(service, bytes[0], &hidden, id)
            .verify_truncated_left(&bytes[9..])
            .ok()?;
        let fingerprint = Fingerprint(xor(hidden, self.pad(service, id)));
        Some((Flags::from_byte(bytes[0])?, fingerprint))
    }

    fn pad(&self, service: &str, id: &[u8]) -> [u8; 8] {
        self.first("pad", &[service.as_bytes(), id])
    }

    fn mac(&self, service: &str, flags: u8, hidden: &[u8; 8], id: &[u8]) -> Hmac<Sha256> {
        self.over("mac", &[service.as_bytes(), &[flags], hidden, id])
    }

    fn first(&self, purpose: &str, fields: &[&[u8]]) -> [u8; 8] {
        let digest = self.over(purpose, fields).finalize().into_bytes();
        *digest.first_chunk().expect("a digest has 32 bytes")
    }

    fn over(&self, purpose: &str, fields: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for field in [DOMAIN, purpose.as_bytes()].iter().chain(fields) {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Reads the tag at the end of `text` with whichever of `keys` made it.
pub(super) fn open<'t>(keys: &[Key], service: &str, text: &'t [u8]) -> Opened<'t> {
    let Some((id, tag)) = split(text) else {
        return Opened::Plain;
    };
    let mut bytes = [0; BYTES];
    if URL_SAFE_NO_PAD.decode_slice(&tag[2..], &mut bytes) != Ok(BYTES) {
        return Opened::Plain;
    }
    keys.iter()
        .filter(|key| key.kid == tag[1])
        .find_map(|key| key.read(service, &bytes, id))
        .map_or(Opened::Forged, |(flags, fingerprint)| Opened::Tagged {
            id,
            flags,
            fingerprint,
        })
}

/// An id that is not empty, and what has the shape of a tag.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.len().checked_sub(LENGTH).filter(|at| *at > 0)?;
    let (id, tag) = text.split_at_checked(at)?;
    (tag[0] == b'.' && DIGITS.contains(&tag[1])).then_some((id, tag))
}

fn xor(one: [u8; 8], other: [u8; 8]) -> [u8; 8] {
    (u64::from_ne_bytes(one) ^ u64::from_ne_bytes(other)).to_ne_bytes()
}

/// What an HMAC of these is never mistaken for when the secret is used elsewhere.
const DOMAIN: &[u8] = b"longhaul affinity 1";

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests;
