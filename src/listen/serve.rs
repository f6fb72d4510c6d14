//! An accepted connection, from its socket to what is spoken on it.
//!
//! In: an [`Accepted`] socket on the worker that serves it. Out: its requests, in HTTP, through the stack.
//!
//! - The layers of a connection come in the order of the wire, and what one of them needs to know of the connection is
//!   in [`Connection`].
//! - One deadline covers all of them, from the accept to the end of the request's head.
//!
//! Not here: HTTP itself ([`super::http1`]).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use super::{Accepted, Arrival, Permit, Rules, http1};
use crate::{policy::headers::Peer, stack::Stack};

/// What is known of a connection, whatever is spoken on it.
pub(super) struct Connection {
    /// The other end.
    pub(super) address: SocketAddr,
    /// Its place in this process.
    pub(super) permit: Permit,
    /// How its listener treated connections when it came.
    pub(super) rules: Arc<Rules>,
    /// When it was accepted.
    pub(super) at: Instant,
    /// Where its requests go.
    pub(super) stack: Stack,
}

/// Serves one connection until it ends or becomes a session.
pub async fn serve(accepted: Accepted, stack: Stack) {
    let Accepted {
        stream,
        address,
        permit,
        site,
        at,
    } = accepted;
    let connection = Connection {
        address,
        permit,
        rules: site.rules.load_full(),
        at,
        stack,
    };
    http1::serve(stream, connection).await;
}

impl Connection {
    /// What all its requests share.
    pub(super) fn arrival(&self) -> Arc<Arrival> {
        Arc::new(Arrival {
            address: self.address,
            peer: Peer::new(self.address, &self.rules.forwarding),
            opening: Mutex::default(),
        })
    }
}
