//! The config file: its format, and what the rest of Longhaul may rely on once it was read.
//!
//! In: YAML text (JSON is a subset of it). Out: a [`Config`] in which every value is in range, every name that is
//! referred to exists and every template fits its pattern; or [`Problems`], all of them, each with its place in the file.
//! The types below are the reference of the format: each field begins with its key, and with the default if it has one.
//!
//! ```yaml
//! listeners: [{ address: 127.0.0.1:8080 }]
//! services:
//!   chat: { discovery: { static: [127.0.0.1:9001, 127.0.0.1:9002] } }
//! routes:
//!   - { match: { path: "/chat/{*rest}" }, service: chat }
//! ```
//!
//! Durations are written `30s` or `1h 30m`, sizes `16KiB` or in bytes. A relative file name is relative to the config
//! file. Unknown keys are problems. [`schema`] describes every key to an editor.
//!
//! Not here: the files that a config names are read by whoever needs them.

mod affinity;
mod check;
mod consul;
mod group;
mod leaf;
mod problem;
mod read;
mod schema;
mod section;
mod shape;
mod suggest;
mod tls;
mod tree;
mod units;

use std::{
    collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration,
};

use discovery::{
    Endpoint,
    provider::{consul::Wanted, dns, kubernetes},
};
use ipnet::IpNet;

pub use self::{
    affinity::{Affinity, AffinityCookie, Orphans, SameSite},
    consul::{ConsulProvider, Register},
    problem::{Problem, Problems},
    read::{endpoints, load, parse},
    schema::schema,
    tls::{ListenerTls, Pair, ServiceTls},
};
use crate::{
    policy::{cors, origin::Origins},
    route::{Pattern, Template},
};

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `workers: 0`: worker threads; 0, here `None`, is one per core.
    pub workers: Option<NonZeroUsize>,
    /// `log:` what is written to the log.
    pub log: Log,
    /// `limits:` what one process accepts.
    pub limits: Limits,
    /// `listeners:` where clients connect; at least one, and no two on one address.
    pub listeners: Vec<Listener>,
    /// `admin:` where operators connect; absent opens no admin address.
    pub admin: Option<Admin>,
    /// `providers:` what the sources of all services have in common, by kind.
    pub providers: Providers,
    /// `cache:` a folder for the last known endpoints of each service, used at start while a registry is away; absent:
    /// they are remembered only while the process lives.
    pub cache: Option<Cache>,
    /// `affinity_secret_files: []`: files that each hold the base64 of at least 32 bytes; the first makes tags, all read
    /// them. They are not read here. Without any a secret is drawn at start, which no other replica has.
    pub affinity_secret_files: Vec<PathBuf>,
    /// `services:` by name: letters, digits, `-`, `_` and `.`.
    pub services: BTreeMap<Arc<str>, Arc<Service>>,
    /// `routes:` in the order of the file, which decides only between equally specific ones; at least one, and no two
    /// that match the same requests.
    pub routes: Vec<Arc<Route>>,
    /// `shutdown:` how the process ends.
    pub shutdown: Shutdown,
}

/// What is written to the log.
#[derive(Clone, Debug)]
pub struct Log {
    /// `level: info`, or `error`, `warn`, `debug`, `trace`: lines below it are not written.
    pub level: tracing::Level,
    /// `sessions: true`: each session writes a line when it opens and one when it ends.
    pub sessions: bool,
}

/// What one process accepts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `connections: auto`, or a number of client connections at once; `auto`, here `None`, derives it from the
    /// file-descriptor limit.
    pub connections: Option<NonZeroUsize>,
    /// `request_head: 16KiB`: bytes of one request head, 8 KiB to 1 MiB.
    pub request_head: usize,
    /// `request_headers: 100`: fields of one request head.
    pub request_headers: usize,
    /// `request_deadline: 10s`: from accept to the end of the request head, all included.
    pub request_deadline: Duration,
}

/// A socket that accepts clients.
#[derive(Clone, Debug)]
pub struct Listener {
    /// `address: ip:port`; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// `tls:` TLS with clients; absent: none.
    pub tls: Option<ListenerTls>,
    /// `http2: true`: whether HTTP/2 is spoken beside HTTP/1.1.
    pub http2: bool,
    /// `trusted_proxies: []`: peers whose forwarded headers are believed, as networks (`10.0.0.0/8`) or single addresses.
    pub trusted_proxies: Vec<IpNet>,
    /// `proxy_protocol: false`: whether every connection begins with a PROXY header, which only they may send.
    pub proxy_protocol: bool,
}

