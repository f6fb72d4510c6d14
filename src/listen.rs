//! Step 1: socket in, validated handshake out.
//!
//! In: bound sockets. Out: requests that are what RFC 9112 and RFC 6455 say a request is, each with its [`Arrival`], for
//! the stack of steps behind.
//!
//! - A PROXY header, TLS and the request head come in this order and have one deadline together.
//! - HTTP/1.1 is hyper's, with bounds on the head's size and fields; all but a plain request for a WebSocket, of whose cost
//!   it was a quarter (`upgrade`).
//! - After the 101 nothing of HTTP is kept of the connection.
//! - HTTP/2 is h2's: a connection of many requests and sessions, each on a stream that ends when it does.
//!
//! Not here: where a request goes ([`crate::route`]) and what else it must satisfy ([`crate::policy`]).

mod accept;
mod admission;
mod first;
pub mod handshake;
mod http1;
mod http2;
mod incoming;
mod linger;
mod preface;
pub mod proxy;
mod serve;
mod upgrade;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use http::{StatusCode, request::Parts};

pub(crate) use self::accept::prepare;
pub use self::{
    accept::{Accepted, Deliver, Door, bind, run as accept},
    admission::{Admission, Permit, raise_descriptor_limit},
    handshake::{BadHandshake, Kind, Upgrade, classify},
    incoming::Incoming,
    serve::serve,
};
use crate::{
    answer::Answer,
    config::Limits,
    dial::Opening,
    policy::headers::{Forwarding, Peer},
    router::Router,
    telemetry::{
        Rarely,
        metrics::{HandshakeEnd, Metrics},
    },
    tls,
};

/// One listening address and how its connections are treated.
#[derive(Debug)]
pub struct Site {
    /// The address as configured; port 0 means that the kernel chose.
    pub configured: SocketAddr,
    /// The address that is bound.
    pub bound: SocketAddr,
    /// What a reload can change.
    pub rules: ArcSwap<Rules>,
    /// Where connections are counted that end before their first request.
    pub metrics: Arc<Metrics>,
    /// How often it is said that one was refused for its PROXY header.
    pub refusals: Rarely,
}

/// How connections of a site are treated.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What backends are told of its clients, and whose word on that counts.
    pub forwarding: Arc<Forwarding>,
    /// Bounds of one connection's requests.
    pub limits: Limits,
    /// TLS, where its clients speak it.
    pub tls: Option<Arc<tls::Server>>,
    /// Every connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    pub http2: bool,
}

/// A client's connection, as all its requests share it.
#[derive(Debug)]
pub struct Arrival {
    /// The other end.
    pub address: SocketAddr,
    /// The other end as backends are told of it, and what it is believed.
    pub peer: Peer,
    /// The certificate that the client was shown, over TLS.
    pub certificate: Option<Arc<tls::Certificate>>,
    /// The session that this connection becomes once its 101 has been sent.
    opening: Mutex<Option<Opening>>,
}

impl Arrival {
    /// Makes this connection a session as soon as the 101 that is about to be returned has been sent.
    pub fn hand_over(&self, opening: Opening) {
        *self.opening.lock().unwrap_or_else(PoisonError::into_inner) = Some(opening);
    }

    /// Whether requests for this host may come this way: over TLS only for hosts that the certificate covers. Else the
    /// client has taken a connection to one host for one to another, which may be configured otherwise.
    pub fn covers(&self, host: &str) -> bool {
        self.certificate
            .as_ref()
            .is_none_or(|certificate| certificate.covers(host))
    }

    fn opening(&self) -> Option<Opening> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The longest request target.
const MAX_TARGET: usize = 8 * 1024;

/// The first step that reads a request: lets pass what is a proper one, with its [`Kind`].
pub fn judge(router: &Router, head: &mut Parts) -> Result<(), Answer> {
    let refuse = |end| router.metrics.unrouted().handshake(end);
    if head
        .uri
        .path_and_query()
        .is_some_and(|target| target.as_str().len() > MAX_TARGET)
    {
        refuse(HandshakeEnd::TooLarge);
        return Err(Answer::new(
            StatusCode::URI_TOO_LONG,
            "the request target is longer than 8 KiB",
        )
        .closing());
    }
    let kind = classify(head).map_err(|bad| {
        refuse(if bad == BadHandshake::Version {
            HandshakeEnd::NotUpgrade
        } else {
            HandshakeEnd::BadRequest
        });
        Answer {
            close: bad.closes(),
            field: bad.field(),
            ..Answer::new(bad.status(), bad.to_string())
        }
    })?;
    head.extensions.insert(kind);
    Ok(())
}
