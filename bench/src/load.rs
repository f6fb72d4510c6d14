//! The load generator: one thread, raw WebSocket frames over TCP or TLS, every byte checked.
//!
//! In: where to connect, and a job. Out: what the client saw: wall time, latencies, which endpoint a session reached.
//! Jobs have a fixed size, so the work of a proxy does not depend on how fast it is.
//! Not here: what the work cost the proxy; `usage` reads that from outside.

mod exchange;
mod opening;

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;

pub(crate) use exchange::{Exchange, exchange};
pub(crate) use opening::{cycle, open};

use crate::{failure::Failure, stream::Stream, wire::HeaderReader};

/// Where sessions are opened, in turn.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) addresses: Vec<SocketAddr>,
    /// What is spoken there around the sessions, if anything.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A session from the client's side.
#[derive(Debug)]
pub(crate) struct Session {
    stream: Stream,
    /// The address its backend was dialled at.
    pub(crate) endpoint: SocketAddr,
    /// Which payloads are its own.
    number: usize,
    /// Messages sent and received over its life.
    sent: usize,
    received: usize,
    reader: HeaderReader,
}

/// Connections beyond this many are not opened before earlier ones are done, so that no accept queue overflows.
pub(crate) const WINDOW: usize = 32;
/// Nothing at all for so long is a stall.
const PATIENCE: Duration = Duration::from_secs(10);

impl Targets {
    /// Connects to one of them.
    fn connect(&self, number: usize) -> Result<TcpStream, Failure> {
        let target = self.addresses[number % self.addresses.len()];
        let stream = TcpStream::connect_timeout(&target, PATIENCE)
            .map_err(|error| Failure::Peer(format!("connection {number} refused: {error}")))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn stalled(done: usize, of: usize) -> Failure {
    Failure::Peer(format!("stalled after {done} of {of}"))
}
