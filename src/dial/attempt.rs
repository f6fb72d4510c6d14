//! The tries of one handshake.
//!
//! In: a service's balance step, its settings, and the request's head. Out: the first backend's answer, or the failure that
//! ended the last try.
//!
//! An endpoint is blamed ([`Lease::failed`]) only for what it did: a refused or timed-out connect, silence, or a
//! connection that ended before any answer. A wrong answer is its own, and no other endpoint is asked then.

use std::net::SocketAddr;

use http::{Response, StatusCode, response};
use hyper::body::Incoming;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tower::Service as _;

use super::{
    connect::{blames_endpoint, connect},
    offer::{Reply, Unanswered, offer},
};
use crate::{
    answer::Answer,
    balance::{Balance, Failure, Lease, Pick, Tried, Unavailable},
    config,
    listen::Upgrade,
    telemetry::metrics::HandshakeEnd,
};

/// The tries of one handshake.
pub(super) struct Attempts<'a> {
    balance: Balance,
    settings: &'a config::Service,
    upgrade: &'a Upgrade,
    head: &'a [u8],
    deadline: Instant,
    tried: Tried,
}

/// A backend's answer.
pub(super) enum Success {
    /// A valid 101.
    Upgraded {
        head: response::Parts,
        stream: TcpStream,
        early: Vec<u8>,
        lease: Lease,
    },
    /// Any other.
    Refused(Response<Incoming>),
}

/// Why a handshake has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct Failed {
    why: Why,
    /// What it is counted as.
    pub(super) end: HandshakeEnd,
    /// The endpoint of the last try.
    pub(super) endpoint: Option<SocketAddr>,
    /// How many were made.
    pub(super) tries: usize,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("no endpoint: {0}")]
    Unavailable(Unavailable),
    #[error("the endpoints were not known in time")]
    NotKnown,
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("{0}")]
    Unanswered(Unanswered),
    #[error("no answer in time")]
    Silence,
}

/// How one try ended.
enum Try {
    Answered(Result<Reply, Unanswered>),
    NotConnected(std::io::Error),
}

impl<'a> Attempts<'a> {
    /// `head` is the request's, the same for every endpoint.
    pub(super) fn new(
        balance: Balance,
        settings: &'a config::Service,
        started: Instant,
        upgrade: &'a Upgrade,
        head: &'a [u8],
    ) -> Self {
        let deadline = started + settings.handshake_timeout;
        Self {
            balance,
            settings,
            upgrade,
            head,
            deadline,
            tried: Tried::new(),
        }
    }

    /// Tries until one answers, the tries or the time are used up, or nothing is left to try.
    pub(super) async fn run(mut self) -> Result<Success, Failed> {
        let mut lease = self.pick().await.map_err(|why| self.failed(why, None))?;
        loop {
            let endpoint = lease.endpoint().address;
            self.tried.add(&lease.endpoint().identity);
            let (why, next) = match self.try_one(&lease).await {
                Ok(Try::Answered(Ok(reply))) => return Ok(success(reply, lease)),
                Ok(Try::Answered(Err(error))) => match error {
                    Unanswered::Reset(_) => {
                        lease.failed(Failure::Reset);
                        (Why::Unanswered(error), self.settings.retry.on_timeout)
                    }
                    Unanswered::Garbage(_) | Unanswered::BadUpgrade(_) => {
                        return Err(self.failed(Why::Unanswered(error), Some(endpoint)));
                    }
                },
                Ok(Try::NotConnected(error)) => {
                    if blames_endpoint(&error) {
                        lease.failed(Failure::Connect);
                    }
                    (Why::Connect(error), self.settings.retry.on_connect)
                }
                Err(Silent::Elsewhere(next)) => {
                    lease.failed(Failure::Timeout);
                    lease = next;
                    continue;
                }
                Err(Silent::Over) => {
                    lease.failed(Failure::Timeout);
                    return Err(self.failed(Why::Silence, Some(endpoint)));
                }
            };
            if !next || self.tried.len() >= self.settings.retry.attempts {
                return Err(self.failed(why, Some(endpoint)));
            }
            lease = match self.pick().await {
                Ok(lease) => lease,
                // What went wrong with the endpoints that there are says more than that there are no others.
                Err(_) => return Err(self.failed(why, Some(endpoint))),
            };
        }
    }

