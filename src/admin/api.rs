//! `/api`: the services and sessions as JSON, and the changes that operators make.
//!
//! In: the [`Sources`]. Out: JSON whose field names are a contract:
//! - `GET /api/services`: `{"services": [ServiceStatus]}`, each with its endpoints, see [`crate::telemetry::status`];
//! - `GET /api/sessions`: see [`sessions`];
//! - `DELETE /api/sessions/{id}`: 202 `{"session": id, "closing": true}`; it ends once both peers are between frames;
//! - `POST /api/services/{service}/endpoints/{endpoint}/drain`, `.../undrain`: 200 `{"service", "endpoint", "drained"}`;
//!   `{endpoint}` is an identity or `ip:port`, percent-encoded;
//! - whatever is wrong: `{"error": words}` with a status of 400, 401, 403, 404, 405, 413 or 421.
//!
//! Every change is one log line.
//!
//! Not here: who may ([`super::access`]).

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use discovery::Identity;
use serde_json::{Value, json};

use super::{Sources, error};

pub mod sessions;

/// Takes endpoints out of use and back, for an operator; lasts until undone or until the process ends.
pub trait Control: Send + Sync {
    /// Gives the endpoint no new sessions; what becomes of its live ones is for the service's `drain` to say.
    fn drain(&self, service: &str, endpoint: &Identity) -> Result<(), ControlError>;

    /// Takes back a drain.
    fn undrain(&self, service: &str, endpoint: &Identity) -> Result<(), ControlError>;
}

/// What an operator asked for does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No service has this name.
    #[error("there is no such service")]
    UnknownService,
    /// The service has no such endpoint.
    #[error("the service has no such endpoint")]
    UnknownEndpoint,
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        error(StatusCode::NOT_FOUND, &self.to_string())
    }
}

pub(super) fn router() -> Router<Sources> {
    Router::new()
        .route("/services", get(services))
        .route("/services/{service}/endpoints/{endpoint}/drain", post(drain))
        .route("/services/{service}/endpoints/{endpoint}/undrain", post(undrain))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", delete(sessions::close))
}

async fn services(State(sources): State<Sources>) -> Json<Value> {
    Json(json!({ "services": (sources.services)() }))
}

async fn drain(State(sources): State<Sources>, Path(place): Path<(String, String)>) -> Response {
    change(&sources, &place, true).into_response()
}

async fn undrain(State(sources): State<Sources>, Path(place): Path<(String, String)>) -> Response {
    change(&sources, &place, false).into_response()
}

fn change(
    sources: &Sources,
    (service, endpoint): &(String, String),
    drained: bool,
) -> Result<Json<Value>, ControlError> {
    let identity = find(sources, service, endpoint)?;
    if drained {
        sources.control.drain(service, &identity)?;
    } else {
        sources.control.undrain(service, &identity)?;
    }
    tracing::info!(service, endpoint = %identity, drained, "an operator changed an endpoint");
    Ok(Json(json!({
        "service": service,
        "endpoint": identity.as_str(),
        "drained": drained,
    })))
}

fn find(sources: &Sources, service: &str, endpoint: &str) -> Result<Identity, ControlError> {
    let services = (sources.services)();
    let service = services
        .iter()
        .find(|known| &*known.name == service)
        .ok_or(ControlError::UnknownService)?;
    // Two endpoints may share an address, never an identity: an identity is looked for first.
    let by_identity = service
        .endpoints
        .iter()
        .find(|known| known.identity.as_str() == endpoint);
    by_identity
        .or_else(|| {
            let address = endpoint.parse().ok()?;
            service.endpoints.iter().find(|known| known.address == address)
        })
        .map(|known| known.identity.clone())
        .ok_or(ControlError::UnknownEndpoint)
}
