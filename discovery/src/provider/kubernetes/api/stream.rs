//! The answer to a watch: one JSON document per line, for as long as the server keeps it open.
//!
//! In: a body that grows. Out: events one by one, each with the version after it.
//!
//! - An event that is cut off was not received. One that cannot be understood is an error, as it may have been any.
//! - No more is held than one event and what came with it in one piece.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::error::{Error, Refusal};
use crate::provider::kubernetes::slice::{Slice, Wire};

/// What a watch says.
#[derive(Debug)]
pub(in super::super) enum Event {
    /// A slice was added or written.
    Put(Box<Slice>),
    /// A slice was deleted, or lost its service.
    Deleted(Box<Slice>),
    /// Nothing happened up to here.
    Bookmark,
}

/// A watch that the server has accepted.
pub(in super::super) struct Watch {
    body: Body,
    lines: Lines,
    deadline: Instant,
}

/// What has come of a watch and was not told yet.
#[derive(Default)]
pub(in super::super) struct Lines {
    buffer: Vec<u8>,
    /// Up to where the buffer was searched for the end of a line.
    searched: usize,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

// === impl Watch ===

impl Watch {
    /// An answer that the server was asked to end before `deadline`.
    pub(super) fn new(body: Body, deadline: Instant) -> Self {
        Self {
            body,
            lines: Lines::default(),
            deadline,
        }
    }

    /// The next event and the version after it; `None` when the server has ended the watch. May be dropped at any await
    /// without losing an event.
    pub(in super::super) async fn next(&mut self) -> Result<Option<(Event, String)>, Error> {
        loop {
            if let Some(event) = self.lines.next()? {
                return Ok(Some(event));
            }
            let Some(bytes) = self.chunk().await? else {
                return if self.lines.is_cut() {
                    Err(Error::Cut)
                } else {
                    Ok(None)
                };
            };
            self.lines.push(&bytes);
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let silent = |_| Error::Silent(GRACE);
        loop {
            match timeout_at(self.deadline, self.body.frame())
                .await
                .map_err(silent)?
            {
                None => return Ok(None),
                Some(Err(error)) => return Err(Error::Broken(Box::new(error))),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

// === impl Lines ===

impl Lines {
    pub(in super::super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event and the version after it; `None` when more has to come first.
    pub(in super::super) fn next(&mut self) -> Result<Option<(Event, String)>, Error> {
        let fresh = &self.buffer[self.searched..];
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            if self.searched > EVENT_BYTES {
                return Err(Error::Huge(EVENT_BYTES));
            }
            return Ok(None);
        };
        let end = self.searched + end;
        let event = event(&self.buffer[..end]);
        self.buffer.drain(..=end);
        self.searched = 0;
        if self.buffer.is_empty() {
            // A large event must not leave its room behind for the life of the watch.
            self.buffer = Vec::new();
        }
        event.map(Some)
    }

    /// Whether the last event is not all there.
    pub(in super::super) fn is_cut(&self) -> bool {
        self.buffer.iter().any(|byte| !byte.is_ascii_whitespace())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

fn event(line: &[u8]) -> Result<(Event, String), Error> {
    let Line { kind, object } = serde_json::from_slice(line).map_err(Error::Garbage)?;
    let object = object.get();
    let slice = || serde_json::from_str::<Wire>(object).map(|wire| Box::new(Slice::from(wire)));
    let event = match kind {
        Kind::Added | Kind::Modified => Event::Put(slice().map_err(Error::Garbage)?),
        Kind::Deleted => Event::Deleted(slice().map_err(Error::Garbage)?),
        Kind::Bookmark => Event::Bookmark,
        Kind::Error => {
            let refusal: Refusal = serde_json::from_str(object).map_err(Error::Garbage)?;
            let code = refusal.code.and_then(|code| StatusCode::from_u16(code).ok());
            let status = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(Error::status(status, refusal.message));
        }
    };
    let Versioned { metadata } = serde_json::from_str(object).map_err(Error::Garbage)?;
    Ok((event, metadata.resource_version))
}

/// What a server may be late by when it ends a watch.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// An object in etcd has at most 1.5 MiB; the JSON of one that is stored in a denser form is somewhat larger.
const EVENT_BYTES: usize = 8 << 20;
