//! What the tests are made of: a router process, a client, a backend, and a way to wait.
//!
//! In: a [`Config`]. Out: a running [`Router`] with its addresses and its log, [`Conn`]s whose both ends the test holds,
//! and [`Backend`]s that answer as the test says.
//! Promises: ports are the kernel's choice; every wait has a deadline; a router dies with its test.
//! Not here: anything from the product's own code; frames and heads are read by code written for the tests.

mod backend;
mod config;
mod conn;
mod dir;
mod door;
mod frame;
mod front;
mod http;
mod hubs;
mod log;
mod metrics;
mod pattern;
mod replicas;
mod router;
mod tls;
mod tools;
mod wait;
mod wire;

pub(crate) use self::backend::{Backend, BlackHole, Refusing, Script, accept_bytes, accept_of};
pub(crate) use self::config::Config;
pub(crate) use self::conn::{Conn, End};
pub(crate) use self::dir::Dir;
pub(crate) use self::door::{DOORS, Door, Entry, Visitor, at_every_door};
pub(crate) use self::frame::{Frame, close_code};
pub(crate) use self::front::Front;
pub(crate) use self::http::{Head, KEY, Request, Response};
pub(crate) use self::hubs::Hubs;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::pattern::{Pattern, splits};
pub(crate) use self::replicas::Replicas;
pub(crate) use self::router::{Router, longhaul};
pub(crate) use self::tls::{Authority, Certified, TlsBackend, curl, s_client, tls_connect, try_wss, wss};
pub(crate) use self::tools::{Player, Process, Tools};
pub(crate) use self::wait::{SOON, eventually, measure_for, run, run_within, within};

/// A router in front of one backend that the test plays by hand.
pub(crate) async fn router_and_backend() -> (Router, Backend) {
    let backend = Backend::manual().await;
    let router = Router::start(&Config::to(&[&backend])).await;
    (router, backend)
}

/// One open session: the client's end and the backend's end.
pub(crate) async fn session(router: &Router, backend: &Backend) -> (Conn, Conn) {
    let mut client = Conn::connect(router.address()).await;
    client.write(&Request::upgrade("/").bytes()).await;
    let mut server = backend.arrival().await;
    server.accept_upgrade().await;
    let head = client.head().await.expect("an answer");
    assert_eq!(head.status(), 101, "{head:?}");
    (client, server)
}

/// An open session whose backend runs by itself.
pub(crate) async fn open(router: &Router) -> Conn {
    let (client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
    assert_eq!(head.status(), 101, "{head:?}");
    client
}
