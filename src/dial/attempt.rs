//! The tries of one handshake.
//!
//! In: a service's balance step, its settings, and the request's head. Out: the first backend's answer, or the failure that
//! ended the last try.
//!
//! An endpoint is blamed ([`Lease::failed`]) only for what it did: a refused or timed-out connect, no TLS where there should
//! be some, a connection that ended before any answer, silence for all of the time or for longer than another one took. A wrong answer is its own, and no
//! other endpoint is asked then.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
};

use discovery::Endpoint;
use futures_util::future::{BoxFuture, Either, select};
use http::{Response, StatusCode, response};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::Service as _;

use super::{
    connect::{Backend, NotConnected, connect},
    offer::{Reply, Unanswered, offer},
};
use crate::{
    answer::Answer,
    balance::{Balance, Bond, Failure, Lease, Pick, Tried, Unavailable},
    config,
    listen::Upgrade,
    telemetry::metrics::HandshakeEnd,
    timers::timeout_at,
    tls::Target,
};

/// The tries of one handshake.
#[derive(Clone)]
pub(super) struct Attempts<'a> {
    balance: Balance,
    settings: &'a config::Service,
    offered: Offered<'a>,
    deadline: Instant,
    tried: Tried,
    bond: Bond,
}

/// What every endpoint that is tried is offered.
#[derive(Clone, Copy)]
pub(super) struct Offered<'a> {
    /// What its 101 must answer.
    pub(super) upgrade: &'a Upgrade,
    /// The request's head.
    pub(super) head: &'a [u8],
    /// TLS, where the service wants it.
    pub(super) tls: Option<&'a Target>,
}

/// A backend's answer.
pub(super) enum Success {
    /// A valid 101.
    Upgraded {
        head: response::Parts,
        stream: Backend,
        early: Vec<u8>,
        lease: Lease,
    },
    /// Any other.
    Refused {
        response: Response<Incoming>,
        endpoint: Arc<Endpoint>,
    },
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
    #[error(transparent)]
    Connect(NotConnected),
    #[error("{0}")]
    Unanswered(Unanswered),
    #[error("no answer in time")]
    Silence,
}

/// How one try ended.
enum Try {
    Answered(Result<Reply, Unanswered>),
    NotConnected(NotConnected),
}

impl<'a> Attempts<'a> {
    /// All of them together end when the service's time is up, counted from `started`.
    pub(super) fn new(
        balance: Balance,
        settings: &'a config::Service,
        started: Instant,
        offered: Offered<'a>,
    ) -> Self {
        let deadline = started + settings.handshake_timeout;
        Self {
            balance,
            settings,
            offered,
            deadline,
            tried: Tried::new(),
            bond: Bond::None,
        }
    }

    /// The same, for endpoints that a bond names.
    pub(super) fn bound(self, bond: Bond) -> Self {
        Self { bond, ..self }
    }

    /// Tries until one answers, the tries or the time are used up, or nothing is left to try.
    pub(super) async fn run(mut self) -> Result<Success, Failed> {
        let lease = self.pick().await.map_err(|why| self.failed(why, None))?;
        self.begin_with(lease).await
    }

    async fn begin_with(mut self, mut lease: Lease) -> Result<Success, Failed> {
        loop {
            self.tried.add(&lease.endpoint().identity);
            let mut reply = pin!(self.dial(lease.endpoint().address));
            let Some(tried) = self.wait(reply.as_mut()).await else {
                // Boxed: hardly any handshake needs it, and all would have room for it.
                return Box::pin(self.beside(reply, lease)).await;
            };
            let (failed, again) = match self.judge(tried, lease) {
                Ok(success) => return Ok(success),
                Err(failed) => failed,
            };
            if !again || self.tried.len() >= self.settings.retry.attempts {
                return Err(failed);
            }
            lease = match self.pick().await {
                Ok(lease) => lease,
                // What went wrong with the endpoints that there are says more than that there are no others.
                Err(_) => return Err(failed),
            };
        }
    }

    /// Waits for one try: for half of the time left where another may be made beside it, else for all of it.
    async fn wait(&self, reply: Pin<&mut impl Future<Output = Try>>) -> Option<Try> {
        let retry = self.settings.retry;
        let may_hedge = retry.on_timeout && self.tried.len() < retry.attempts;
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        let patience = if may_hedge { left / 2 } else { left };
        timeout_at(now + patience, reply).await.ok()
    }

