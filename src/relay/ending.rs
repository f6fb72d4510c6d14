//! What ends a session, and how.
//!
//! In: what the two flows met, orders, deadlines. Out: what the flows are to do next, by when it must be done, and the
//! [`Outcome`] to report.
//!
//! - The first explanation stands. A write that failed is only a suspicion: the peer may have said why, and what it said
//!   is still to be read.
//! - Every way that leads here sets a moment at which the session is cut, or lets silence end it within
//!   [`HALF_CLOSE_TIMEOUT`]; trickling puts off the latter only, and only where no Close has been said.
//!
//! Not here: when a deadline has passed ([`super::pings`], [`super::clock`]).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    BACKEND_FIRST, CLOSE_TIMEOUT, HALF_CLOSE_TIMEOUT, Leg, Relay,
    flow::{Event, Flow},
    inject::CloseCode,
    outcome::{Initiator, Outcome, Reason},
};

impl<C, B> Relay<C, B> {
    /// What the flow from the client to the backend met.
    pub(super) fn on_up(&mut self, event: Event, now: Instant) {
        match event {
            Event::Eof => {
                self.note_end(Initiator::Client, Reason::Eof, now);
                self.down.sink_has_ended();
                if !self.backend_is_to_end() {
                    self.up.finish(None);
                }
                self.wind_down(now);
            }
            Event::ReadFailed => {
                self.note_end(Initiator::Client, Reason::Reset, now);
                self.up.finish(None);
                self.down.abandon_sink();
                self.end_within(CLOSE_TIMEOUT, now);
            }
            Event::WriteFailed => self.suspect(Initiator::Backend, now),
            Event::PutPing(payload) => self.expect_pong(Leg::Backend, payload, now),
            Event::Ponged => self.ping_next(now),
            Event::PutClose(code) => self.on_put_close(code, now),
            Event::Finished | Event::Turn => {}
        }
    }

    /// What the flow from the backend to the client met.
    pub(super) fn on_down(&mut self, event: Event, now: Instant) {
        match event {
            Event::Eof => {
                self.note_end(Initiator::Backend, Reason::Eof, now);
                self.up.sink_has_ended();
                // Behind its client's end, the end of a backend is no death: each has said what it had to say.
                if self.up.source_is_over() {
                    self.down.finish(None);
                } else {
                    self.tell_client();
                }
                self.end_within(HALF_CLOSE_TIMEOUT, now);
            }
            Event::ReadFailed => {
                self.note_end(Initiator::Backend, Reason::Reset, now);
                self.tell_client();
                self.up.abandon_sink();
                self.end_within(CLOSE_TIMEOUT, now);
            }
            Event::WriteFailed => self.suspect(Initiator::Client, now),
            Event::PutPing(payload) => self.expect_pong(Leg::Client, payload, now),
            Event::Ponged => self.ping_next(now),
            Event::PutClose(code) => self.on_put_close(code, now),
            Event::Finished | Event::Turn => {}
        }
    }

    /// Ends the session from our side, properly: a Close to both peers, between frames.
    pub(super) fn close_both(&mut self, code: CloseCode, reason: Reason, now: Instant) {
        self.note(Initiator::Router, reason, now);
        self.end_within(CLOSE_TIMEOUT, now);
        self.up.close(code, reason);
        self.down.close(code, reason);
    }

    /// Takes note of the first Close that a peer got from the other one.
    pub(super) fn notice_closes(&mut self, now: Instant) {
        if self.outcome.is_some_and(|outcome| outcome.is_named()) {
            return;
        }
        let (flow, initiator) = if self.up.has_passed_close() {
            (&self.up, Initiator::Client)
        } else if self.down.has_passed_close() {
            (&self.down, Initiator::Backend)
        } else {
            return;
        };
        let code = flow.close_code();
        if initiator == Initiator::Client {
            self.down.part();
        }
        if let Some(outcome) = &mut self.outcome {
            outcome.code = code;
        } else {
            self.outcome = Some(Outcome {
                initiator,
                reason: Reason::Close,
                code,
            });
            self.session.end_noticed(now);
            self.wind_down(now);
        }
    }

