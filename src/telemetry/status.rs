//! What a service and its endpoints look like at a moment, to those who watch from outside.
//!
//! In: whoever wires the process together fills it from the balance step. Out: `/api/services` serializes it as it stands,
//! so the names of the fields are a contract; `/metrics` counts it.
//!
//! Not here: the endpoints that picks are made from ([`crate::balance`]).

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use discovery::Identity;
use serde::{Serialize, Serializer};

/// A service at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    /// Its name in the config.
    #[serde(serialize_with = "text")]
    pub name: Arc<str>,
    /// How endpoints are picked, as the config says it.
    pub strategy: &'static str,
    /// Whether its discovery has answered; an empty set is something else.
    pub known: bool,
    /// Seconds since its discovery last answered; `null` if never, or if there is nothing to ask.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// Its sources, in the order of the config.
    pub sources: Vec<SourceStatus>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
}

/// A source of a service's endpoints at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// What it is: its kind, and what makes it this one.
    #[serde(serialize_with = "text")]
    pub name: Arc<str>,
    /// `waiting`, `answering`, `failing` or `refused`.
    pub condition: &'static str,
    /// Seconds since it last answered; `null` if never, or if there is nothing to ask.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// What it said or did when it last failed; `null` if it has answered since.
    #[serde(serialize_with = "maybe_text")]
    pub error: Option<Arc<str>>,
}

/// An endpoint at a moment.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    /// What it is called everywhere.
    #[serde(serialize_with = "text")]
    pub identity: Identity,
    /// Where it is dialled, `ip:port`.
    pub address: SocketAddr,
    /// Its share of sessions against the others'.
    pub weight: u32,
    /// `active`, `draining`, `unhealthy` or `gone`.
    pub state: &'static str,
    /// Left out of picks for a while after failed dials.
    pub ejected: bool,
    /// Left out of picks as long as others can take the session: its registry asks others to use it.
    pub far: bool,
    /// Sessions that it holds, from the dial on.
    pub sessions: usize,
}

/// Reads the services as they are now.
pub type Services = Arc<dyn Fn() -> Vec<ServiceStatus> + Send + Sync>;

pub(crate) fn text<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn maybe_text<S: Serializer>(words: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    words.as_deref().serialize(to)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn seconds<S: Serializer>(age: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs_f64()).serialize(to)
}
