//! What goes to the client on one stream.
//!
//! In: bytes, as many as there is room for. Out: the same in the connection's queue, which it sends when its turn comes.
//!
//! - Room is asked for only while there is something to send: what one stream has been given of the client's window for
//!   the connection, no other one can use.
//! - A client that takes nothing of what waits for it within [`STALL`] is given up, as the kernel does on a connection of
//!   HTTP/1: here the connection may be well and only one stream of it stuck.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use tokio::time::Sleep;

use crate::timers::sleep;

/// The sending half of a stream.
#[derive(Debug)]
pub(super) struct Outlet {
    send: SendStream<Bytes>,
    /// Runs while something waits for room.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// `TCP_USER_TIMEOUT` of the sockets.
const STALL: Duration = Duration::from_secs(30);

impl Outlet {
    pub(super) fn new(send: SendStream<Bytes>) -> Self {
        Self { send, stalled: None }
    }

    /// How many bytes can be sent now, one at least; `wanted` of them are asked for.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        self.send.reserve_capacity(wanted);
        loop {
            let room = self.send.capacity();
            if room > 0 {
                self.stalled = None;
                return Poll::Ready(Ok(room));
            }
            match self.send.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Poll::Pending => break,
            }
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends no more than there is room for; `last`: nothing follows.
    pub(super) fn send(&mut self, bytes: Bytes, last: bool) -> io::Result<()> {
        self.send.send_data(bytes, last).map_err(io::Error::other)
    }

    /// Sends what HTTP has behind a body; nothing follows.
    pub(super) fn send_trailers(&mut self, trailers: http::HeaderMap) {
        // Fails only if the client has left.
        let _ = self.send.send_trailers(trailers);
    }

    /// Ends the stream both ways, before its end.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.send.send_reset(reason);
    }

    /// Ready once the client has reset the stream, or the connection has ended.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.send.poll_reset(cx).map(drop)
    }
}
