//! One service's file in the cache: its form, and how it is read and replaced.
//!
//! In: what was last known of the service's sources. Out: JSON with a version, so that a later Longhaul can tell a file of
//! this one from its own.
//!
//! ```json
//! {"longhaul_endpoints": 1, "service": "chat", "sources": [{"source": "consul chat", "answered": 1767225600,
//!   "endpoints": [{"identity": "addr:10.0.0.1:80", "address": "10.0.0.1:80", "weight": 1, "state": "active"}]}]}
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    net::SocketAddr,
    num::NonZeroU32,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::Remembered;
use crate::{Endpoint, Identity, State};

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("there is no file")]
    Missing,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("it is not a plain file that only its owner can write")]
    Unsafe,
    #[error("it is larger than {MAX_BYTES} bytes")]
    Huge,
    #[error("it holds something else: {0}")]
    Broken(#[from] serde_json::Error),
    #[error("it is of version {0}, and this Longhaul reads version {VERSION}")]
    Version(u32),
    #[error("it is of the service {0:?}")]
    Foreign(String),
}

#[derive(Serialize, Deserialize)]
struct Content<'a> {
    longhaul_endpoints: u32,
    service: String,
    #[serde(borrow)]
    sources: Vec<Source<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Source<'a> {
    source: String,
    answered: u64,
    #[serde(borrow)]
    endpoints: Vec<Entry<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    identity: std::borrow::Cow<'a, str>,
    address: SocketAddr,
    weight: NonZeroU32,
    state: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    far: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Active,
    Draining,
    Unhealthy,
}

/// Only the first key, so that a file of a later version is known as one.
#[derive(Deserialize)]
struct Version {
    longhaul_endpoints: u32,
}

/// Where a service's file is; names of services have no slash and do not begin with a dot.
pub(super) fn path(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.json"))
}

pub(super) fn read(folder: &Path, service: &str) -> Result<Vec<Remembered>, Error> {
    let content = content(&path(folder, service))?;
    let version: Version = serde_json::from_slice(&content)?;
    if version.longhaul_endpoints != VERSION {
        return Err(Error::Version(version.longhaul_endpoints));
    }
    let content: Content<'_> = serde_json::from_slice(&content)?;
    if content.service != service {
        return Err(Error::Foreign(content.service));
    }
    Ok(content.sources.into_iter().map(Remembered::from).collect())
}

/// Puts a new file in the place of the old one.
pub(super) fn write(folder: &Path, service: &str, sources: &[Remembered]) -> io::Result<()> {
    let content = serde_json::to_vec(&Content {
        longhaul_endpoints: VERSION,
        service: service.to_owned(),
        sources: sources.iter().map(Source::from).collect(),
    })?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = folder.join(format!(".{service}.json.{}", process::id()));
    // One that an earlier process of this number left behind; the new one must not be a link to elsewhere.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let written = file.write_all(&content).and_then(|()| file.sync_data());
    let replaced = written.and_then(|()| fs::rename(&new, path(folder, service)));
    if replaced.is_err() {
        let _ = fs::remove_file(&new);
    }
    replaced
}

fn content(path: &Path) -> Result<Vec<u8>, Error> {
    let described = fs::symlink_metadata(path).map_err(Error::from)?;
    if !described.is_file() || described.mode() & 0o022 != 0 {
        return Err(Error::Unsafe);
    }
    let mut content = Vec::new();
    let mut file = File::open(path).map_err(Error::from)?.take(MAX_BYTES + 1);
    file.read_to_end(&mut content).map_err(Error::from)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(Error::Huge);
    }
    Ok(content)
}

// === impl Error ===

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable(error),
        }
    }
}

// === impl Source ===

impl<'a> From<&'a Remembered> for Source<'a> {
    fn from(remembered: &'a Remembered) -> Self {
        let answered = remembered.answered.duration_since(UNIX_EPOCH);
        Self {
            source: remembered.source.to_string(),
            answered: answered.unwrap_or_default().as_secs(),
            endpoints: remembered.endpoints.iter().map(Entry::from).collect(),
        }
    }
}

impl From<Source<'_>> for Remembered {
    fn from(source: Source<'_>) -> Self {
        let answered = UNIX_EPOCH.checked_add(Duration::from_secs(source.answered));
        Self {
            source: Arc::from(source.source),
            endpoints: source.endpoints.into_iter().map(Endpoint::from).collect(),
            answered: answered.unwrap_or_else(SystemTime::now),
        }
    }
}

// === impl Entry ===

impl<'a> From<&'a Endpoint> for Entry<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        Self {
            identity: endpoint.identity.as_str().into(),
            address: endpoint.address,
            weight: endpoint.weight,
            state: match endpoint.state {
                State::Active => Word::Active,
                State::Draining => Word::Draining,
                State::Unhealthy => Word::Unhealthy,
            },
            zone: endpoint.zone.as_deref().map(str::to_owned),
            far: endpoint.far,
        }
    }
}

impl From<Entry<'_>> for Endpoint {
    fn from(entry: Entry<'_>) -> Self {
        Self {
            identity: Identity::from(&*entry.identity),
            address: entry.address,
            weight: entry.weight,
            state: match entry.state {
                Word::Active => State::Active,
                Word::Draining => State::Draining,
                Word::Unhealthy => State::Unhealthy,
            },
            zone: entry.zone.map(Arc::from),
            far: entry.far,
        }
    }
}

const VERSION: u32 = 1;
/// 100,000 endpoints with long names fit many times over.
const MAX_BYTES: u64 = 256 << 20;
