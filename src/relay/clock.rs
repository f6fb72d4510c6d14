//! When a session must act though no byte came.
//!
//! In: what happened and when. Out: the next moment at which [`Clock::due`] has something to say, and what.
//!
//! - One timer serves a session: the earliest of its deadlines. Traffic does not touch the timer; it is looked at again
//!   when it fires, so a busy session pays nothing for its idle timeout.
//! - Pings go to one peer at a time, first the client, then the backend, so that one answer is awaited at most. A Ping
//!   that finds no place between two frames in time is skipped, so that one stalled peer does not hide the other.
//!
//! Not here: what a deadline leads to ([`super::Relay`]).

use std::time::Duration;

use tokio::time::Instant;

use super::Leg;
use crate::config::SessionLimits;

/// The deadlines of one session.
#[derive(Debug)]
pub(super) struct Clock {
    last_activity: Instant,
    idle: Duration,
    lifetime: Option<Instant>,
    cut: Option<Instant>,
    pings: Option<Box<Pings>>,
}

#[derive(Debug)]
struct Pings {
    interval: Duration,
    timeout: Duration,
    /// The next round while resting, else the deadline for what is waited for.
    at: Instant,
    state: Ping,
    /// How the pinged peer stood when it was last looked at.
    seen: Standing,
}

/// How far a peer has come with what it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) sent: u64,
    /// It has begun a frame and not ended it.
    pub(super) inside_frame: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    Resting,
    /// Asked for, but no boundary came yet.
    Wanted(Leg),
    /// On its way, or unanswered.
    Waiting(Leg),
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
    /// A Ping found no place between two frames.
    Unplaced(Leg),
    /// The peer did not answer a Ping.
    Unanswered(Leg),
}

// === impl Clock ===

impl Clock {
    pub(super) fn new(limits: &SessionLimits, now: Instant) -> Self {
        Self {
            last_activity: now,
            idle: limits.idle_timeout,
            lifetime: limits.max_lifetime.map(|limit| now + jittered(limit)),
            cut: None,
            pings: limits.ping_interval.map(|interval| {
                Box::new(Pings {
                    interval,
                    timeout: limits.ping_timeout,
                    at: now + interval,
                    state: Ping::Resting,
                    seen: Standing::default(),
                })
            }),
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Instant {
        let idle = self.last_activity + self.idle;
        let ping = self.pings.as_ref().map(|pings| pings.at);
        [self.lifetime, self.cut, ping]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    /// What is due; asked again until it is nothing. Each answer moves or removes its own deadline, except for a Ping
    /// and a cut: those are moved or acted on by who asks.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.cut.is_some_and(|at| at <= now) {
            return Some(Due::Cut);
        }
        if self.lifetime.take_if(|at| *at <= now).is_some() {
            return Some(Due::Lifetime);
        }
        if self.last_activity + self.idle <= now {
            self.last_activity = now;
            return Some(Due::Idle);
        }
        let pings = self.pings.as_mut().filter(|pings| pings.at <= now)?;
        Some(match pings.state {
            Ping::Resting => {
                pings.want(Leg::Client, now);
                Due::Ping(Leg::Client)
            }
            Ping::Wanted(leg) => Due::Unplaced(leg),
            Ping::Waiting(leg) => Due::Unanswered(leg),
        })
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

    /// From now on so much silence ends the session, and nobody is pinged. Its lifetime stays.
    pub(super) fn wind_down(&mut self, silence: Duration, now: Instant) {
        self.idle = self.idle.min(silence);
        self.last_activity = now;
        self.pings = None;
    }

    /// The Ping that was asked for is on its way to a peer that stands here; its Pong is awaited from now on.
    pub(super) fn pinged(&mut self, now: Instant, seen: Standing) {
        if let Some(pings) = &mut self.pings
            && let Ping::Wanted(leg) = pings.state
        {
            pings.state = Ping::Waiting(leg);
            pings.at = now + pings.timeout;
            pings.seen = seen;
        }
    }

    /// Gives the pinged peer, which stands here, as much time again. Says whether it has spent the last one in a frame:
    /// an answer could not come before its end, and may have come too late behind it.
    pub(super) fn ask_again(&mut self, now: Instant, seen: Standing) -> bool {
        self.pings.as_mut().is_some_and(|pings| {
            pings.at = now + pings.timeout;
            let before = std::mem::replace(&mut pings.seen, seen);
            before.sent != seen.sent && (before.inside_frame || seen.inside_frame)
        })
    }

    /// The Pong came, or none can: the next leg to ping, if the round is not over.
    pub(super) fn next_leg(&mut self, now: Instant) -> Option<Leg> {
        let pings = self.pings.as_mut()?;
        match pings.state {
            Ping::Waiting(Leg::Client) | Ping::Wanted(Leg::Client) => {
                pings.want(Leg::Backend, now);
                Some(Leg::Backend)
            }
            Ping::Waiting(Leg::Backend) | Ping::Wanted(Leg::Backend) | Ping::Resting => {
                pings.state = Ping::Resting;
                pings.at = now + pings.interval;
                None
            }
        }
    }
}

// === impl Pings ===

impl Pings {
    fn want(&mut self, leg: Leg, now: Instant) {
        self.state = Ping::Wanted(leg);
        self.at = now + self.timeout;
    }
}

/// Up to a tenth earlier, so that sessions which opened together do not end together.
fn jittered(limit: Duration) -> Duration {
    limit.mul_f64(1.0 - fastrand::f64() / 10.0)
}
