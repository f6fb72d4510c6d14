//! The inside of large payloads, moved from socket to socket by the kernel.
//!
//! In: two sockets, and how many bytes may go. Out: these bytes in a [`Pipe`], and from there in the sink.
//!
//! - Bytes that are spliced are never copied into this process and out again: a message of 64 KiB costs half as much.
//! - A worker has [`PIPES`] pipes for all its sessions. A session has one only while bytes wait in it for the sink; where
//!   all are taken, bytes are copied as usual. So peers that do not read take no descriptors from others.
//! - Only for plain sockets ([`Stream::socket`]): what TLS or HTTP/2 put around a payload must be read.
//!
//! Not here: how many bytes belong to a payload ([`frames`](super::frames)), and which are worth it
//! ([`flow`](super::flow)).

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    fd::{AsFd, OwnedFd},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::TcpStream,
};

use super::{Leg, socket::Socket};

/// One of a session's two streams.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The socket whose bytes are the stream's own, if there is one.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    /// Writes what only the end of the stream is to follow. Where both can go in one packet, this part waits for it.
    fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    /// There is nothing to write for now, and what is held back must go: at once, or with what others of the worker write.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_flush(cx)
    }

    /// The other peer takes nothing now, so this stream is not read. One that shares a connection with others makes room
    /// for them here; how much it holds is up to itself.
    fn read_ahead(&mut self, _: &mut Context<'_>) {}
}

/// A stream that a session can be made of.
pub trait Joinable: Stream {
    /// What it is within the session.
    type Session: Stream + Send + 'static;

    /// Makes it that.
    fn into_session(self, leg: Leg) -> Self::Session;
}

impl Stream for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Joinable for TcpStream {
    type Session = Socket;

    fn into_session(self, leg: Leg) -> Socket {
        Socket::new(self, leg)
    }
}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

#[cfg(test)]
impl Joinable for tokio::io::DuplexStream {
    type Session = Self;

    fn into_session(self, _: Leg) -> Self {
        self
    }
}

/// A pipe of this worker, on loan; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Pipe {
    /// `None` only while it is dropped.
    ends: Option<Ends>,
    filled: u32,
}

#[derive(Debug)]
struct Ends {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// The pipes of a worker.
#[derive(Debug, Default)]
struct Pool {
    free: Vec<Ends>,
    lent: usize,
}

/// How many a worker has. One is enough while every sink takes what it is given.
const PIPES: usize = 4;

/// Bytes that one is to hold; the kernel may refuse more than its usual 64 KiB, and then there are more calls.
const SIZE: usize = 256 * 1024;

impl Pipe {
    /// An empty pipe; `None` while all are taken or there can be none.
    pub(super) fn borrow() -> Option<Self> {
        POOL.with_borrow_mut(|pool| {
            let ends = match pool.free.pop() {
                Some(ends) => ends,
                None if pool.lent < PIPES => Ends::try_new().ok()?,
                None => return None,
            };
            pool.lent += 1;
            Some(Self {
                ends: Some(ends),
                filled: 0,
            })
        })
    }

    /// Whether the sink has taken everything.
    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Takes what the source has, at most `limit`; 0 at its end. The pipe must be empty: only then does the kernel's
    /// "not now" speak of the source.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        limit: u64,
    ) -> Poll<io::Result<usize>> {
        let limit = usize::try_from(limit).map_or(SIZE, |limit| limit.min(SIZE));
        loop {
            ready!(source.poll_read_ready(cx))?;
            let moved = source.try_io(Interest::READABLE, || {
                move_bytes(source, &self.ends()?.writer, limit)
            });
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(n) => {
                    self.filled = u32::try_from(n).expect("no more than SIZE");
                    return Poll::Ready(Ok(n));
                }
                failed => return Poll::Ready(failed),
            }
        }
    }

    /// Gives the sink what it takes; how much that was.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>, sink: &TcpStream) -> Poll<io::Result<usize>> {
        loop {
            ready!(sink.poll_write_ready(cx))?;
            let filled = self.filled as usize;
            let moved = sink.try_io(Interest::WRITABLE, || {
                move_bytes(&self.ends()?.reader, sink, filled)
            });
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(n) => {
                    self.filled -= u32::try_from(n).expect("no more than there was");
                    return Poll::Ready(Ok(n));
                }
                failed => return Poll::Ready(failed),
            }
        }
    }

    fn ends(&self) -> io::Result<&Ends> {
        self.ends.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // The thread's pool may be gone when its last sessions are.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            pool.lent -= 1;
            // With somebody's bytes in it, it is of no use to anyone else.
            pool.free.extend(self.ends.take().filter(|_| self.filled == 0));
        });
    }
}

impl Ends {
    fn try_new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = fcntl_setpipe_size(&writer, SIZE);
        Ok(Self { reader, writer })
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, limit: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, limit, flags)?)
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

#[cfg(test)]
mod tests;
