//! The secrets that tags are made with.
//!
//! In: files, each with the base64 of at least 32 bytes. Out: a [`Keyring`]; its first key makes tags, all read them.
//!
//! - Rotation: add the new file behind the old one on every replica, then put it first, then take the old one away when
//!   the longest session is over.
//! - Without files a secret is drawn when the process starts: its tags are read by this process alone, until it ends.
//!
//! Not here: when the files are read again ([`crate::app`]).

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use rustix::rand::{GetRandomFlags, getrandom};

use super::tag::{self, Fingerprint, Flags, Key, Opened};

/// The keys of a process, the one that makes tags first.
#[derive(Debug)]
pub struct Keyring {
    keys: Box<[Key]>,
}

/// Why there is no keyring. The text never shows what a file holds.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A file cannot be read.
    #[error("cannot read the affinity secret {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} is not the base64 of at least {MIN_SECRET} bytes; make one with `openssl rand -base64 32`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers for an affinity secret")]
    Random(#[source] io::Error),
}

/// Half of it would do; a shorter file is a password that somebody made up.
const MIN_SECRET: usize = 32;

/// A secret in base64 with room to spare; a larger file is a mistake.
const MAX_FILE: u64 = 4096;

impl Keyring {
    /// Reads the keys of these files, in this order.
    pub fn load(files: &[PathBuf]) -> Result<Self, SecretError> {
        let keys = files.iter().map(|path| key(path));
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// One key that nobody else has.
    pub fn random() -> Result<Self, SecretError> {
        let mut secret = [0; MIN_SECRET];
        let filled = getrandom(&mut secret, GetRandomFlags::empty());
        match filled.map_err(|error| SecretError::Random(error.into()))? {
            MIN_SECRET => Ok(Self::of([&secret[..]])),
            _ => Err(SecretError::Random(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    pub(super) fn of<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Self {
        Self {
            keys: secrets.into_iter().map(Key::new).collect(),
        }
    }

    pub(super) fn open<'t>(&self, service: &str, text: &'t [u8]) -> Opened<'t> {
        tag::open(&self.keys, service, text)
    }

    /// What stands for an endpoint under each key.
    pub(super) fn fingerprints(
        &self,
        service: &str,
        identity: &discovery::Identity,
    ) -> impl Iterator<Item = Fingerprint> {
        self.keys.iter().map(|key| key.fingerprint(service, identity))
    }

    /// The tag that ties `id` to an endpoint of `service`.
    pub(super) fn tag(
        &self,
        service: &str,
        identity: &discovery::Identity,
        flags: Flags,
        id: &[u8],
    ) -> Option<String> {
        let key = self.keys.first()?;
        Some(key.tag(service, key.fingerprint(service, identity), flags, id))
    }
}

impl Default for Keyring {
    /// No key at all: nothing is tagged.
    fn default() -> Self {
        Self { keys: [].into() }
    }
}

/// Random characters that no tag was ever made for.
pub(super) fn nonce() -> Option<String> {
    let mut bytes = [0; 12];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    (filled == Ok(bytes.len())).then(|| URL_SAFE.encode(bytes))
}

fn key(path: &Path) -> Result<Key, SecretError> {
    let read = |source| SecretError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let mut file = File::open(path).map_err(read)?.take(MAX_FILE + 1);
    file.read_to_string(&mut text).map_err(read)?;
    let text = text.trim_ascii();
    let secret = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok();
    secret
        .filter(|secret| secret.len() >= MIN_SECRET && text.len() as u64 <= MAX_FILE)
        .map(|secret| Key::new(&secret))
        .ok_or_else(|| SecretError::Content {
            path: path.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_first_file_tags_and_every_file_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 40]));
        let new = file(folder.path(), "new.key", &format!("{new}\n"));
        let old = file(folder.path(), "old.key", &old);
        let both = Keyring::load(&[new.clone(), old.clone()]).unwrap();
        let identity = discovery::Identity::from("pod:1");
        let flags = Flags::of(tag::Kind::SignalR);
        let text = |ring: &Keyring| format!("id{}", ring.tag("chat", &identity, flags, b"id").unwrap());
        let reads =
            |ring: &Keyring, text: &str| matches!(ring.open("chat", text.as_bytes()), Opened::Tagged { .. });
        let of_new = Keyring::load(&[new]).unwrap();
        let of_old = Keyring::load(&[old]).unwrap();
        assert_eq!(text(&both), text(&of_new));
        assert!(reads(&both, &text(&of_old)) && reads(&both, &text(&of_new)));
        assert!(!reads(&of_old, &text(&both)));
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused_by_name_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "hunter2", &STANDARD.encode([1; 31]), &"A".repeat(9000)] {
            let path = file(folder.path(), "bad.key", text);
            let error = Keyring::load(&[path]).unwrap_err().to_string();
            assert!(error.contains("bad.key") && !error.contains("hunter2"), "{error}");
        }
        let missing = Keyring::load(&[folder.path().join("none")]).unwrap_err();
        assert!(missing.to_string().contains("none"));
    }

    #[test]
    fn two_drawn_secrets_are_two() {
        let (one, other) = (Keyring::random().unwrap(), Keyring::random().unwrap());
        let flags = Flags::of(tag::Kind::Cookie);
        let identity = discovery::Identity::from("pod:1");
        let tag = one.tag("chat", &identity, flags, b"id").unwrap();
        let text = format!("id{tag}");
        assert_ne!(other.tag("chat", &identity, flags, b"id"), Some(tag));
        assert!(!matches!(
            other.open("chat", text.as_bytes()),
            Opened::Tagged { .. }
        ));
        assert_ne!(nonce(), nonce());
    }
}
