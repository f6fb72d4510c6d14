//! A service: where its endpoints come from, how they are picked, and what it takes to give up on one.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use serde_json::json;

use super::{affinity, process::refuse_long_window, source, tls};
use crate::config::{
    Drain, DrainMode, Retry, Service, Strategy,
    group::{Each, refuse_twins},
    leaf::{self, Leaf, Wrong},
    section::Section,
    shape::Shape,
    tree::Kind,
};

/// A name that needs no escaping in a path, a label or a log line.
pub(super) fn name(text: &str) -> Result<Arc<str>, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(plain) || text.starts_with('.') {
        return Err(format!(
            "does not fit; write 1 to {MAX_NAME} letters, digits, `-`, `_` or `.`"
        ));
    }
    Ok(text.into())
}

/// A service without its name, which is the key that it stands under.
pub(super) fn service(service: &mut Section<'_>, folder: &Path) -> Option<Service> {
    let discovery = "Where its endpoints come from: one source, or a list that is merged.";
    let discovery = service.required("discovery", discovery, &source::sources(folder));
    source::refuse_only_fallbacks(service, discovery.as_deref().unwrap_or_default());
    let required = "Whether readiness waits for its first endpoints.";
    let required = service.or("required", required, &leaf::flag(), REQUIRED);
    let hold = "How long an unexplained empty answer of its registry is not believed.";
    let empty_hold = service.or(
        "empty_hold",
        hold,
        &leaf::duration(Duration::ZERO..=MAX_WAIT),
        EMPTY_HOLD,
    );
    let balance = "How an endpoint is picked for a new session.";
    let balance = service.or("balance", balance, &leaf::choice(STRATEGIES), BALANCE);
    let most = "Sessions that one endpoint may hold; 0 is no limit.";
    let most = service.or(
        "max_sessions_per_endpoint",
        most,
        &leaf::whole(0..=MAX_SESSIONS),
        SESSIONS,
    );
    let affinity = affinity::methods(service);
    let tls = tls::service(service, folder);
    let wait = leaf::duration(MIN_WAIT..=MAX_WAIT);
    let connect = "The time one TCP connect may take.";
    let connect_timeout = service.or("connect_timeout", connect, &wait, CONNECT);
    let handshake = "The time from the dial to the backend's answer, over all tries.";
    let handshake_timeout = service.or("handshake_timeout", handshake, &wait, HANDSHAKE);
    let response = "The time from the last piece of a plain request to the head of its answer.";
    let response_timeout = service.or("response_timeout", response, &wait, RESPONSE);
    let retry = "When another endpoint is tried; only before the client was answered.";
    let retry = service.section("retry", retry, "`{ attempts: 3 }`", self::retry);
    let drain = "What happens to the sessions of an endpoint that leaves.";
    let drain = service.section("drain", drain, "`{ mode: close }`", self::drain);
    Some(Service {
        name: "".into(),
        discovery: discovery?.into_iter().map(|source| source.value).collect(),
        required,
        empty_hold,
        balance,
        max_sessions_per_endpoint: NonZeroUsize::new(most),
        affinity,
        tls,
        connect_timeout,
        handshake_timeout,
        response_timeout,
        retry,
        drain,
    })
}

fn retry(retry: &mut Section<'_>) -> Option<Retry> {
    let attempts = "Endpoints tried in all, the first included.";
    let attempts = retry.or("attempts", attempts, &leaf::whole(1..=MAX_ATTEMPTS), ATTEMPTS);
    let on =
        "After what: a failed connect; a handshake timeout or a connection that ended before any answer.";
    let causes = Each {
        item: leaf::choice(CAUSES),
        some: false,
        wants: "a list such as `[connect, timeout]`",
    };
    let on = retry.or("on", on, &causes, RETRY_ON);
    refuse_twins(retry.notes(), &on, "is the same as", |cause| *cause);
    let has = |cause| on.iter().any(|named| named.value == cause);
    Some(Retry {
        attempts,
        on_connect: has(Cause::Connect),
        on_timeout: has(Cause::Timeout),
    })
}

