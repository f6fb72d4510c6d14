//! `/api/sessions`: the live sessions in the order of their numbers, a page at a time.
//!
//! In: `?limit=` (100, at most 1000), `after=` (a session's number), and the filters `service=`, `route=` and `endpoint=`
//! (an identity or `ip:port`). Out: `{"total": n, "sessions": [..], "next": number or null}`: `total` counts all that pass
//! the filters; `next` is the `after` of the following page. Pages go by number and not by position, so that sessions which
//! end meanwhile make no other one appear twice or never.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    admin::{Sources, error},
    session::{Cause, Session, SessionId},
    telemetry::status::text,
};

/// Which sessions are asked for; an unknown key is an error, lest a misspelt filter returns everything.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    limit: Option<usize>,
    after: Option<String>,
    service: Option<String>,
    route: Option<String>,
    endpoint: Option<String>,
}

#[derive(Debug, Serialize)]
struct Page {
    total: usize,
    sessions: Vec<View>,
    next: Option<String>,
}

/// A session as operators see it.
#[derive(Debug, Serialize)]
struct View {
    id: String,
    #[serde(serialize_with = "text")]
    route: Arc<str>,
    #[serde(serialize_with = "text")]
    service: Arc<str>,
    endpoint: SocketAddr,
    identity: String,
    client: String,
    /// RFC 3339, UTC.
    opened: String,
    age_seconds: f64,
    bytes_from_client: u64,
    bytes_to_client: u64,
    messages_from_client: u64,
    messages_to_client: u64,
}

pub(super) async fn list(
    State(sources): State<Sources>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Response {
    let Query(filter) = match filter {
        Ok(filter) => filter,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.body_text()),
    };
    let after = match filter.after.as_deref().map(SessionId::parse) {
        None => None,
        Some(Some(id)) => Some(id),
        Some(None) => return error(StatusCode::BAD_REQUEST, NO_ID),
    };
    let mut sessions = sources.sessions.all();
    sessions.retain(|session| filter.takes(session));
    let total = sessions.len();
    sessions.retain(|session| after.is_none_or(|after| session.id > after));
    sessions.sort_unstable_by_key(|session| session.id);
    let limit = filter.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().filter(|_| more).map(|last| last.id.to_string());
    let sessions = sessions.iter().map(|session| View::of(session)).collect();
    Json(Page {
        total,
        sessions,
        next,
    })
    .into_response()
}

pub(super) async fn close(State(sources): State<Sources>, Path(id): Path<String>) -> Response {
    let Some(id) = SessionId::parse(&id) else {
        return error(StatusCode::BAD_REQUEST, NO_ID);
    };
    let Some(session) = sources.sessions.find(id) else {
        return error(StatusCode::NOT_FOUND, "there is no such session, or no longer");
    };
    session.close(CLOSE_CODE, Cause::Operator);
    tracing::info!(session = %id, "an operator closes a session");
    let closing = json!({ "session": id.to_string(), "closing": true });
    (StatusCode::ACCEPTED, Json(closing)).into_response()
}

// === impl Filter ===

impl Filter {
    fn takes(&self, session: &Session) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        is(&self.service, &session.service)
            && is(&self.route, &session.route)
            && self.endpoint.as_deref().is_none_or(|wanted| {
                wanted == session.endpoint.identity.as_str() || wanted.parse() == Ok(session.endpoint.address)
            })
    }
}

// === impl View ===

impl View {
    fn of(session: &Session) -> Self {
        let carried = session.carried.read();
        Self {
            id: session.id.to_string(),
            route: Arc::clone(&session.route),
            service: Arc::clone(&session.service),
            endpoint: session.endpoint.address,
            identity: session.endpoint.identity.to_string(),
            client: session.client().to_string(),
            opened: humantime::format_rfc3339_millis(session.opened).to_string(),
            age_seconds: session.age().as_secs_f64(),
            bytes_from_client: carried.bytes_from_client,
            bytes_to_client: carried.bytes_to_client,
            messages_from_client: carried.messages_from_client,
            messages_to_client: carried.messages_to_client,
        }
    }
}

const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// Clients come back after 1001, and that is what an operator who moves a session wants.
const CLOSE_CODE: u16 = 1001;

const NO_ID: &str = "a session's number is hexadecimal";
