//! When a session must act though no byte came.
//!
//! In: what happened and when. Out: the next moment at which [`Clock::due`] has something to say, and what.
//!
//! - One timer serves a session: the earliest of its deadlines. Traffic does not touch the timer; it is looked at again
//!   when it fires, so a busy session pays nothing for its idle timeout.
//! - Pings go to one peer at a time, first the client, then the backend, so that one answer is awaited at most.
//!
//! Not here: what a deadline leads to ([`super::Relay`]).

use std::time::Duration;

use tokio::time::Instant;

use crate::config::SessionLimits;

/// The deadlines of one session.
#[derive(Debug)]
pub(super) struct Clock {
    last_activity: Instant,
    idle: Duration,
    lifetime: Option<Instant>,
    cut: Option<Instant>,
    pings: Option<Pings>,
}

#[derive(Debug)]
struct Pings {
    interval: Duration,
    timeout: Duration,
    /// The next round while resting, the pong's deadline while waiting for one.
    at: Instant,
    state: Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    Resting,
    /// Asked for, but no boundary came yet.
    Wanted(Leg),
    Waiting(Leg),
}

/// The connection with one of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    Client,
    Backend,
}

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The time to end properly is over.
    Cut,
    /// Nothing moved for too long.
    Idle,
    /// The session is old enough.
    Lifetime,
    /// A round of Pings begins, with this leg.
    Ping(Leg),
    /// The peer did not answer a Ping.
    PongTimeout,
}

// === impl Clock ===

impl Clock {
    pub(super) fn new(limits: &SessionLimits, now: Instant) -> Self {
        Self {
            last_activity: now,
            idle: limits.idle_timeout,
            lifetime: limits.max_lifetime.map(|limit| now + jittered(limit)),
            cut: None,
            pings: limits.ping_interval.map(|interval| Pings {
                interval,
                timeout: limits.ping_timeout,
                at: now + interval,
                state: Ping::Resting,
            }),
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Instant {
        let idle = self.last_activity + self.idle;
        let ping = self
            .pings
            .as_ref()
            .filter(|pings| !matches!(pings.state, Ping::Wanted(_)))
            .map(|pings| pings.at);
        [self.lifetime, self.cut, ping]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    /// What is due; asked again until it is nothing.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.cut.is_some_and(|at| at <= now) {
            return Some(Due::Cut);
        }
        if self.lifetime.is_some_and(|at| at <= now) {
            self.lifetime = None;
            return Some(Due::Lifetime);
        }
        if self.last_activity + self.idle <= now {
            self.last_activity = now;
            return Some(Due::Idle);
        }
        let pings = self.pings.as_mut().filter(|pings| pings.at <= now)?;
        match pings.state {
            Ping::Resting => {
                pings.state = Ping::Wanted(Leg::Client);
                Some(Due::Ping(Leg::Client))
            }
            Ping::Wanted(_) => None,
            Ping::Waiting(_) => {
                self.pings = None;
                Some(Due::PongTimeout)
            }
        }
    }

    /// Bytes moved.
    pub(super) fn active(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// The session is ending: it is cut at this moment, or earlier if that was said before.
    pub(super) fn cut_at(&mut self, at: Instant) {
        self.cut = Some(self.cut.map_or(at, |before| before.min(at)));
    }

    /// A Close of ours has only now gone out, perhaps after waiting for its boundary: its answer gets its own time.
    pub(super) fn restart_cut(&mut self, at: Instant) {
        self.cut = Some(at);
    }

    /// From now on only silence, not age, ends the session, and sooner than before.
    pub(super) fn wind_down(&mut self, silence: Duration, now: Instant) {
        self.idle = self.idle.min(silence);
        self.last_activity = now;
        self.lifetime = None;
        self.pings = None;
    }

    /// A Ping went to the leg that was asked for; its Pong is awaited from now on.
    pub(super) fn pinged(&mut self, now: Instant) -> Option<Leg> {
        let pings = self.pings.as_mut()?;
        let Ping::Wanted(leg) = pings.state else {
            return None;
        };
        pings.state = Ping::Waiting(leg);
        pings.at = now + pings.timeout;
        Some(leg)
    }

    /// The Pong came, or this leg cannot be pinged: the next leg to ping, if the round is not over.
    pub(super) fn next_leg(&mut self, now: Instant) -> Option<Leg> {
        let pings = self.pings.as_mut()?;
        match pings.state {
            Ping::Waiting(Leg::Client) | Ping::Wanted(Leg::Client) => {
                pings.state = Ping::Wanted(Leg::Backend);
                Some(Leg::Backend)
            }
            _ => {
                pings.state = Ping::Resting;
                pings.at = now + pings.interval;
                None
            }
        }
    }
}

/// Up to a tenth earlier, so that sessions which opened together do not end together.
fn jittered(limit: Duration) -> Duration {
    limit.mul_f64(1.0 - fastrand::f64() / 10.0)
}
