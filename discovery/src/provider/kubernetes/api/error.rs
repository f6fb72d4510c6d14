//! Why a request to an API server has failed, and what may follow from it.
//!
//! In: what went wrong. Out: an [`Error`] that says whether a watch can go on from where it was, whether credentials have
//! to be read again, and, as a provider's error, whether asking again soon makes sense.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

/// Why a request has failed.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Error {
    #[error("cannot ask the API server")]
    Client(#[source] Box<kube::Error>),
    #[error("the API server did not answer within {0:?}")]
    Silent(Duration),
    #[error("the connection to the API server broke")]
    Broken(#[source] Box<kube::Error>),
    #[error("the API server said {status}: {message}")]
    Status { status: StatusCode, message: String },
    #[error("the API server's answer makes no sense")]
    Garbage(#[source] serde_json::Error),
    #[error("the API server's answer is larger than {0} bytes")]
    Huge(usize),
    #[error("the API server's list has more than {0} pages")]
    Endless(usize),
    #[error("the API server's answer was cut off")]
    Cut,
    #[error("the API server has gone back to an earlier version")]
    Rewound,
}

/// A Kubernetes `Status`, as far as it is of use.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: Option<u16>,
    pub(super) message: Option<String>,
}

// === impl Error ===

impl Error {
    pub(super) fn status(status: StatusCode, message: Option<String>) -> Self {
        let message = message.unwrap_or_else(|| "no reason given".to_owned());
        // It is the server's text and goes to the log.
        let message = message
            .chars()
            .filter(|c| !c.is_control())
            .take(MESSAGE)
            .collect();
        Self::Status { status, message }
    }

    /// Whether there is no going on from the version: what happened since has to be listed.
    pub(in super::super) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Rewound
                | Self::Status {
                    status: StatusCode::GONE,
                    ..
                }
        )
    }

    /// Whether an event may have been lost by it.
    pub(in super::super) fn is_garbage(&self) -> bool {
        matches!(self, Self::Garbage(_) | Self::Huge(_))
    }

    /// Whether the server cannot be reached as it was, or does not know who asks.
    pub(in super::super) fn is_of_access(&self) -> bool {
        matches!(
            self,
            Self::Client(_)
                | Self::Status {
                    status: StatusCode::UNAUTHORIZED,
                    ..
                }
        )
    }
}

impl From<Error> for crate::provider::Error {
    fn from(error: Error) -> Self {
        match &error {
            // A permission is not what is missing.
            _ if error.is_gone() => Self::Transient(error.into()),
            // The request was understood and will not be granted as it is.
            Error::Status { status, .. } if status.is_client_error() => Self::Rejected(error.into()),
            _ => Self::Transient(error.into()),
        }
    }
}

/// Of a server's message in the log.
const MESSAGE: usize = 300;