    /// One try, for as long as it may take. While others may follow that is half of the time left, and all of it if
    /// then there turns out to be no other endpoint.
    async fn try_one(&mut self, lease: &Lease) -> Result<Try, Silent> {
        let retry = self.settings.retry;
        let mut reply = std::pin::pin!(self.dial(lease.endpoint().address));
        if retry.on_timeout && self.tried.len() < retry.attempts {
            let half = Instant::now() + self.deadline.saturating_duration_since(Instant::now()) / 2;
            if let Ok(reply) = timeout_at(half, reply.as_mut()).await {
                return Ok(reply);
            }
            let pick = Pick::except(self.tried.clone());
            if let Ok(Ok(next)) = timeout_at(half, self.balance.clone().call(pick)).await {
                return Err(Silent::Elsewhere(next));
            }
        }
        timeout_at(self.deadline, reply).await.map_err(|_| Silent::Over)
    }

    fn dial(&self, address: SocketAddr) -> impl Future<Output = Try> + use<'a> {
        let limit = self.settings.connect_timeout;
        let (head, upgrade) = (self.head, self.upgrade);
        async move {
            match connect(address, limit).await {
                Ok(stream) => Try::Answered(offer(stream, head, upgrade).await),
                Err(error) => Try::NotConnected(error),
            }
        }
    }

    async fn pick(&mut self) -> Result<Lease, Why> {
        let pick = Pick::except(self.tried.clone());
        match timeout_at(self.deadline, self.balance.call(pick)).await {
            Ok(picked) => picked.map_err(Why::Unavailable),
            Err(_) => Err(Why::NotKnown),
        }
    }

    fn failed(&self, why: Why, endpoint: Option<SocketAddr>) -> Failed {
        Failed {
            end: why.end(),
            why,
            endpoint,
            tries: self.tried.len(),
        }
    }
}

/// A try that took too long.
enum Silent {
    /// Another endpoint is to be tried.
    Elsewhere(Lease),
    /// The time of the handshake is over.
    Over,
}

fn success(reply: Reply, lease: Lease) -> Success {
    lease.established();
    match reply {
        Reply::Upgraded { head, stream, early } => Success::Upgraded {
            head,
            stream,
            early,
            lease,
        },
        Reply::Refused(response) => Success::Refused(response),
    }
}

// === impl Failed ===

impl Failed {
    /// What the client is told: what kind of failure, not of whom.
    pub(super) fn answer(&self) -> Answer {
        match self.end {
            HandshakeEnd::NoEndpoint => Answer::unavailable("no endpoint can take this session"),
            HandshakeEnd::Overloaded => Answer::unavailable("this router has no room for another session"),
            HandshakeEnd::TimedOut => {
                Answer::new(StatusCode::GATEWAY_TIMEOUT, "no endpoint answered in time")
            }
            HandshakeEnd::BadAnswer => Answer::new(
                StatusCode::BAD_GATEWAY,
                "the endpoint's answer is no valid upgrade",
            ),
            _ => Answer::new(StatusCode::BAD_GATEWAY, "no endpoint could be reached"),
        }
    }
}

impl Why {
    fn end(&self) -> HandshakeEnd {
        match self {
            Self::Unavailable(_) | Self::NotKnown => HandshakeEnd::NoEndpoint,
            Self::Connect(error) if !blames_endpoint(error) => HandshakeEnd::Overloaded,
            Self::Connect(error) if error.kind() == std::io::ErrorKind::TimedOut => HandshakeEnd::TimedOut,
            Self::Connect(_) | Self::Unanswered(Unanswered::Reset(_)) => HandshakeEnd::ConnectFailed,
            Self::Unanswered(_) => HandshakeEnd::BadAnswer,
            Self::Silence => HandshakeEnd::TimedOut,
        }
    }
}
