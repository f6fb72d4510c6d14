//! Step 6: join the two streams of a session.
//!
//! In: two upgraded streams with what each peer has already sent, and the session's limits. Out: an [`Outcome`], never
//! "an error because it closed".
//!
//! - One task per session, polled by its own worker only. It reads into the one buffer of its worker and owns memory
//!   only for what a peer could not take yet.
//! - A peer's Close passes as it came. Where a session must end otherwise, Longhaul puts a Close between two frames,
//!   discards what comes until the peer's own Close, and cuts after [`CLOSE_TIMEOUT`].
//! - The end of a client's stream is passed on and the backend may finish what it has to say (half-close); a backend
//!   that ends without a Close is dead, and its client is told so with 1001.
//! - A direction with an invalid frame is opaque: relayed, never injected into.
//!
//! Not here: finding frames ([`frames`]), one direction (`flow`), deadlines (`clock`), who told a session to end
//! ([`crate::drain`], [`crate::admin`]).

mod clock;
mod flow;
pub mod frames;
pub mod inject;
mod outcome;
pub mod pong;
#[cfg(test)]
mod streams;

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep_until},
};

pub use self::outcome::{Initiator, Outcome, Reason};
use self::{
    clock::{Clock, Due, Leg},
    flow::{Event, Flow},
    frames::Sender,
    inject::CloseCode,
};
use crate::{
    config::SessionLimits,
    session::{Order, Session},
};

/// The two ends of a session, after the 101.
#[derive(Debug)]
pub struct Ends<C, B> {
    /// The stream with the client.
    pub client: C,
    /// What the client sent before the 101 reached it.
    pub early_client: Vec<u8>,
    /// The stream with the backend.
    pub backend: B,
    /// What the backend sent together with the 101.
    pub early_backend: Vec<u8>,
}

/// How long a peer may take to answer our Close, and the rest of a frame that a Close must wait for.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a session may be silent once one peer has ended its stream or said Close.
pub const HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Relays until the session ends.
///
/// Not an `async fn`: its future would hold the arguments beside the state that is made from them.
pub fn run<C, B>(
    ends: Ends<C, B>,
    session: Arc<Session>,
    limits: &SessionLimits,
) -> impl Future<Output = Outcome> + use<C, B>
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut relay = Relay::new(ends, session, limits);
    async move {
        let mut timer = pin!(sleep_until(relay.clock.next()));
        poll_fn(|cx| BUFFER.with_borrow_mut(|buffer| relay.poll(cx, timer.as_mut(), buffer))).await
    }
}

/// A session's state between two polls.
struct Relay<C, B> {
    client: C,
    backend: B,
    /// From the client to the backend.
    up: Flow,
    /// From the backend to the client.
    down: Flow,
    session: Arc<Session>,
    clock: Clock,
    outcome: Option<Outcome>,
    /// What to report if nothing better explains the end: writing fails before the reason can be read.
    suspicion: Option<Outcome>,
    /// The waker that orders wake.
    task: Option<Waker>,
    /// An order to close has been carried out.
    obeyed: bool,
    /// The timer will wake this task.
    timer_is_set: bool,
}

