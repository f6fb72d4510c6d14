//! Step 6: join the two streams of a session.
//!
//! In: two upgraded streams with what each peer has already sent, and the session's limits. Out: an [`Outcome`], never
//! "an error because it closed".
//!
//! - One task per session, polled by its own worker only. It reads into the one buffer of its worker and owns memory
//!   only for what a peer could not take yet.
//! - A peer's Close passes as it came, and the other peer has [`HALF_CLOSE_TIMEOUT`] to answer it. Where a session must
//!   end otherwise, Longhaul puts a Close between two frames, discards what comes until the peer's own Close, and cuts
//!   after [`CLOSE_TIMEOUT`].
//! - The end of a client's stream is passed on and the backend may finish what it has to say (half-close); a backend
//!   that ends first, without a Close, is dead, and its client is told so with 1001.
//! - After both have said Close it is for us to end the client's stream, and for [`BACKEND_FIRST`] for the backend to end
//!   its own.
//! - A direction with an invalid frame is opaque: relayed, never injected into.
//! - Whatever a peer sends, the other direction, the deadlines and the other sessions of the worker get their turn.
//!
//! Not here: finding frames ([`frames`]), one direction (`flow`), reading and writing sockets (`socket`, `outbox`), how
//! sessions end (`ending`), deadlines (`clock`, `pings`), who told a session to end ([`crate::drain`], [`crate::admin`]).

mod clock;
mod ending;
mod flow;
pub mod frames;
pub mod inject;
mod open;
pub(crate) mod outbox;
mod outcome;
mod pings;
pub mod pong;
mod socket;
mod splice;
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
    task::unconstrained,
    time::{Instant, Sleep},
};

use self::{clock::Clock, flow::Flow, frames::Sender, inject::CloseCode, open::Open};
pub use self::{
    outcome::{Initiator, Outcome, Reason},
    splice::{Joinable, Stream},
};
use crate::{
    config::SessionLimits,
    session::{Order, Session},
    timers::sleep_until,
};

/// The connection with one of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The one with the client.
    Client,
    /// The one with the backend.
    Backend,
}

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

impl<C: Joinable, B: Joinable> Ends<C, B> {
    fn into_session(self) -> Ends<C::Session, B::Session> {
        Ends {
            client: self.client.into_session(Leg::Client),
            early_client: self.early_client,
            backend: self.backend.into_session(Leg::Backend),
            early_backend: self.early_backend,
        }
    }
}

/// How long a peer may take to answer our Close, and the rest of a frame that a Close must wait for.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a backend that has said Close, and been told it, may take to end its stream before we do.
pub const BACKEND_FIRST: Duration = Duration::from_millis(500);

/// How long a session may be silent once a peer has ended its stream, and how long a peer may take to answer the other
/// peer's Close.
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
    C: Joinable,
    B: Joinable,
{
    let mut relay = Relay::new(ends.into_session(), session, limits);
    async move {
        let mut timer = pin!(sleep_until(relay.clock.next()));
        poll_fn(|cx| BUFFER.with_borrow_mut(|buffer| relay.poll(cx, timer.as_mut(), buffer))).await
    }
}

/// A session's state between two polls.
struct Relay<C, B> {
    client: Open<C>,
    backend: Open<B>,
    /// From the client to the backend.
    up: Flow,
    /// From the backend to the client.
    down: Flow,
    session: Arc<Session>,
    clock: Clock,
    outcome: Option<Outcome>,
    /// Whom to name if nothing better explains the end: writing fails before the reason can be read.
    suspect: Option<Initiator>,
    /// The waker that orders wake.
    task: Option<Waker>,
    /// An order to close has been carried out.
    obeyed: bool,
    /// A peer has been told Close.
    told: bool,
    /// The timer will wake this task.
    timer_is_set: bool,
}