/// The admin address.
#[derive(Clone, Debug)]
pub struct Admin {
    /// `address: ip:port`.
    pub address: SocketAddr,
    /// `token_file:` the file that holds the bearer token of changing requests. It is not read here.
    pub token_file: Option<PathBuf>,
}

/// What the sources of one kind have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Providers {
    /// `consul:` the cluster that all `consul` sources ask.
    pub consul: ConsulProvider,
    /// `dns:` of all `dns` sources.
    pub dns: DnsProvider,
    /// `kubernetes:` of all `kubernetes` sources.
    pub kubernetes: KubernetesProvider,
}

/// What all `dns` sources have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsProvider {
    /// `allow: []`: networks of loopback, link-local and metadata addresses that names may lead to.
    pub allow: Vec<IpNet>,
}

/// What all `kubernetes` sources have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesProvider {
    /// `kubeconfig:` a kubeconfig file, of which the current context is used; absent: the cluster that this process runs
    /// in, as its service account.
    pub access: kubernetes::Access,
    /// `namespace:` of services that name none; absent: that of the service account, or of the context.
    pub namespace: Option<Box<str>>,
    /// `zone:` and `node:` that this process runs in and on, for hints on who should use which pod.
    pub location: kubernetes::Location,
    /// `allow: []`: networks of loopback, link-local and metadata addresses that may be endpoints.
    pub allow: Vec<IpNet>,
}

/// A folder for the last known endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// `cache:` the folder; made when it is first needed.
    pub folder: PathBuf,
    /// `cache_max_age: 24h`: endpoints that were last confirmed longer ago are not used.
    pub max_age: Duration,
}

/// A named set of endpoints and how sessions are spread over it.
#[derive(Clone, Debug)]
pub struct Service {
    /// The key that it stands under.
    pub name: Arc<str>,
    /// `discovery:` where its endpoints come from: one source, or a list of sources that is merged; not only fallbacks.
    pub discovery: Vec<Source>,
    /// `required: true`: readiness waits for its first endpoints, from a source or from the cache.
    pub required: bool,
    /// `empty_hold: 30s`: how long an unexplained empty answer of its registry is not believed.
    pub empty_hold: Duration,
    /// `balance: least-connection`: how endpoints are picked.
    pub balance: Strategy,
    /// `max_sessions_per_endpoint: 0`; 0, here `None`, is no limit.
    pub max_sessions_per_endpoint: Option<NonZeroUsize>,
    /// `affinity: none`, or one or several methods, tried in order: why a request must go to a given endpoint.
    pub affinity: Vec<Affinity>,
    /// `tls:` TLS with its endpoints; absent: none.
    pub tls: Option<ServiceTls>,
    /// `connect_timeout: 1s`: the time one TCP connect may take.
    pub connect_timeout: Duration,
    /// `handshake_timeout: 5s`: the time from the dial to the backend's answer, over all tries.
    pub handshake_timeout: Duration,
    /// `response_timeout: 5m`: the time from the last piece of a plain request to the head of its answer.
    pub response_timeout: Duration,
    /// `retry:` when another endpoint is tried.
    pub retry: Retry,
    /// `drain:` what happens to sessions whose endpoint or route is going away.
    pub drain: Drain,
}

/// One discovery source of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// One of the kinds.
    pub discovery: Discovery,
    /// `fallback: false`: whether it is used only while the others have no active endpoint.
    pub fallback: bool,
}

/// Where a source's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// `static:` a list of `ip:port`, or of `{ address: ip:port, weight: 1 }` with weights up to 65,535; no address twice.
    Static(Vec<Endpoint>),
    /// `file:` a file with a list as under `static`; followed when it changes.
    File(PathBuf),
    /// `dns:` the addresses of `name` at `port`, or what the SRV records of `srv` lead to, as `server` (absent: the
    /// system's servers) says.
    Dns(dns::Settings),
    /// `consul:` the instances of `service` that have all `tags` and meet `filter`; `address: service` is dialled, or
    /// `node`, `lan`, `lan_ipv4`, `lan_ipv6`, `wan`, `wan_ipv4`, `wan_ipv6`.
    Consul(Wanted),
    /// `kubernetes:` the pods behind `service` in `namespace` (absent: that of the provider), on `port`: a name in the
    /// Service, a number of the pods', or, absent, the only one there is.
    Kubernetes(kubernetes::Target),
}

