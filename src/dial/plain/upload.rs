//! The body of a plain request on its way to the backend, and whose turn it is.
//!
//! In: the client's body, as it comes. Out: the same frames, one at a time: the next is read when the last was written.
//!
//! - After `Expect: 100-continue` nothing is read, and so the client is not told to go on, before the backend has said 100
//!   or [`PATIENCE`] is over; a backend that refuses at once never gets the body.
//! - Of trailers, what a field of that name must not be told by a client is dropped ([`strip_trailers`]).
//! - [`Progress`] knows who is waited for, so that a silent client is not taken for a silent backend.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::{answer::BoxError, listen::Incoming, policy::headers::strip_trailers, timers::timeout_at};

/// The body of a request; `None` is a request without one.
#[derive(Debug)]
pub(super) struct Upload {
    body: Option<Incoming>,
    progress: Arc<Progress>,
}

/// How far a request has got; shared by its body and by whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    turn: Turn,
    since: Instant,
    held: Option<Waker>,
}

/// Who is to do something next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The backend, which may refuse the body before it comes.
    Hold,
    /// The client: its body is not whole.
    Client,
    /// The backend: it takes the body, or the request is whole.
    Backend,
    /// The backend, and nothing more comes.
    Whole,
}

/// Who was silent for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silent {
    Client,
    Backend,
}

/// How long a backend may take to say 100. As long as clients wait for it themselves before they send anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a client may pause within a body that is not answered yet: it holds an endpoint meanwhile.
const STALL: Duration = Duration::from_secs(60);

// === impl Upload ===

impl Upload {
    /// Passes `body` on; with `hold` not before the backend has said 100.
    pub(super) fn new(body: Option<Incoming>, hold: bool) -> Self {
        let turn = match (&body, hold) {
            (None, _) => Turn::Whole,
            (Some(_), true) => Turn::Hold,
            (Some(_), false) => Turn::Backend,
        };
        let state = State {
            turn,
            since: Instant::now(),
            held: None,
        };
        Self {
            body,
            progress: Arc::new(Progress(Mutex::new(state))),
        }
    }

    /// How far it has got.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The body, if nothing of it was sent.
    pub(super) fn into_inner(self) -> Option<Incoming> {
        self.body
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.progress.holds(cx.waker()) {
            return Poll::Pending;
        }
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        this.progress.moved(match &polled {
            Poll::Pending | Poll::Ready(Some(Err(_))) => Turn::Client,
            Poll::Ready(Some(Ok(_))) if !body.is_end_stream() => Turn::Backend,
            Poll::Ready(_) => Turn::Whole,
        });
        let frame = ready!(polled).map(|frame| frame.map(fit));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = SizeHint::with_exact(0);
        self.body.as_ref().map_or(none, Body::size_hint)
    }
}

fn fit(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        strip_trailers(trailers);
    }
    frame
}

// === impl Progress ===

impl Progress {
    /// The backend wants the body.
    pub(super) fn release(&self) {
        let mut state = self.lock();
        if state.turn == Turn::Hold {
            state.turn = Turn::Backend;
            state.since = Instant::now();
            if let Some(waker) = state.held.take() {
                waker.wake();
            }
        }
    }

    /// Whether all of the body was passed on.
    pub(super) fn is_whole(&self) -> bool {
        self.lock().turn == Turn::Whole
    }

    /// Waits for `answer`, for `limit` after the last piece of the request has been passed on.
    pub(super) async fn bound<T>(
        &self,
        limit: Duration,
        mut answer: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Silent> {
        loop {
            if let Ok(answer) = timeout_at(self.due(limit), answer.as_mut()).await {
                return Ok(answer);
            }
            if self.due(limit) > Instant::now() {
                continue;
            }
            let turn = self.lock().turn;
            match turn {
                Turn::Hold => self.release(),
                Turn::Client => return Err(Silent::Client),
                Turn::Backend | Turn::Whole => return Err(Silent::Backend),
            }
        }
    }

    fn due(&self, limit: Duration) -> Instant {
        let state = self.lock();
        state.since
            + match state.turn {
                Turn::Hold => PATIENCE.min(limit),
                Turn::Client => STALL,
                Turn::Backend | Turn::Whole => limit,
            }
    }

    fn holds(&self, task: &Waker) -> bool {
        let mut state = self.lock();
        if state.turn == Turn::Hold {
            state.held = Some(task.clone());
        }
        state.turn == Turn::Hold
    }

    fn moved(&self, turn: Turn) {
        let mut state = self.lock();
        // A client that is waited for is not excused by being looked at again.
        if turn != Turn::Client || state.turn != Turn::Client {
            state.turn = turn;
            state.since = Instant::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use super::*;

    fn progress(turn: Turn) -> Progress {
        Progress(Mutex::new(State {
            turn,
            since: Instant::now(),
            held: None,
        }))
    }

    const LIMIT: Duration = Duration::from_secs(300);

    async fn silent(progress: &Progress) -> (Silent, Duration) {
        let start = Instant::now();
        let ended = progress.bound(LIMIT, pin!(pending::<()>())).await;
        (ended.unwrap_err(), start.elapsed().as_secs().seconds())
    }

    trait Seconds {
        fn seconds(self) -> Duration;
    }

    impl Seconds for u64 {
        fn seconds(self) -> Duration {
            Duration::from_secs(self)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_waited_for_is_who_was_silent() {
        assert_eq!(silent(&progress(Turn::Whole)).await, (Silent::Backend, LIMIT));
        assert_eq!(silent(&progress(Turn::Backend)).await, (Silent::Backend, LIMIT));
        assert_eq!(silent(&progress(Turn::Client)).await, (Silent::Client, STALL));
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_knows_no_100_gets_the_body_after_a_moment() {
        let held = progress(Turn::Hold);
        assert!(held.holds(Waker::noop()));
        assert_eq!(silent(&held).await, (Silent::Backend, PATIENCE + LIMIT));
        assert!(!held.holds(Waker::noop()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_is_waited_for_anew() {
        let progress = progress(Turn::Client);
        let going_on = async {
            for _ in 0..10 {
                tokio::time::sleep(STALL - Duration::from_secs(1)).await;
                progress.moved(Turn::Backend);
                progress.moved(Turn::Client);
            }
        };
        let (_, (who, after)) = tokio::join!(going_on, silent(&progress));
        assert_eq!((who, after), (Silent::Client, 10 * (STALL - 1.seconds()) + STALL));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_only_looked_at_again_is_not_excused() {
        let progress = progress(Turn::Client);
        tokio::time::sleep(STALL - 1.seconds()).await;
        progress.moved(Turn::Client);
        assert_eq!(silent(&progress).await, (Silent::Client, 1.seconds()));
    }
}
