//! Asking the peers of a session whether they are still there.
//!
//! In: deadlines, Pings that found their place, Pongs that came. Out: the next Ping, or the verdict that a peer is dead.
//!
//! - A peer is blamed for its silence only where its answer would have been seen: not if its direction is opaque, not
//!   while we do not read from it because the other peer takes nothing, and not while it is sending one long frame,
//!   inside which it could not answer (RFC 6455, 5.4).
//!
//! Not here: the frames themselves ([`super::inject`], [`super::pong`]) and their deadlines ([`super::clock`]).

use tokio::time::Instant;

use super::{
    Leg, Relay,
    clock::{Due, Standing},
    flow::Flow,
    inject::CloseCode,
    outcome::Reason,
};

impl<C, B> Relay<C, B> {
    /// Acts on the deadlines that have passed; true if the session is to end now.
    pub(super) fn act_on_time(&mut self, now: Instant) -> bool {
        while let Some(due) = self.clock.due(now) {
            match due {
                Due::Cut if self.backend_is_to_end() => self.end_backend(now),
                Due::Cut => return true,
                Due::Idle if self.outcome.is_some() => return true,
                Due::Idle => self.close_both(CloseCode::GOING_AWAY, Reason::Idle, now),
                Due::Lifetime => self.close_both(CloseCode::GOING_AWAY, Reason::Lifetime, now),
                Due::Ping(leg) => {
                    if !self.ping(leg) {
                        self.ping_next(now);
                    }
                }
                Due::Unplaced(leg) => {
                    self.flows(leg).0.give_up_ping();
                    self.ping_next(now);
                }
                Due::Unanswered(leg) => self.blame(leg, now),
            }
        }
        false
    }

    /// A Ping is on its way to this leg.
    pub(super) fn expect_pong(&mut self, leg: Leg, payload: [u8; 8], now: Instant) {
        let (_, from) = self.flows(leg);
        from.expect_pong(payload);
        let standing = standing(from);
        self.clock.pinged(now, standing);
    }

    /// Asks for a Ping on the next leg of the round that can be pinged.
    pub(super) fn ping_next(&mut self, now: Instant) {
        while let Some(leg) = self.clock.next_leg(now) {
            if self.ping(leg) {
                break;
            }
        }
    }

    fn ping(&mut self, leg: Leg) -> bool {
        let (to, from) = self.flows(leg);
        from.can_answer() && to.ping(fastrand::u64(..).to_be_bytes())
    }

    /// No Pong came from this leg in time.
    fn blame(&mut self, leg: Leg, now: Instant) {
        let (_, from) = self.flows(leg);
        if !from.can_answer() {
            self.ping_next(now);
            return;
        }
        let (unread, standing) = (!from.is_drained(), standing(from));
        let in_a_frame = self.clock.ask_again(now, standing);
        if !unread && !in_a_frame {
            self.close_both(CloseCode::GOING_AWAY, Reason::PongTimeout, now);
        }
    }

    /// The flow to this leg, and the one that comes from it.
    fn flows(&mut self, leg: Leg) -> (&mut Flow, &mut Flow) {
        match leg {
            Leg::Client => (&mut self.down, &mut self.up),
            Leg::Backend => (&mut self.up, &mut self.down),
        }
    }
}

fn standing(from: &Flow) -> Standing {
    Standing {
        sent: from.bytes_read(),
        inside_frame: from.is_inside_frame(),
    }
}
