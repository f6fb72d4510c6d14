//! An accepted connection, from its socket to what is spoken on it.
//!
//! In: an [`Accepted`] socket on the worker that serves it. Out: its requests, in HTTP, through the stack; and the session
//! that it becomes, in the same task.
//!
//! - The layers of a connection come in the order of the wire (PROXY header, TLS, HTTP), and what one of them needs to
//!   know of the connection is in [`Connection`].
//! - One deadline covers all of them, from the accept to the end of the request's head.
//! - Who does not get as far as HTTP is counted and gets no answer: what it speaks is not known.
//!
//! Not here: HTTP itself ([`super::http1`], [`super::http2`]).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{net::TcpStream, time::Instant};

use super::{
    Accepted, Arrival, Permit, Rules, Site, first, http1, http2,
    proxy::{self, Source},
};
use crate::{
    dial::Life,
    policy::headers::Peer,
    relay::outbox::counted,
    router::Router,
    stack::Stack,
    telemetry::metrics::{Refused, TlsEnd},
    timers::timeout_at,
    tls::{Certificate, Server, ServerStream},
};

/// What is known of a connection, whatever is spoken on it.
pub(super) struct Connection {
    /// The other end, or the client that a trusted proxy has named in a PROXY header.
    pub(super) address: SocketAddr,
    /// What it was shown, over TLS.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Its place in this process.
    pub(super) permit: Permit,
    /// How its listener treated connections when it came.
    pub(super) rules: Arc<Rules>,
    /// When it was accepted.
    pub(super) at: Instant,
    /// Where its requests go.
    pub(super) stack: Stack,
    /// What all connections share.
    pub(super) router: Arc<Router>,
}

/// Serves one connection until it ends, as a session where it becomes one.
pub fn serve(accepted: Accepted, stack: Stack, router: Arc<Router>) -> impl Future<Output = ()> + Send {
    // Boxed, as a session is: what a connection needs to become one is given back before it begins, and what tokio moves
    // about when a task is made and ended is small.
    let connection = Box::pin(until_session(accepted, stack, router));
    async move {
        let session = counted(connection).await;
        if let Some(session) = session {
            counted(session).await;
        }
    }
}

/// Not an `async fn`: its future would hold all of this twice.
fn until_session(
    accepted: Accepted,
    stack: Stack,
    router: Arc<Router>,
) -> impl Future<Output = Option<Life>> + Send {
    let Accepted {
        stream,
        address,
        permit,
        site,
        at,
    } = accepted;
    let connection = Connection {
        address,
        certificate: None,
        permit,
        rules: site.rules.load_full(),
        at,
        stack,
        router,
    };
    async move {
        if connection.rules.proxy_protocol || connection.rules.tls.is_some() {
            // Boxed: a connection without these layers has no room for them.
            return Box::pin(serve_layered(stream, connection, site)).await;
        }
        let seen = first::at_hand(&stream).ok()?;
        if seen.as_ref().is_some_and(|seen| seen.is_empty()) {
            return None;
        }
        http1::serve(stream, connection, seen).await
    }
}

/// What comes before HTTP on the wire, and then HTTP.
async fn serve_layered(mut stream: TcpStream, mut connection: Connection, site: Arc<Site>) -> Option<Life> {
    if connection.rules.proxy_protocol {
        connection.address = client_of(&mut stream, &connection, &site).await?;
    }
    let Some(tls) = connection.rules.tls.clone() else {
        return http1::serve(stream, connection, None).await;
    };
    let (stream, certificate) = secured(stream, &tls, &connection, &site).await?;
    connection.certificate = Some(certificate);
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => {
            http2::serve(stream, connection).await;
            None
        }
        _ => http1::serve(stream, connection, None).await,
    }
}

/// The client that a PROXY header names; `None` after a refusal.
async fn client_of(stream: &mut TcpStream, connection: &Connection, site: &Site) -> Option<SocketAddr> {
    let peer = connection.address;
    let header = match connection.rules.forwarding.trusts(peer.ip()) {
        true => timeout_at(connection.deadline(), proxy::read(stream)).await,
        false => {
            refuse(site, peer, &"the peer is none of the trusted proxies");
            return None;
        }
    };
    match header {
        Ok(Ok(Source::Client(client))) => Some(client),
        Ok(Ok(Source::Local)) => Some(peer),
        Ok(Err(error)) => {
            refuse(site, peer, &error);
            None
        }
        Err(_) => {
            refuse(site, peer, &"the PROXY header did not come in time");
            None
        }
    }
}

fn refuse(site: &Site, peer: SocketAddr, why: &dyn std::fmt::Display) {
    site.metrics.refused(Refused::ProxyProtocol);
    if let Some(untold) = site.refusals.tell() {
        tracing::warn!(listener = %site.bound, %peer, reason = %why, untold, "connection refused");
    }
}

/// The stream within TLS; `None` where it does not come to that.
async fn secured(
    stream: TcpStream,
    tls: &Server,
    connection: &Connection,
    site: &Site,
) -> Option<(ServerStream, Arc<Certificate>)> {
    let end = match timeout_at(connection.deadline(), tls.accept(stream)).await {
        Ok(Ok(secured)) => {
            site.metrics.tls_handshake(TlsEnd::Established);
            return Some(secured);
        }
        Ok(Err(error)) => {
            tracing::debug!(listener = %site.bound, client = %connection.address, %error, "no TLS");
            TlsEnd::from(&error)
        }
        Err(_) => TlsEnd::TimedOut,
    };
    site.metrics.tls_handshake(end);
    None
}

impl Connection {
    /// What all its requests share.
    pub(super) fn arrival(&self) -> Arc<Arrival> {
        Arc::new(Arrival {
            address: self.address,
            peer: Peer::new(self.address, &self.rules.forwarding),
            certificate: self.certificate.clone(),
            opening: Mutex::default(),
        })
    }

    /// By when its first request must be there.
    pub(super) fn deadline(&self) -> Instant {
        self.at + self.rules.limits.request_deadline
    }
}