    /// A try has been silent for long: another endpoint is tried beside it, and who answers first has the session. So a
    /// backend that hangs costs half of the time, and backends that are slow cost nothing but the second dial.
    async fn beside(
        mut self,
        mut reply: Pin<&mut (impl Future<Output = Try> + Send)>,
        lease: Lease,
    ) -> Result<Success, Failed> {
        let silence = self.failed(Why::Silence, Some(lease.endpoint().address));
        let next = if Instant::now() < self.deadline {
            self.pick().await.ok()
        } else {
            None
        };
        let Some(next) = next else {
            return self.finish(reply, lease, silence).await;
        };
        match select(reply.as_mut(), self.clone().boxed(next)).await {
            Either::Left((tried, others)) => match self.judge(tried, lease) {
                Ok(success) => Ok(success),
                Err(_) => others.await,
            },
            Either::Right((Ok(success), _)) => {
                // Asked earlier than one that has answered.
                lease.failed(Failure::Timeout);
                Ok(success)
            }
            Either::Right((Err(failed), _)) => self.finish(reply, lease, failed).await,
        }
    }

    /// Waits for one try until the time is over; `failed` says why there is no other.
    async fn finish(
        self,
        reply: Pin<&mut (impl Future<Output = Try> + Send)>,
        lease: Lease,
        failed: Failed,
    ) -> Result<Success, Failed> {
        if let Ok(tried) = timeout_at(self.deadline, reply).await {
            return self.judge(tried, lease).map_err(|(failed, _)| failed);
        }
        // Only the first has had all of the time.
        if self.tried.len() == 1 {
            lease.failed(Failure::Timeout);
        }
        Err(failed)
    }

    fn boxed(self, lease: Lease) -> BoxFuture<'a, Result<Success, Failed>> {
        Box::pin(self.begin_with(lease))
    }

    /// What a try means for its endpoint, and for the handshake: the failure says whether another may be asked.
    fn judge(&self, tried: Try, lease: Lease) -> Result<Success, (Failed, bool)> {
        let retry = self.settings.retry;
        let endpoint = Some(lease.endpoint().address);
        match tried {
            Try::Answered(Ok(reply)) => Ok(success(reply, lease)),
            Try::Answered(Err(error @ Unanswered::Reset(_))) => {
                lease.failed(Failure::Reset);
                Err((self.failed(Why::Unanswered(error), endpoint), retry.on_timeout))
            }
            Try::Answered(Err(error)) => Err((self.failed(Why::Unanswered(error), endpoint), false)),
            Try::NotConnected(error) => {
                if error.blames_endpoint() {
                    lease.failed(Failure::Connect);
                }
                Err((self.failed(Why::Connect(error), endpoint), retry.on_connect))
            }
        }
    }

    fn dial(&self, address: SocketAddr) -> impl Future<Output = Try> + use<'a> {
        let limit = self.settings.connect_timeout;
        let Offered { upgrade, head, tls } = self.offered;
        async move {
            match connect(address, limit, tls, head).await {
                Ok((stream, sent)) => Try::Answered(offer(stream, &head[sent..], upgrade).await),
                Err(error) => Try::NotConnected(error),
            }
        }
    }

    async fn pick(&mut self) -> Result<Lease, Why> {
        let pick = Pick::except(self.tried.clone()).bound(self.bond.clone());
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

fn success(reply: Reply, lease: Lease) -> Success {
    lease.established();
    match reply {
        Reply::Upgraded { head, stream, early } => Success::Upgraded {
            head,
            stream,
            early,
            lease,
        },
        Reply::Refused(response) => Success::Refused {
            response,
            endpoint: Arc::clone(lease.endpoint()),
        },
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
            Self::Connect(error) if error.is_ours() => HandshakeEnd::Overloaded,
            Self::Connect(error) if error.is_timeout() => HandshakeEnd::TimedOut,
            Self::Connect(_) | Self::Unanswered(Unanswered::Reset(_) | Unanswered::OwnCertificate(_)) => {
                HandshakeEnd::ConnectFailed
            }
            Self::Unanswered(_) => HandshakeEnd::BadAnswer,
            Self::Silence => HandshakeEnd::TimedOut,
        }
    }
}
