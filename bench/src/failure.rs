//! Why a measurement did not produce a figure.

use std::io;

/// Why a measurement did not produce a figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A proxy changed, lost or invented bytes: nothing else in the table can be believed.
    #[error("wrong bytes: {0}")]
    Corrupt(String),
    /// The proxy did not start, refused or stalled: its cell says so and the run goes on.
    #[error("{0}")]
    Peer(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}
