//! An answer of an agent: what its head says, and what it means when it is not a 200.
//!
//! In: a response that has arrived in full. Out: a [`Head`] and the body, or a [`Failure`] that says what to do about it.
//! Headers that are missing or nonsense are as if they were not there: agents that stream have some of them not.

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response::Parts};

use crate::provider::Error;

/// What the head of an answer says of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The registry's index; 0 where it says none.
    pub(super) index: u64,
    /// How long ago the server that answered had heard of a leader, if it says so.
    pub(super) last_contact: Option<Duration>,
    /// It comes from a stream of changes that the agent keeps. Its index is that of the stream, and nothing tells how old
    /// it is: the agent says 0 even when there has been no leader for an hour.
    pub(super) streamed: bool,
    /// Something was left out that the token may not see.
    pub(super) filtered: bool,
    /// Stands for what one agent knows by itself, to be handed back; only equal or not.
    pub(super) hash: Option<Box<str>>,
}

/// A 200 that has arrived in full.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: Bytes,
}

/// Why there is no answer to go by.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing was asked: a file that is named cannot be used.
    #[error("cannot use {file}")]
    File {
        file: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("cannot connect to {agent}")]
    Connect {
        agent: String,
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// `fresh`: on a connection that had answered nothing yet.
    #[error("the connection to {agent} broke before its answer was complete")]
    Broken {
        agent: String,
        fresh: bool,
        #[source]
        source: hyper::Error,
    },
    #[error("{agent} did not answer within {waited:?}")]
    Silent { agent: String, waited: Duration },
    #[error("{agent} answered more than {most} bytes")]
    Huge { agent: String, most: usize },
    #[error("{agent} answered {status}: {says}")]
    Status {
        agent: String,
        status: StatusCode,
        says: Said,
    },
    #[error("{agent} answered what is not the JSON of {path}: {what}")]
    Garbage {
        agent: String,
        path: &'static str,
        what: Said,
    },
    #[error(
        "the token may not read the service {service:?}, or its nodes: allow it `service:read` and `node:read`"
    )]
    Hidden { service: String },
}

/// Words that came from outside: short, and on one line.
pub(super) struct Said(String);

impl Head {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        let word = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        let streamed = word("x-consul-query-backend").is_some_and(|word| word == b"streaming");
        let last_contact = number("x-consul-lastcontact").map(Duration::from_millis);
        Self {
            index: number("x-consul-index").unwrap_or(0),
            last_contact: last_contact.filter(|_| !streamed),
            streamed,
            filtered: word("x-consul-results-filtered-by-acls").is_some_and(|word| word == b"true"),
            hash: headers
                .get("x-consul-contenthash")
                .and_then(|hash| Some(hash.to_str().ok()?.into())),
        }
    }
}

impl Answer {
    /// Takes a response that has arrived in full.
    pub(super) fn try_new(agent: &str, head: &Parts, body: Bytes) -> Result<Self, Failure> {
        if head.status != StatusCode::OK {
            return Err(Failure::Status {
                agent: agent.to_owned(),
                status: head.status,
                says: Said::new(&String::from_utf8_lossy(&body)),
            });
        }
        Ok(Self {
            head: Head::of(&head.headers),
            body,
        })
    }
}

impl Failure {
    /// Whether another agent may do better.
    pub(super) fn is_of_this_agent(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Silent { .. } => true,
            Self::Huge { .. } | Self::Garbage { .. } => true,
            Self::Status { status, says, .. } => {
                let away = status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS;
                away && !says.is_of_the_filter()
            }
            Self::File { .. } | Self::Hidden { .. } => false,
        }
    }

    /// Whether the agent takes no more connections from here. It says so, and closes; `often` the close is faster.
    pub(super) fn is_of_crowding(&self, often: bool) -> bool {
        match self {
            Self::Broken { fresh, .. } => *fresh && often,
            Self::Status { status, says, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS && says.0.contains("concurrent connections")
            }
            _ => false,
        }
    }

    /// What the agent answered, if it did.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let refused = match &failure {
            Failure::Status { status, says, .. } => status.is_client_error() || says.is_of_the_filter(),
            Failure::Hidden { .. } => true,
            _ => false,
        };
        let boxed = Box::new(failure);
        if refused {
            Self::Rejected(boxed)
        } else {
            Self::Transient(boxed)
        }
    }
}