fn drain(drain: &mut Section<'_>) -> Option<Drain> {
    let mode = drain.or(
        "mode",
        "Keep them until they end, or close them at a pace.",
        &leaf::choice(MODES),
        MODE,
    );
    let window = "Closes are spread over it, from the start of the drain.";
    let window = drain.or(
        "window",
        window,
        &leaf::duration(Duration::ZERO..=MAX_DRAIN),
        WINDOW,
    );
    let deadline = "From the start of the drain: what is left is cut.";
    let deadline = drain.or(
        "deadline",
        deadline,
        &leaf::duration(Duration::ZERO..=MAX_DRAIN),
        DEADLINE,
    );
    let close_code = drain.or("close_code", "The code of the Closes.", &close_code(), CLOSE_CODE);
    refuse_long_window(drain, window, deadline);
    Some(Drain {
        mode,
        window,
        deadline,
        close_code,
    })
}

/// RFC 6455, 7.4: 1004 is reserved, 1005, 1006 and 1015 never travel, 1016 to 2999 belong to later revisions.
fn close_code() -> impl Shape<Value = u16> {
    let schema = json!({ "type": "integer", "anyOf": [
        { "enum": [1000, 1001, 1002, 1003] },
        { "minimum": 1007, "maximum": 1014 },
        { "minimum": 3000, "maximum": 4999 },
    ] });
    Leaf::new("a close code such as `1001`", schema, |scalar| {
        if scalar.kind() != Kind::Number {
            return Err(Wrong::Type);
        }
        match scalar.text.parse() {
            Ok(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)) => Ok(code),
            _ => Err(Wrong::value(
                "may not be sent; write 1001 or 1012, or one of your own from 4000 to 4999",
            )),
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    Connect,
    Timeout,
}

const STRATEGIES: &[(&str, Strategy)] = &[
    ("round-robin", Strategy::RoundRobin),
    ("least-connection", Strategy::LeastConnection),
    ("power-of-two", Strategy::PowerOfTwo),
];
const CAUSES: &[(&str, Cause)] = &[("connect", Cause::Connect), ("timeout", Cause::Timeout)];
const MODES: &[(&str, DrainMode)] = &[("keep", DrainMode::Keep), ("close", DrainMode::Close)];

/// A longer name would not be told apart in a table or a log line.
const MAX_NAME: usize = 128;
/// A router that is ready before it can route answers 503 to whoever believed it.
const REQUIRED: &str = "true";
/// Registries answer "none" for some seconds when they restart or elect a leader.
const EMPTY_HOLD: &str = "30s";
/// Sessions last for hours: what counts is how many an endpoint holds, not how many it was sent.
const BALANCE: &str = "least-connection";
/// Only the operator knows what a backend can hold.
const SESSIONS: &str = "0";
/// Beyond what one backend has ports for, even on many addresses.
const MAX_SESSIONS: usize = 10_000_000;
/// One lost SYN is repeated after a second; a second try elsewhere is faster than a second SYN.
const CONNECT: &str = "1s";
/// A client gives up after 10 to 20 s; three tries and a slow backend's authentication fit in half of that.
const HANDSHAKE: &str = "5s";
/// Long polls are answered after up to 100 s, and some reports take their time; this is for backends that are stuck.
const RESPONSE: &str = "5m";
/// The clock's granularity, with room for one round trip.
const MIN_WAIT: Duration = Duration::from_millis(1);
/// Who waits longer has a unit wrong.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
/// One more than the number of endpoints that are commonly down at once.
const ATTEMPTS: &str = "3";
/// More tries than this are an attack on the own backends.
const MAX_ATTEMPTS: usize = 20;
/// In both the backend has answered nothing, so nothing is done twice that it has confirmed.
const RETRY_ON: &str = "[connect, timeout]";
/// No session is cut because of something that its user cannot see.
const MODE: &str = "keep";
/// Reconnects of a whole endpoint within a second are a storm; over half a minute they are load.
const WINDOW: &str = "30s";
/// A backend that is asked to leave has a reason; ten minutes let a call or a game come to its end.
const DEADLINE: &str = "10m";
/// A drain may take as long as the longest session, but not for ever.
const MAX_DRAIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Going away. Some clients abort on 1012 to 1014.
const CLOSE_CODE: &str = "1001";
