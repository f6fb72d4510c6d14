//! Whether an endpoint is left out of picks because of what its last sessions met: one endpoint's state machine.
//!
//! A dead endpoint has the fewest sessions, so without this least-connection would send it every new one.
//!
//! In: verdicts of leases, and the time. Out: whether the endpoint is out, whether one session may try it, and until when.
//!
//! ```text
//!       failed dial, or 3 resets or early drops in a row          time is over                  picked
//! Admitted ------------------------------------------> Ejected ----------------> Open -------------------> Trial
//!    ^                                                  ^                         ^                        | | |
//!    |                                                  |                         +-- dropped, no verdict -+ | |
//!    |                                                  +------------ failed, or dropped early --------------+ |
//!    +--------------------- established (after early drops: and lasted a second, as Proving) ------------------+
//! ```
//!
//! The n-th ejection in a row lasts between half of and the whole of 2^n seconds, at most 30, evenly at random: 1-2 s,
//! 2-4, 4-8, 8-16, 15-30, 15-30 ... A success starts again at 1-2 s. Failures while ejected do not count: only a failed
//! trial makes it longer.
//!
//! Not here: which endpoints are candidates, and what happens when all are ejected ([`super::picker`]).

mod stamp;

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

pub(super) use self::stamp::{Stamp, Verdict};

/// The longest ejection.
const LONGEST: Duration = Duration::from_secs(30);
/// Early drops in a row that eject.
const EARLY_DROPS: u8 = 3;
/// Connections in a row that ended before an answer, and eject.
const RESETS: u8 = 3;
/// What a session must outlive for its endpoint to count as one that keeps sessions.
const LASTING: Duration = Duration::from_secs(1);

/// The ejection state of one endpoint.
#[derive(Debug)]
pub(super) struct Ejection {
    state: State,
    /// Changes whenever the endpoint is ejected or brought back; a verdict of an older epoch is out of date.
    epoch: u32,
    /// Ejections since the last success.
    failures: u32,
    /// Early drops since a session lasted.
    early_drops: u8,
    /// Connections ended before an answer since one was answered.
    resets: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Admitted,
    Ejected {
        until: Instant,
        cause: Cause,
    },
    Open {
        since: Instant,
        cause: Cause,
    },
    Trial {
        since: Instant,
        cause: Cause,
    },
    /// The trial got its 101, which an endpoint that drops sessions gives too: it has to last until then.
    Proving {
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Dial,
    EarlyDrops,
}

impl Ejection {
    pub(super) fn new() -> Self {
        Self {
            state: State::Admitted,
            epoch: 0,
            failures: 0,
            early_drops: 0,
            resets: 0,
        }
    }

    /// Another address under the same identity: what was learnt at the old one says nothing of it.
    pub(super) fn forget(&mut self) {
        *self = Self {
            epoch: next(self.epoch),
            ..Self::new()
        };
    }

    /// Whether it is left out of picks while another endpoint is left.
    pub(super) fn is_out(&self) -> bool {
        match self.state {
            State::Admitted | State::Open { .. } => false,
            State::Ejected { .. } | State::Trial { .. } | State::Proving { .. } => true,
        }
    }

    /// Whether it has not worked since it was last ejected.
    pub(super) fn is_suspect(&self) -> bool {
        self.state != State::Admitted
    }

    /// When its trial opens or opened; `None` if it is not ejected.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            State::Admitted => None,
            State::Ejected { until, .. } | State::Proving { until } => Some(until),
            State::Open { since, .. } | State::Trial { since, .. } => Some(since),
        }
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Open -> Trial: the first pick after the time is over.
    pub(super) fn picked(&mut self) -> Stamp {
        let State::Open { since, cause } = self.state else {
            return Stamp {
                epoch: self.epoch,
                trial: false,
            };
        };
        self.state = State::Trial { since, cause };
        Stamp {
            epoch: self.epoch,
            trial: true,
        }
    }

    /// Admitted, Trial -> Ejected: the dial failed.
    pub(super) fn failed(&mut self, stamp: Stamp, now: Instant, rng: &mut Rng) -> Verdict {
        match self.state {
            State::Admitted if stamp.epoch == self.epoch => self.eject(Cause::Dial, now, rng),
            State::Trial { .. } if self.is_trial(stamp) => self.eject(Cause::Dial, now, rng),
            _ => Verdict::Nothing,
        }
    }

    /// Admitted, Trial -> Ejected: it hung up before an answer, three times in a row. Once may be how it refuses a request
    /// that it does not like, and nobody may put an endpoint out by asking for such.
    pub(super) fn reset(&mut self, stamp: Stamp, now: Instant, rng: &mut Rng) -> Verdict {
        if self.state == State::Admitted && stamp.epoch == self.epoch {
            self.resets += 1;
            if self.resets < RESETS {
                return Verdict::Nothing;
            }
        }
        self.failed(stamp, now, rng)
    }

