//! The admin address: probes, metrics, the API and the console, for those who run Longhaul.
//!
//! In: a listener of its own and the [`Sources`] that it reads. Out: `GET /livez`, `/readyz`, `/metrics`,
//! `/api/services`, `/api/sessions` and the console at `/`; `DELETE /api/sessions/{id}`,
//! `POST /api/services/{service}/endpoints/{endpoint}/drain` and `.../undrain`.
//!
//! Promises:
//! - [`access`] decides before anything is routed: no path, not even an unknown one, gets around it;
//! - reading changes nothing, and a request's body is never read;
//! - at most 64 connections, one request each, 10 s each; when all are taken the oldest gives way, so that a client
//!   that holds connections cannot keep probes out;
//! - it runs on the control thread and never waits for a worker longer than the worker holds its list of sessions.
//!
//! Not here: what draining means ([`crate::drain`]) and what is counted ([`crate::telemetry::metrics`]).

use std::{fmt, future::Future, io, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{session::Sessions, telemetry::metrics};

pub mod access;
pub mod api;
pub(crate) mod console;
pub mod ready;
mod serve;

pub use self::{
    access::TokenFile,
    api::{Control, ControlError},
    ready::Readiness,
};
pub use crate::telemetry::status::{EndpointStatus, ServiceStatus, Services, SourceStatus};

/// What the admin address reads, and whom it tells what operators want.
#[derive(Clone)]
pub struct Sources {
    /// The live sessions.
    pub sessions: Arc<Sessions>,
    /// The services as they are now.
    pub services: Services,
    /// What has been counted.
    pub metrics: Arc<metrics::Metrics>,
    /// Which parts are not ready.
    pub ready: Readiness,
    /// Drains and undrains endpoints.
    pub control: Arc<dyn Control>,
    /// The token of changing requests.
    pub token: Arc<TokenFile>,
}

/// Serves the admin address, and `extra` pages under the same rules, until `shutdown` is done; then cuts what is open.
///
/// Fails only if the listener has no local address.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    extra: Option<Router>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let rules = access::Rules::new(listener.local_addr()?, Arc::clone(&sources.token));
    let router = router(sources, extra);
    serve::run(listener, Arc::new(serve::Site { rules, router }), shutdown).await;
    Ok(())
}

fn router(sources: Sources, extra: Option<Router>) -> Router {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .nest("/api", api::router())
        .merge(console::router())
        .with_state(sources);
    let router = match extra {
        Some(extra) => router.merge(extra),
        None => router,
    };
    router
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method")
        })
        .fallback(async || error(StatusCode::NOT_FOUND, "there is nothing at this path"))
}

async fn readyz(State(sources): State<Sources>) -> Response {
    let report = sources.ready.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

async fn metrics_text(State(sources): State<Sources>) -> Response {
    let text = sources.metrics.encode(&sources.sessions, (sources.services)());
    let content_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// The form of every answer that says what is wrong.
fn error(status: StatusCode, words: &str) -> Response {
    (status, Json(json!({ "error": words }))).into_response()
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
