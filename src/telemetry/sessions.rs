//! The two log lines of a session.
//!
//! In: a [`Session`], and the [`Outcome`] when it ends. Out: one line each at INFO, under the target `longhaul::session`.
//!
//! Fields of both: `session`, `route`, `service`, `endpoint` (`ip:port`), `client`. The second adds `duration_ms`,
//! `bytes_from_client`, `bytes_to_client`, `messages_from_client`, `messages_to_client`, `initiator`, `code` (absent where
//! there was none) and `reason`. Nothing of the request is among them: no path, query, cookie, authorization or
//! subprotocol.
//!
//! With `log.sessions: false` the target is off in the subscriber's filter, so a call costs one comparison.

use tracing::info;

use crate::{relay::Outcome, session::Session};

/// What the filter knows the two lines by.
pub(super) const TARGET: &str = "longhaul::session";

/// Says that a session opened; to be called once the 101 is sent.
pub fn opened(session: &Session) {
    info!(
        target: TARGET,
        session = %session.id,
        route = &*session.route,
        service = &*session.service,
        endpoint = %session.endpoint.address,
        client = %session.client(),
        "session opened"
    );
}

/// Says how a session ended; to be called when its counters are final.
pub fn ended(session: &Session, outcome: &Outcome) {
    if !tracing::event_enabled!(target: TARGET, tracing::Level::INFO) {
        return;
    }
    let carried = session.carried.read();
    info!(
        target: TARGET,
        session = %session.id,
        route = &*session.route,
        service = &*session.service,
        endpoint = %session.endpoint.address,
        client = %session.client(),
        duration_ms = session.age().as_millis() as u64,
        bytes_from_client = carried.bytes_from_client,
        bytes_to_client = carried.bytes_to_client,
        messages_from_client = carried.messages_from_client,
        messages_to_client = carried.messages_to_client,
        initiator = outcome.initiator.as_str(),
        code = outcome.code,
        reason = outcome.reason.as_str(),
        "session ended"
    );
}
