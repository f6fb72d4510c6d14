//! Why a plain request has no answer of a backend, and what that means.
//!
//! In: what went wrong. Out: what the client is told, what is held against the endpoint, and whether another may be asked.
//!
//! Not here: a backend's own refusals, which are answers.

use std::net::SocketAddr;

use http::{HeaderMap, Response, StatusCode, Version, header};
use hyper::body::Incoming;

use crate::{
    answer::Answer,
    balance::{Failure, Unavailable},
    config::Retry,
    dial::connect::NotConnected,
    listen::handshake::tokens,
};

/// What went wrong with one try.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no endpoint: {0}")]
    Unavailable(Unavailable),
    #[error("the endpoints were not known in time")]
    NotKnown,
    #[error(transparent)]
    Connect(NotConnected),
    /// Nothing of the request was sent.
    #[error("the connection ended before the request was sent")]
    Unsent,
    #[error("the connection ended before an answer")]
    Reset { sent: Sent },
    #[error("{0}")]
    BadAnswer(BadAnswer),
    #[error("no answer in time")]
    Silence,
    #[error("the client paused for too long within its body")]
    Stalled,
    #[error("the client's body broke off")]
    Broken,
}

/// What of a request an endpoint had got when its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it, and it may be sent again.
    Repeatable,
    /// All of it.
    Whole,
    /// A part of its body: it may have been too much for the endpoint.
    Part,
    /// On a connection that had been idle: it was closed for that.
    OnOldLink,
}

/// Why an answer is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadAnswer {
    #[error("the answer is not HTTP/1.1")]
    Garbage,
    #[error("the answer upgrades to what was not asked for")]
    Upgrade,
    #[error("where the answer's body ends could be read in two ways")]
    Framing,
}

/// A request that no try has helped.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) trouble: Trouble,
    /// The endpoint of the last try.
    pub(super) endpoint: Option<SocketAddr>,
    /// How many were made.
    pub(super) tries: usize,
}

// === impl Trouble ===

impl Trouble {
    pub(super) fn of(error: &hyper::Error, sent: Sent) -> Self {
        if error.is_user() {
            // The only thing of ours that can fail on the way is the client's body.
            Self::Broken
        } else if error.is_parse() {
            Self::BadAnswer(BadAnswer::Garbage)
        } else {
            Self::Reset { sent }
        }
    }

    /// What is held against the endpoint. A client must not be able to have an endpoint ejected by what it sends.
    pub(super) fn blame(&self) -> Option<Failure> {
        match self {
            Self::Connect(error) => error.blames_endpoint().then_some(Failure::Connect),
            Self::Unsent
            | Self::Reset {
                sent: Sent::Repeatable | Sent::Whole,
            } => Some(Failure::Reset),
            _ => None,
        }
    }

    /// Whether it was the client's doing, of which whoever runs this learns from the metrics.
    pub(super) fn is_clients(&self) -> bool {
        matches!(self, Self::Stalled | Self::Broken)
    }

    /// Whether another endpoint may be asked: only where this one cannot have begun, or doing it twice does no harm.
    pub(super) fn may_retry(&self, retry: Retry) -> bool {
        match self {
            Self::Connect(_) => retry.on_connect,
            Self::Unsent
            | Self::Reset {
                sent: Sent::Repeatable,
            } => retry.on_timeout,
            _ => false,
        }
    }

    /// What the client is told: what kind of failure, not of whom.
    pub(super) fn answer(&self) -> Answer {
        let bad_gateway = |text: &str| Answer::new(StatusCode::BAD_GATEWAY, text);
        let too_late = |text: &str| Answer::new(StatusCode::GATEWAY_TIMEOUT, text);
        match self {
            Self::Unavailable(_) | Self::NotKnown => Answer::unavailable("no endpoint can take this request"),
            Self::Connect(error) if error.is_ours() => {
                Answer::unavailable("this router has no room for another request")
            }
            Self::Connect(error) if error.is_timeout() => too_late("no endpoint could be reached in time"),
            Self::Connect(_) => bad_gateway("no endpoint could be reached"),
            Self::Unsent | Self::Reset { .. } => bad_gateway("the endpoint went away without an answer"),
            Self::BadAnswer(_) => bad_gateway("the endpoint's answer is no valid HTTP/1.1"),
            Self::Silence => too_late("no endpoint answered in time"),
            Self::Stalled => {
                let text = "the request's body did not come in time";
                Answer::new(StatusCode::REQUEST_TIMEOUT, text).closing()
            }
            Self::Broken => Answer::new(StatusCode::BAD_REQUEST, "the request's body broke off").closing(),
        }
    }
}