impl<C, B> Relay<C, B>
where
    C: Stream,
    B: Stream,
{
    fn new(ends: Ends<C, B>, session: Arc<Session>, limits: &SessionLimits) -> Self {
        let started = session.started();
        Self {
            client: Open::new(ends.client),
            backend: Open::new(ends.backend),
            up: Flow::new(Sender::Client, &ends.early_client),
            down: Flow::new(Sender::Backend, &ends.early_backend),
            session,
            clock: Clock::new(limits, started),
            outcome: None,
            suspect: None,
            task: None,
            obeyed: false,
            told: false,
            timer_is_set: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, buffer: &mut [u8]) -> Poll<Outcome> {
        self.hear_orders(cx);
        loop {
            let now = Instant::now();
            if self.obey(cx, now) {
                self.report(now);
                return Poll::Ready(self.explain());
            }
            let rests = self.move_bytes(cx, buffer, now);
            self.report(now);
            if self.is_over() {
                return Poll::Ready(self.explain());
            }
            // The clock is asked and not the timer, which says nothing to a task that has used up its budget.
            let next = self.clock.next();
            if next <= now {
                if self.act_on_time(now) {
                    return Poll::Ready(self.explain());
                }
            } else if self.set_timer(cx, timer.as_mut(), next) {
                if !rests {
                    // What others have written need not wait for all of this.
                    outbox::send();
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
    }

    /// Moves bytes both ways until both directions wait, and draws the conclusions; false if there may be more to move
    /// but others must have their turn.
    fn move_bytes(&mut self, cx: &mut Context<'_>, buffer: &mut [u8], now: Instant) -> bool {
        for _ in 0..TURNS {
            let up = self.up.poll(cx, &mut self.client, &mut self.backend, buffer);
            let down = self.down.poll(cx, &mut self.backend, &mut self.client, buffer);
            // Before the events: a peer that said Close and left at once has closed, not vanished.
            self.notice_closes(now);
            if let Poll::Ready(event) = up {
                self.on_up(event, now);
            }
            if let Poll::Ready(event) = down {
                self.on_down(event, now);
            }
            // In every round: one peer that never rests must not keep the other's leg open.
            let finished = self.finish_closed_legs(now);
            if up.is_pending() && down.is_pending() && !finished {
                return true;
            }
        }
        false
    }

    /// Has the timer wake the task at the `next` deadline or earlier; false if that is now.
    ///
    /// A deadline that moved away leaves the timer alone: it fires early, and is set anew then. So traffic, which moves
    /// the idle timeout, costs no more than a comparison.
    fn set_timer(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, next: Instant) -> bool {
        if next < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(next);
            self.timer_is_set = false;
        }
        if !self.timer_is_set {
            // Not from the task's budget: where there is none left, it would wait without being set.
            self.timer_is_set = pin!(unconstrained(timer)).poll(cx).is_pending();
        }
        self.timer_is_set
    }

    /// Lets this session's orders and its timer wake this task.
    fn hear_orders(&mut self, cx: &Context<'_>) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.session.listen(cx.waker());
            self.task = Some(cx.waker().clone());
            self.timer_is_set = false;
        }
    }

    /// Does what it was told from outside; true if that is to end at once.
    fn obey(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        if self.session.order().is_none() {
            return false;
        }
        // The order has used up the waker, and may be followed by another one.
        self.session.listen(cx.waker());
        match self.session.order() {
            Some(Order::Cut(cause)) => {
                self.note(Initiator::Router, cause.into(), now);
                return true;
            }
            Some(Order::Close(code, cause)) if !self.obeyed => {
                self.obeyed = true;
                let code = CloseCode::try_new(code).unwrap_or(CloseCode::GOING_AWAY);
                self.close_both(code, cause.into(), now);
            }
            Some(Order::Close(..)) | None => {}
        }
        false
    }

    /// Publishes what was carried. What came from the client is counted when it was read, what went to the client when
    /// it was written: so both figures are the client's own, but for what the kernel has not sent and what its socket
    /// still owes.
    fn report(&mut self, now: Instant) {
        let carried = &self.session.carried;
        carried.bytes_from_client.set(self.up.bytes_read());
        carried.messages_from_client.set(self.up.messages_read());
        carried.bytes_to_client.set(self.down.bytes_written());
        carried.messages_to_client.set(self.down.messages_written());
        if self.up.was_active() | self.down.was_active() {
            self.clock.active(now);
        }
    }
}

thread_local! {
    /// The one buffer of this worker. Sessions of a worker are polled one after the other, so it is free at each poll.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_SIZE].into());
}

const BUFFER_SIZE: usize = 64 * 1024;

/// How often each direction has its turn before the session lets others of its worker have theirs. A session at rest
/// needs two; the rest is for one that changes what its directions do.
const TURNS: usize = 8;

#[cfg(test)]
mod tests;
