//! The checked configuration: what the rest of Longhaul may rely on.
//!
//! In: the text of a config file. Out: a [`Config`] in which every value is in range, every name that is referred to
//! exists and every template fits its pattern; or the complete list of problems, each with its place in the file.

use std::{
    collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration,
};

use discovery::Endpoint;
use ipnet::IpNet;

use crate::route::{Pattern, Template};

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None` is one per core.
    pub workers: Option<NonZeroUsize>,
    /// What is written to the log.
    pub log: Log,
    /// What one process accepts.
    pub limits: Limits,
    /// Where clients connect; at least one.
    pub listeners: Vec<Listener>,
    /// Where operators connect; `None` opens no admin address.
    pub admin: Option<Admin>,
    /// Services by name.
    pub services: BTreeMap<Arc<str>, Arc<Service>>,
    /// Routes in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// How the process ends.
    pub shutdown: Shutdown,
}

/// What is written to the log.
#[derive(Clone, Debug)]
pub struct Log {
    /// Lines below this level are not written.
    pub level: tracing::Level,
    /// Whether each session writes a line when it opens and one when it ends.
    pub sessions: bool,
}

/// What one process accepts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections at once; `None` derives it from the file-descriptor limit.
    pub connections: Option<NonZeroUsize>,
    /// Bytes of one request head (8 KiB at least).
    pub request_head: usize,
    /// Fields of one request head.
    pub request_headers: usize,
    /// From accept to the end of the request head, all included.
    pub request_deadline: Duration,
}

/// A socket that accepts clients.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address it binds; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The admin address.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The address it binds.
    pub address: SocketAddr,
    /// The file that holds the bearer token of changing requests.
    pub token_file: Option<PathBuf>,
}

/// A named set of endpoints and how sessions are spread over it.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in the file.
    pub name: Arc<str>,
    /// Where its endpoints come from.
    pub discovery: Vec<Discovery>,
    /// Readiness waits for its first endpoints.
    pub required: bool,
    /// How endpoints are picked.
    pub balance: Strategy,
    /// Sessions that one endpoint may hold; `None` is no limit.
    pub max_sessions_per_endpoint: Option<NonZeroUsize>,
    /// The time one TCP connect may take.
    pub connect_timeout: Duration,
    /// The time from the dial to the backend's answer, over all tries.
    pub handshake_timeout: Duration,
    /// When another endpoint is tried.
    pub retry: Retry,
    /// What happens to sessions whose endpoint or route is going away.
    pub drain: Drain,
}

/// One discovery source of a service.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// A list in the file.
    Static(Vec<Endpoint>),
}

/// How an endpoint is picked for a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// In turn, by weight, interleaved smoothly.
    RoundRobin,
    /// The fewest sessions for its weight.
    LeastConnection,
    /// The better of two at random.
    PowerOfTwo,
}

/// When another endpoint is tried before the 101.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Endpoints tried in all, the first included.
    pub attempts: usize,
    /// After a refused, unreachable or timed-out connect.
    pub on_connect: bool,
    /// After a handshake timeout, or a connection that ended before any answer.
    pub on_timeout: bool,
}

/// What happens to the sessions of an endpoint that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Keep them, or close them at a pace.
    pub mode: DrainMode,
    /// The time over which Closes are spread.
    pub window: Duration,
    /// From the start of the drain: what is left is cut.
    pub deadline: Duration,
    /// The code of the Closes.
    pub close_code: u16,
}

/// Keep the sessions of a leaving endpoint, or close them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainMode {
    /// They stay until they end.
    Keep,
    /// They are closed at a pace.
    Close,
}

/// How the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// Not ready, but still accepting.
    pub delay: Duration,
    /// The time over which Closes are spread, from the end of `delay`.
    pub window: Duration,
    /// From the same moment: what is left is cut.
    pub deadline: Duration,
}

/// Which requests go to which service, and how.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in logs and metrics: host and path as written.
    pub name: Arc<str>,
    /// What it matches.
    pub pattern: Pattern,
    /// The service it binds to.
    pub service: Arc<str>,
    /// The path sent to the backend; `None` sends the client's own.
    pub rewrite: Option<Template>,
    /// The Host sent to the backend.
    pub host: HostRewrite,
    /// Which forwarded headers are set.
    pub forwarded: Forwarded,
    /// Bounds of its sessions.
    pub session: SessionLimits,
}

/// The Host sent to the backend.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// The client's own.
    Preserve,
    /// A fixed name.
    Set(http::HeaderValue),
}

/// Which headers tell the backend about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Host`, `-Proto`, `-Port`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both.
    Both,
    /// Neither; those of a trusted proxy are dropped too.
    None,
}

/// Bounds of a route's sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// No byte in either direction for so long ends the session.
    pub idle_timeout: Duration,
    /// A session ends at this age, or up to a tenth earlier.
    pub max_lifetime: Option<Duration>,
    /// A Ping to both peers after so long.
    pub ping_interval: Option<Duration>,
    /// A Ping must be answered within this.
    pub ping_timeout: Duration,
}