/// How an endpoint is picked for a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `round-robin`: in turn, by weight, interleaved smoothly.
    RoundRobin,
    /// `least-connection`: the fewest sessions for its weight.
    LeastConnection,
    /// `power-of-two`: the better of two at random.
    PowerOfTwo,
}

/// When another endpoint is tried before the 101.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// `attempts: 3`: endpoints tried in all, the first included; 20 at most.
    pub attempts: usize,
    /// `on: [connect, ..]`: after a refused, unreachable or timed-out connect.
    pub on_connect: bool,
    /// `on: [timeout, ..]`: after a handshake timeout, or a connection that ended before any answer. `on` has both
    /// unless it is written.
    pub on_timeout: bool,
}

/// What happens to the sessions of an endpoint that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// `mode: keep`: keep them, or close them at a pace.
    pub mode: DrainMode,
    /// `window: 30s`: the time over which Closes are spread; not longer than `deadline`.
    pub window: Duration,
    /// `deadline: 10m`, from the start of the drain: what is left is cut.
    pub deadline: Duration,
    /// `close_code: 1001`: the code of the Closes, one that RFC 6455 allows to be sent.
    pub close_code: u16,
}

/// Keep the sessions of a leaving endpoint, or close them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainMode {
    /// `keep`: they stay until they end.
    Keep,
    /// `close`: they are closed at a pace.
    Close,
}

/// How the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Shutdown {
    /// `delay: 0s`: not ready, but still accepting.
    pub delay: Duration,
    /// `window: 20s`, from the end of `delay`: the time over which Closes are spread; not longer than `deadline`.
    pub window: Duration,
    /// `deadline: 30s`, from the same moment: what is left is cut.
    pub deadline: Duration,
}

/// Which requests go to which service, and how.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in logs and metrics: its match as written, so no two routes share one.
    pub name: Arc<str>,
    /// `match:` `host` (absent: any), `path` (absent: any), `headers` and `query` (name: value, or `"*"` for any value);
    /// and `allow_encoded_slash: false`, a key of the route.
    pub pattern: Pattern,
    /// `service:` the name of the service it binds to.
    pub service: Arc<str>,
    /// `rewrite:` the path sent to the backend, with the parameters of `match.path`; absent sends the client's own.
    pub rewrite: Option<Template>,
    /// `host: preserve`: the Host sent to the backend.
    pub host: HostRewrite,
    /// `forwarded: x-forwarded`: which headers tell the backend about the client.
    pub forwarded: Forwarded,
    /// `origins:` of pages that may open sessions and send requests; absent: any.
    pub origins: Option<Origins>,
    /// `cors:` what scripts of other origins may send and read; absent: for the backend to say.
    pub cors: Option<Arc<cors::Rules>>,
    /// `session:` bounds of its sessions.
    pub session: SessionLimits,
}

/// The Host sent to the backend.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// `preserve`: the client's own.
    Preserve,
    /// Anything else: this name, with a port if there is one.
    Set(http::HeaderValue),
}

/// Which headers tell the backend about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// `x-forwarded`: `X-Forwarded-For`, `-Host`, `-Proto`, `-Port`.
    XForwarded,
    /// `forwarded`: `Forwarded` (RFC 7239).
    Forwarded,
    /// `both`.
    Both,
    /// `none`: neither; those of a trusted proxy are dropped too.
    None,
}

/// Bounds of a route's sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// `idle_timeout: 1h`: no byte in either direction for so long ends the session.
    pub idle_timeout: Duration,
    /// `max_lifetime:` a session ends at this age, or up to a tenth earlier; absent: never.
    pub max_lifetime: Option<Duration>,
    /// `ping_interval:` a Ping to both peers after so long; absent: none.
    pub ping_interval: Option<Duration>,
    /// `ping_timeout: 20s`: a Ping must be answered within this; only with `ping_interval`.
    pub ping_timeout: Duration,
}

#[cfg(test)]
mod tests;