impl<C, B> Relay<C, B>
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    fn new(ends: Ends<C, B>, session: Arc<Session>, limits: &SessionLimits) -> Self {
        Self {
            client: ends.client,
            backend: ends.backend,
            up: Flow::new(Sender::Client, ends.early_client),
            down: Flow::new(Sender::Backend, ends.early_backend),
            session,
            clock: Clock::new(limits, Instant::now()),
            outcome: None,
            suspicion: None,
            task: None,
            obeyed: false,
            timer_is_set: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, buffer: &mut [u8]) -> Poll<Outcome> {
        self.hear_orders(cx);
        loop {
            if let Some(outcome) = self.obey(cx) {
                return Poll::Ready(outcome);
            }
            self.move_bytes(cx, buffer);
            if self.is_over() {
                return Poll::Ready(self.conclude());
            }
            if self.is_quiet(cx, timer.as_mut()) {
                return Poll::Pending;
            }
            if self.act_on_time() {
                return Poll::Ready(self.conclude());
            }
        }
    }

    /// Whether no deadline has passed; the timer then wakes the task at the next one, or earlier.
    ///
    /// A deadline that moved away leaves the timer alone: it fires early, and is set anew then. So traffic, which moves
    /// the idle timeout, costs no more than a comparison.
    fn is_quiet(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> bool {
        loop {
            let next = self.clock.next();
            if next < timer.deadline() {
                timer.as_mut().reset(next);
                self.timer_is_set = false;
            }
            if self.timer_is_set && !timer.is_elapsed() {
                return true;
            }
            if timer.as_mut().poll(cx).is_pending() {
                self.timer_is_set = true;
                return true;
            }
            if next <= Instant::now() {
                return false;
            }
            timer.as_mut().reset(next);
            self.timer_is_set = false;
        }
    }

    /// Moves bytes both ways until both wait, and draws the conclusions.
    fn move_bytes(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) {
        loop {
            let up = self.up.poll(cx, &mut self.client, &mut self.backend, buffer);
            let down = self.down.poll(cx, &mut self.backend, &mut self.client, buffer);
            // Before the events: a peer that said Close and left at once has closed, not vanished.
            self.notice_closes();
            if let Poll::Ready(event) = up {
                self.on_up(event);
            }
            if let Poll::Ready(event) = down {
                self.on_down(event);
            }
            if up.is_pending() && down.is_pending() && !self.finish_closed_legs() {
                break;
            }
        }
        self.report();
    }

    /// What the flow from the client to the backend met.
    fn on_up(&mut self, event: Event) {
        match event {
            Event::Eof => {
                self.note(Initiator::Client, Reason::Eof);
                self.up.finish(None);
                self.clock.wind_down(HALF_CLOSE_TIMEOUT, Instant::now());
            }
            Event::ReadFailed => {
                self.note(Initiator::Client, Reason::Reset);
                self.up.finish(None);
                self.down.abandon_sink();
                self.end_within(CLOSE_TIMEOUT);
            }
            Event::WriteFailed => {
                self.suspect(Initiator::Backend);
                self.end_within(CLOSE_TIMEOUT);
            }
            Event::PutPing(payload) => self.down_expects(payload),
            Event::Ponged => self.ping_next(),
            Event::PutClose(code) => self.on_put_close(code),
            Event::Finished => {}
        }
    }

    /// What the flow from the backend to the client met.
    fn on_down(&mut self, event: Event) {
        match event {
            Event::Eof | Event::ReadFailed => {
                let reset = event == Event::ReadFailed;
                self.note(
                    Initiator::Backend,
                    if reset { Reason::Reset } else { Reason::Eof },
                );
                if let Some(code) = self.down.finish(Some(CloseCode::GOING_AWAY)) {
                    self.note_code(code);
                }
                if reset {
                    self.up.abandon_sink();
                    self.end_within(CLOSE_TIMEOUT);
                } else {
                    self.end_within(HALF_CLOSE_TIMEOUT);
                }
            }
            Event::WriteFailed => {
                self.suspect(Initiator::Client);
                self.end_within(CLOSE_TIMEOUT);
            }
            Event::PutPing(payload) => self.up_expects(payload),
            Event::Ponged => self.ping_next(),
            Event::PutClose(code) => self.on_put_close(code),
            Event::Finished => {}
        }
    }

    fn on_put_close(&mut self, code: CloseCode) {
        self.note_code(code);
        self.clock.restart_cut(Instant::now() + CLOSE_TIMEOUT);
    }

    fn up_expects(&mut self, payload: [u8; 8]) {
        self.up.expect_pong(payload);
        self.clock.pinged(Instant::now());
    }

    fn down_expects(&mut self, payload: [u8; 8]) {
        self.down.expect_pong(payload);
        self.clock.pinged(Instant::now());
    }

    /// Asks for a Ping on the next leg of the round that can be pinged.
    fn ping_next(&mut self) {
        while let Some(leg) = self.clock.next_leg(Instant::now()) {
            if self.ping(leg) {
                break;
            }
        }
    }

    fn ping(&mut self, leg: Leg) -> bool {
        let payload = fastrand::u64(..).to_be_bytes();
        match leg {
            Leg::Client => self.down.ping(payload),
            Leg::Backend => self.up.ping(payload),
        }
    }

    /// Lets this session's orders wake this task.
    fn hear_orders(&mut self, cx: &Context<'_>) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.session.listen(cx.waker());
            self.task = Some(cx.waker().clone());
        }
    }

    /// Does what it was told from outside; an outcome if that is to end at once.
    fn obey(&mut self, cx: &Context<'_>) -> Option<Outcome> {
        match self.session.order()? {
            Order::Cut(cause) => {
                self.note(Initiator::Router, cause.into());
                Some(self.conclude())
            }
            Order::Close(code, cause) if !self.obeyed => {
                self.obeyed = true;
                self.close_both(
                    CloseCode::try_new(code).unwrap_or(CloseCode::GOING_AWAY),
                    cause.into(),
                );
                // This order took the waker with it, and a cut may follow.
                self.session.listen(cx.waker());
                self.obey(cx)
            }
            Order::Close(..) => None,
        }
    }

    /// Acts on the deadlines that have passed; true if the session is to end now.
    fn act_on_time(&mut self) -> bool {
        let now = Instant::now();
        while let Some(due) = self.clock.due(now) {
            match due {
                Due::Cut => return true,
                Due::Idle if self.outcome.is_some() => return true,
                Due::Idle => self.close_both(CloseCode::GOING_AWAY, Reason::Idle),
                Due::Lifetime => self.close_both(CloseCode::GOING_AWAY, Reason::Lifetime),
                Due::PongTimeout => self.close_both(CloseCode::GOING_AWAY, Reason::PongTimeout),
                Due::Ping(leg) => {
                    if !self.ping(leg) {
                        self.ping_next();
                    }
                }
            }
        }
        false
    }

    /// Ends the session from our side, properly: a Close to both peers, between frames.
    fn close_both(&mut self, code: CloseCode, reason: Reason) {
        self.note(Initiator::Router, reason);
        self.clock.wind_down(HALF_CLOSE_TIMEOUT, Instant::now());
        self.end_within(CLOSE_TIMEOUT);
        self.up.close(code, reason.as_str());
        self.down.close(code, reason.as_str());
    }

    fn end_within(&mut self, limit: Duration) {
        let now = Instant::now();
        self.clock.wind_down(HALF_CLOSE_TIMEOUT, now);
        self.clock.cut_at(now + limit);
    }

    /// A leg on which both sides have said Close gets the end of its stream from us; whether there was one.
    fn finish_closed_legs(&mut self) -> bool {
        let client = !self.down.is_finishing() && has_closed(&self.down, &self.up);
        let backend = !self.up.is_finishing() && has_closed(&self.up, &self.down);
        if client {
            self.down.finish(None);
        }
        if backend {
            self.up.finish(None);
        }
        if client || backend {
            self.end_within(CLOSE_TIMEOUT);
        }
        client || backend
    }

    fn is_over(&self) -> bool {
        [&self.up, &self.down]
            .iter()
            .all(|flow| flow.source_is_over() && flow.sink_is_over())
    }

    fn notice_closes(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        for (flow, initiator) in [(&self.up, Initiator::Client), (&self.down, Initiator::Backend)] {
            if flow.heard_close() {
                self.outcome = Some(Outcome {
                    initiator,
                    reason: Reason::Close,
                    code: flow.close_code(),
                });
                self.clock.wind_down(HALF_CLOSE_TIMEOUT, Instant::now());
                return;
            }
        }
    }

    fn note(&mut self, initiator: Initiator, reason: Reason) {
        self.outcome.get_or_insert(Outcome {
            initiator,
            reason,
            code: None,
        });
    }

    fn note_code(&mut self, code: CloseCode) {
        if let Some(outcome) = self
            .outcome
            .as_mut()
            .filter(|outcome| outcome.reason != Reason::Close)
        {
            outcome.code.get_or_insert(code.number());
        }
    }

    fn suspect(&mut self, initiator: Initiator) {
        self.suspicion.get_or_insert(Outcome {
            initiator,
            reason: Reason::Reset,
            code: None,
        });
    }

    /// Publishes what was carried; a message counts once its sink has taken all of it.
    fn report(&mut self) {
        let carried = &self.session.carried;
        carried.bytes_from_client.set(self.up.bytes_read());
        carried.bytes_to_client.set(self.down.bytes_written());
        if self.up.is_drained() {
            carried.messages_from_client.set(self.up.messages());
        }
        if self.down.is_drained() {
            carried.messages_to_client.set(self.down.messages());
        }
        if self.up.was_active() | self.down.was_active() {
            self.clock.active(Instant::now());
        }
    }

    fn conclude(&mut self) -> Outcome {
        self.report();
        let unexplained = Outcome {
            initiator: Initiator::Router,
            reason: Reason::Reset,
            code: None,
        };
        self.outcome.or(self.suspicion).unwrap_or(unexplained)
    }
}

/// Whether on one leg both sides have said Close: `to` is the flow to that peer, `from` the one that it sends.
fn has_closed(to: &Flow, from: &Flow) -> bool {
    to.said_close() && to.is_drained() && (from.heard_close() || from.source_is_over())
}

thread_local! {
    /// The one buffer of this worker. Sessions of a worker are polled one after the other, so it is free at each poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_SIZE].into());
}

const BUFFER_SIZE: usize = 64 * 1024;
