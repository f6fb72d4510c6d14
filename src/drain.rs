//! Step 7: moving sessions away without a stampede.
//!
//! In: which sessions are to leave, over which window, by which deadline. Out: one order per session, spread evenly over
//! the window; a cut for what is left at the deadline.
//!
//! - The pace follows what is left: sessions that end by themselves make room, ones that open late are included.
//! - Done as soon as no session is left, not when the window is over.
//! - A session that stops being one that must leave (its endpoint came back) is left alone.
//!
//! Not here: how a session closes ([`crate::relay`]), when a drain starts ([`crate::app`]).

mod pace;

use std::{sync::Arc, time::Duration};

use http::request::Parts;
use tokio::time::{Instant, sleep};

use self::pace::Pace;
use crate::{
    answer::Answer,
    router::Router,
    session::{Cause, Session},
    telemetry::metrics::HandshakeEnd,
};

/// How sessions are moved away.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The time over which Closes are spread.
    pub window: Duration,
    /// From the same start: what is left is cut.
    pub deadline: Duration,
    /// The code of the Closes.
    pub close_code: u16,
    /// Why, for the log.
    pub cause: Cause,
}

/// The stack's first step: a process that is ending takes nothing new.
pub fn turn_away(router: &Router, _: &mut Parts) -> Result<(), Answer> {
    if !router.is_draining() {
        return Ok(());
    }
    router.metrics.unrouted().handshake(HandshakeEnd::Draining);
    Err(Answer::unavailable("this router is shutting down").closing())
}

/// Closes the sessions that `leaving` names, at the pace of `terms`; ends when it names none any more.
///
/// `window` and `deadline` count from `start`. `leaving` is asked again at every step. Cancelling stops closing; what was
/// told to close still does.
pub async fn run(terms: Terms, start: Instant, leaving: impl Fn() -> Vec<Arc<Session>>) {
    let mut pace = Pace::new(terms.window, start);
    loop {
        let mut sessions = leaving();
        if sessions.is_empty() {
            return;
        }
        let now = Instant::now();
        if now - start >= terms.deadline {
            sessions.iter().for_each(|session| session.cut(terms.cause));
        } else {
            sessions.retain(|session| session.order().is_none());
            // Any order would do but that of arrival, which tends to be that of endpoints and of clients.
            fastrand::shuffle(&mut sessions);
            for session in sessions.iter().take(pace.due(sessions.len(), now)) {
                session.close(terms.close_code, terms.cause);
            }
        }
        sleep(STEP).await;
    }
}

/// How often the pace is looked at: short enough that sessions leave one by one, and that an ended drain is noticed.
const STEP: Duration = Duration::from_millis(20);