    /// Admitted, Proving -> Ejected: its sessions do not last.
    pub(super) fn dropped_early(&mut self, stamp: Stamp, now: Instant, rng: &mut Rng) -> Verdict {
        match self.state {
            State::Admitted if stamp.epoch == self.epoch => {
                self.early_drops += 1;
                if self.early_drops < EARLY_DROPS {
                    return Verdict::Nothing;
                }
                self.eject(Cause::EarlyDrops, now, rng)
            }
            State::Trial { .. } | State::Proving { .. } if self.is_trial(stamp) => {
                self.eject(Cause::EarlyDrops, now, rng)
            }
            _ => Verdict::Nothing,
        }
    }

    /// Trial -> Admitted, or Proving after early drops. Ejected, Open -> Admitted too, if it was picked because every
    /// endpoint was ejected and dialling it was what had failed.
    pub(super) fn established(&mut self, stamp: Stamp, now: Instant) -> Verdict {
        if stamp.epoch != self.epoch {
            return Verdict::Nothing;
        }
        self.resets = 0;
        match self.state {
            State::Ejected {
                cause: Cause::Dial, ..
            }
            | State::Open {
                cause: Cause::Dial, ..
            }
            | State::Trial {
                cause: Cause::Dial, ..
            } => self.admit(),
            State::Trial {
                cause: Cause::EarlyDrops,
                ..
            } if stamp.trial => {
                let until = now + LASTING;
                self.state = State::Proving { until };
                Verdict::Proving(until)
            }
            _ => Verdict::Nothing,
        }
    }

    /// Trial, Proving -> Admitted: a session lasts. While admitted it ends the row of early drops.
    pub(super) fn lasted(&mut self, stamp: Stamp) -> Verdict {
        match self.state {
            State::Admitted if stamp.epoch == self.epoch => {
                self.early_drops = 0;
                Verdict::Nothing
            }
            State::Trial { .. } | State::Proving { .. } if self.is_trial(stamp) => self.admit(),
            _ => Verdict::Nothing,
        }
    }

    /// Trial, Proving -> Open: its lease was dropped, and no verdict came before it.
    pub(super) fn ended(&mut self, stamp: Stamp) {
        match self.state {
            State::Trial { since, cause } if self.is_trial(stamp) => {
                self.state = State::Open { since, cause }
            }
            State::Proving { until } if self.is_trial(stamp) => {
                self.state = State::Open {
                    since: until,
                    cause: Cause::EarlyDrops,
                };
            }
            _ => {}
        }
    }

    /// Ejected -> Open, Proving -> Admitted: the time that was asked for in `epoch` has come.
    pub(super) fn expire(&mut self, epoch: u32, now: Instant) -> Verdict {
        match self.state {
            State::Proving { until } if epoch == self.epoch && until <= now => self.admit(),
            State::Ejected { until, .. } if until <= now => self.pardon(epoch, now),
            _ => Verdict::Nothing,
        }
    }

    /// Ejected -> Open before its time: what was wrong was wrong with all endpoints, and is over.
    pub(super) fn pardon(&mut self, epoch: u32, now: Instant) -> Verdict {
        match self.state {
            State::Ejected { until, cause } if epoch == self.epoch => {
                self.state = State::Open {
                    since: until.min(now),
                    cause,
                };
                Verdict::Back
            }
            _ => Verdict::Nothing,
        }
    }

    /// The stamp of a verdict's lease from now on.
    pub(super) fn renewed(&self, stamp: Stamp, verdict: Verdict) -> Stamp {
        match verdict {
            Verdict::Back => Stamp {
                epoch: self.epoch,
                trial: false,
            },
            Verdict::Nothing | Verdict::Out(_) | Verdict::Proving(_) => stamp,
        }
    }

    fn is_trial(&self, stamp: Stamp) -> bool {
        stamp.trial && stamp.epoch == self.epoch
    }

    fn eject(&mut self, cause: Cause, now: Instant, rng: &mut Rng) -> Verdict {
        self.failures = self.failures.saturating_add(1);
        let until = now + duration(self.failures, rng);
        self.epoch = next(self.epoch);
        (self.early_drops, self.resets) = (0, 0);
        self.state = State::Ejected { until, cause };
        Verdict::Out(until)
    }

    fn admit(&mut self) -> Verdict {
        *self = Self {
            epoch: next(self.epoch),
            ..Self::new()
        };
        Verdict::Back
    }
}

/// How long the `failures`-th ejection in a row lasts.
fn duration(failures: u32, rng: &mut Rng) -> Duration {
    // 2^5 is above the longest; more would overflow long before an endpoint fails that often.
    let longest = Duration::from_secs(1 << failures.min(5)).min(LONGEST);
    longest.mul_f64(0.5 + rng.f64() / 2.0)
}

/// Epochs have 31 bits, so that a stamp fits 32; only equality counts.
fn next(epoch: u32) -> u32 {
    (epoch + 1) & (u32::MAX >> 1)
}

#[cfg(test)]
mod tests;