    /// A leg on which both sides have said Close gets the end of its stream from us, or from the backend; whether there
    /// was one from us.
    pub(super) fn finish_closed_legs(&mut self, now: Instant) -> bool {
        if self.outcome.is_none() {
            return false;
        }
        let told = [&self.up, &self.down].map(|flow| flow.said_close() && flow.is_drained());
        if !self.told && told.contains(&true) {
            // Whoever was told has this long to say Close too, whatever else it says.
            self.told = true;
            self.clock.cut_at(now + HALF_CLOSE_TIMEOUT);
        }
        let client = !self.down.is_finishing() && has_closed(&self.down, &self.up);
        let backend = !self.up.is_finishing() && has_closed(&self.up, &self.down);
        if client {
            self.down.finish(None);
            self.end_within(CLOSE_TIMEOUT, now);
        }
        if self.backend_is_to_end() {
            self.end_within(BACKEND_FIRST, now);
            return client;
        }
        if backend {
            self.end_backend(now);
        }
        client || backend
    }

    /// Both sides have said Close to each other, and it is for the backend to end the connection: to it we are the client
    /// (RFC 6455, 7.1.1), and whoever ends first has a port that nobody can use for a minute. A Close of ours ends it
    /// anyway.
    pub(super) fn backend_is_to_end(&self) -> bool {
        let ended = self.up.is_finishing() || self.down.source_is_over();
        !ended && !self.up.put_close() && has_closed(&self.up, &self.down)
    }

    /// Ends the backend's stream.
    pub(super) fn end_backend(&mut self, now: Instant) {
        self.up.finish(None);
        self.end_within(CLOSE_TIMEOUT, now);
        if !self.up.put_close() {
            // Until now it was the backend's time that ran.
            self.clock.restart_cut(now + CLOSE_TIMEOUT);
        }
    }

    /// Nothing can move any more.
    pub(super) fn is_over(&self) -> bool {
        [&self.up, &self.down]
            .iter()
            .all(|flow| flow.source_is_over() && flow.sink_is_over())
    }

    pub(super) fn note(&mut self, initiator: Initiator, reason: Reason, now: Instant) {
        self.session.end_noticed(now);
        self.outcome.get_or_insert(Outcome {
            initiator,
            reason,
            code: None,
        });
    }

    /// The best explanation that there is.
    pub(super) fn explain(&self) -> Outcome {
        let unexplained = Outcome {
            initiator: Initiator::Router,
            reason: Reason::Reset,
            code: None,
        };
        self.outcome.or(self.suspicion()).unwrap_or(unexplained)
    }

    /// The backend is dead. Its client gets what the backend sent, and our word for it where that fits.
    fn tell_client(&mut self) {
        if let Some(code) = self.down.finish(Some(CloseCode::GOING_AWAY)) {
            self.note_code(code);
        }
    }

    fn on_put_close(&mut self, code: CloseCode, now: Instant) {
        self.note_code(code);
        self.clock.restart_cut(now + CLOSE_TIMEOUT);
    }

    fn end_within(&mut self, limit: Duration, now: Instant) {
        self.wind_down(now);
        self.clock.cut_at(now + limit);
    }

    fn wind_down(&mut self, now: Instant) {
        self.clock.wind_down(HALF_CLOSE_TIMEOUT, now);
        self.up.give_up_ping();
        self.down.give_up_ping();
    }

    /// A peer's stream has ended. The kernel tells of a reset once: if that was to a write, a read sees a plain end.
    fn note_end(&mut self, initiator: Initiator, reason: Reason, now: Instant) {
        let reset = self.suspect == Some(initiator);
        self.note(initiator, if reset { Reason::Reset } else { reason }, now);
    }

    fn note_code(&mut self, code: CloseCode) {
        if let Some(outcome) = self.outcome.as_mut().filter(|outcome| !outcome.is_named()) {
            outcome.code = Some(code.number());
        }
    }

    fn suspect(&mut self, initiator: Initiator, now: Instant) {
        self.session.end_noticed(now);
        self.suspect.get_or_insert(initiator);
        self.end_within(CLOSE_TIMEOUT, now);
    }

    fn suspicion(&self) -> Option<Outcome> {
        self.suspect.map(|initiator| Outcome {
            initiator,
            reason: Reason::Reset,
            code: None,
        })
    }
}

/// Whether on one leg both sides have said Close: `to` is the flow to that peer, `from` the one that it sends.
///
/// Not where bytes go on after the Close: what looked like one may have been anything, and all of it is the peer's.
fn has_closed(to: &Flow, from: &Flow) -> bool {
    to.said_close()
        && !to.is_opaque()
        && to.is_drained()
        && !to.is_stuck()
        && (from.heard_close() || from.source_is_over())
}
