//! A stream of HTTP/2 as one of a session's two streams.
//!
//! In: both halves of a stream whose extended CONNECT has been answered with 200. Out: bytes, as from a socket.
//!
//! - The end of the stream is END_STREAM, in both directions. A reset by the client is a failed read, and one that is
//!   dropped before its end was sent is reset with CANCEL (RFC 8441, 5).
//! - The client may send as much as has been read from here, and one window more. What waits to be read is copied out of
//!   the connection's frames: each of those costs far more memory than its bytes, and all streams of the connection
//!   together may have only so many waiting.
//! - What the client does not take waits in the connection up to a limit, and is asked for before it is copied.
//!
//! Not here: who reads and writes ([`crate::relay`]).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outlet::Outlet;
use crate::relay::{Joinable, Leg, Stream};

/// One stream, both ways.
#[derive(Debug)]
pub(super) struct Tunnel {
    outlet: Outlet,
    recv: RecvStream,
    /// What came and was not read.
    ahead: Vec<u8>,
    /// How much of it has been read.
    taken: usize,
    /// How the client's side ended; to be told behind what came before.
    over: Option<Over>,
    /// The end of our side has been sent.
    finished: bool,
}

#[derive(Clone, Copy, Debug)]
enum Over {
    Ended,
    Failed,
}

impl Tunnel {
    pub(super) fn new(outlet: Outlet, recv: RecvStream) -> Self {
        Self {
            outlet,
            recv,
            ahead: Vec::new(),
            taken: 0,
            over: None,
            finished: false,
        }
    }

    /// The next bytes that came; `None` once there are no more.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.over.is_none() {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return Poll::Ready(Some(bytes)),
                Some(Err(_)) => self.over = Some(Over::Failed),
                None => self.over = Some(Over::Ended),
            }
        }
        Poll::Ready(None)
    }

    /// Reads what was read ahead.
    fn take_ahead(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.ahead[self.taken..];
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        self.taken += n;
        if self.taken == self.ahead.len() {
            // Given back, not kept: an idle session owns no buffer.
            self.ahead = Vec::new();
            self.taken = 0;
        }
    }
}

impl Joinable for Tunnel {
    type Session = Self;

    fn into_session(self, _: Leg) -> Self {
        self
    }
}

impl Stream for Tunnel {
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(bytes)) = self.poll_next(cx) {
            self.ahead.extend_from_slice(&bytes);
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        self.take_ahead(buf);
        while buf.remaining() > 0
            && let Poll::Ready(Some(bytes)) = self.poll_next(cx)
        {
            let n = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes[..n]);
            self.ahead.extend_from_slice(&bytes[n..]);
        }
        let read = buf.filled().len() - before;
        if read > 0 {
            // Fails only for more than there was.
            let _ = self.recv.flow_control().release_capacity(read);
            return Poll::Ready(Ok(()));
        }
        match self.over {
            None => Poll::Pending,
            Some(Over::Ended) => Poll::Ready(Ok(())),
            Some(Over::Failed) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.outlet.poll_room(cx, bytes.len()))?;
        let n = room.min(bytes.len());
        self.outlet.send(Bytes::copy_from_slice(&bytes[..n]), false)?;
        Poll::Ready(Ok(n))
    }

    /// The connection sends what it has as soon as its turn comes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        self.finished = true;
        Poll::Ready(self.outlet.send(Bytes::new(), true))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if !self.finished {
            self.outlet.reset(Reason::CANCEL);
        }
    }
}

#[cfg(test)]
mod tests;