/// Checks what hyper leaves to its user: an answer that the next reader could cut differently goes no further.
pub(super) fn judge(answer: &Response<Incoming>) -> Result<(), BadAnswer> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadAnswer::Upgrade);
    }
    judge_framing(answer.version(), answer.headers())
}

fn judge_framing(version: Version, headers: &HeaderMap) -> Result<(), BadAnswer> {
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    // Any coding but `chunked` would be lost with the field, and the body would be taken for what it is not.
    let mut codings = tokens(headers, &header::TRANSFER_ENCODING);
    let chunked = codings
        .next()
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let alone = codings.next().is_none() && !headers.contains_key(header::CONTENT_LENGTH);
    match chunked && alone && version == Version::HTTP_11 {
        true => Ok(()),
        false => Err(BadAnswer::Framing),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::HeaderName;

    use super::*;

    fn framing(fields: &[(&'static str, &str)]) -> Result<(), BadAnswer> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        judge_framing(Version::HTTP_11, &headers)
    }

    const CODING: &str = "transfer-encoding";

    #[test]
    fn an_answer_with_one_reading_passes() {
        assert_eq!(framing(&[]), Ok(()));
        assert_eq!(framing(&[("content-length", "5")]), Ok(()));
        assert_eq!(framing(&[(CODING, "Chunked")]), Ok(()));
    }

    #[test]
    fn an_answer_with_two_readings_does_not() {
        let bad = Err(BadAnswer::Framing);
        assert_eq!(framing(&[(CODING, "chunked"), ("content-length", "5")]), bad);
        assert_eq!(framing(&[(CODING, "gzip, chunked")]), bad);
        assert_eq!(framing(&[(CODING, "chunked"), (CODING, "chunked")]), bad);
        assert_eq!(framing(&[(CODING, "gzip")]), bad);
        assert_eq!(framing(&[(CODING, "")]), bad);
    }

    #[test]
    fn only_what_cannot_have_begun_or_can_be_repeated_is_tried_elsewhere() {
        let always = Retry {
            attempts: 3,
            on_connect: true,
            on_timeout: true,
        };
        let reset = |sent| Trouble::Reset { sent };
        let refused = || Trouble::Connect(NotConnected::Tcp(io::ErrorKind::ConnectionRefused.into()));
        for (trouble, retried) in [
            (refused(), true),
            (Trouble::Unsent, true),
            (reset(Sent::Repeatable), true),
            (reset(Sent::Whole), false),
            (reset(Sent::Part), false),
            (reset(Sent::OnOldLink), false),
            (Trouble::BadAnswer(BadAnswer::Garbage), false),
            (Trouble::Silence, false),
            (Trouble::Stalled, false),
        ] {
            assert_eq!(trouble.may_retry(always), retried, "{trouble}");
        }
        let only_connect = Retry {
            on_timeout: false,
            ..always
        };
        assert!(refused().may_retry(only_connect) && !Trouble::Unsent.may_retry(only_connect));
    }

    #[test]
    fn an_endpoint_is_blamed_only_for_what_it_did() {
        let reset = |sent| Trouble::Reset { sent };
        assert_eq!(reset(Sent::Whole).blame(), Some(Failure::Reset));
        assert_eq!(reset(Sent::Part).blame(), None);
        assert_eq!(reset(Sent::OnOldLink).blame(), None);
        assert_eq!(Trouble::Stalled.blame(), None);
        assert_eq!(Trouble::Silence.blame(), None);
        let no_port = io::Error::from_raw_os_error(rustix::io::Errno::ADDRNOTAVAIL.raw_os_error());
        assert_eq!(Trouble::Connect(NotConnected::Tcp(no_port)).blame(), None);
    }
}