impl Said {
    pub(super) fn new(words: &str) -> Self {
        let mut short = String::new();
        for c in words.trim().chars().take(LONGEST) {
            match c.is_control() {
                true => short.extend(c.escape_default()),
                false => short.push(c),
            }
        }
        if words.trim().chars().nth(LONGEST).is_some() {
            short.push_str("...");
        }
        Self(short)
    }

    /// An expression that cannot be read is a 500, as if the agent had failed.
    fn is_of_the_filter(&self) -> bool {
        self.0.contains("boolean expression evaluator")
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Consul's own messages are shorter.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse().unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    fn refused(status: u16, says: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::Status {
            agent: "a".into(),
            status,
            says: Said::new(says),
        }
    }

    #[test]
    fn a_head_is_read_and_what_is_missing_or_nonsense_is_as_if_not_there() {
        let full = headers(&[
            ("x-consul-index", "42"),
            ("x-consul-lastcontact", "1500"),
            ("x-consul-knownleader", "true"),
            ("x-consul-results-filtered-by-acls", "true"),
            ("x-consul-contenthash", "f42afb6a3e4ff0c6"),
        ]);
        let head = Head::of(&full);
        assert_eq!(
            (head.index, head.last_contact),
            (42, Some(Duration::from_millis(1500)))
        );
        assert!(head.filtered && head.hash.as_deref() == Some("f42afb6a3e4ff0c6"));
        let odd = headers(&[
            ("x-consul-index", "-1"),
            ("x-consul-lastcontact", "soon"),
            ("x-consul-contenthash", "é"),
        ]);
        assert_eq!(Head::of(&odd), Head::default());
        assert_eq!(Head::of(&HeaderMap::new()), Head::default());
        let streamed = headers(&[
            ("x-consul-query-backend", "streaming"),
            ("x-consul-lastcontact", "0"),
        ]);
        assert_eq!(
            (Head::of(&streamed).streamed, Head::of(&streamed).last_contact),
            (true, None)
        );
    }

    #[test]
    fn a_permission_is_not_sought_at_another_agent_but_an_outage_is() {
        for (status, elsewhere, rejected) in [
            (500, true, false),
            (503, true, false),
            (429, true, true),
            (403, false, true),
            (400, false, true),
        ] {
            assert_eq!(refused(status, "no").is_of_this_agent(), elsewhere, "{status}");
            assert_eq!(
                matches!(refused(status, "no").into(), Error::Rejected(_)),
                rejected,
                "{status}"
            );
        }
    }

    #[test]
    fn an_expression_that_cannot_be_read_is_refused_though_consul_takes_the_blame() {
        let says = "Failed to create boolean expression evaluator: 1:15 (14): no match found";
        assert!(!refused(500, says).is_of_this_agent());
        assert!(matches!(refused(500, says).into(), Error::Rejected(_)));
    }

    #[test]
    fn crowding_is_told_from_a_rate_limit() {
        assert!(
            refused(
                429,
                "Your IP is issuing too many concurrent connections, please.."
            )
            .is_of_crowding(true)
        );
        assert!(!refused(429, "rate limit exceeded, try again later").is_of_crowding(true));
        assert!(!refused(503, "too many concurrent connections").is_of_crowding(true));
    }

    #[test]
    fn words_from_outside_stay_short_and_on_one_line() {
        let says = Said::new(&format!("a\nb\u{1b}[31m{}", "x".repeat(1000))).to_string();
        assert!(
            says.starts_with("a\\nb\\u{1b}[31mxxx") && says.ends_with("x..."),
            "{says}"
        );
        assert!(says.len() < 250);
    }
}
