//! A TCP connection of a session, which costs less per message once there are many.
//!
//! In: a socket. Out: the same as a [`Stream`].
//!
//! - At first it is tokio's stream and nothing else. After [`FEW`] calls it is busy, which takes a hundred bytes more.
//! - What a busy socket writes waits in the worker's [outbox](super::outbox), if it is little. To a session what waits is
//!   written; what the kernel then does not take is owed ([`Wire`]): it is sent before anything else, and nothing more is
//!   taken until then. So a socket owes no more than [`LITTLE`].
//! - Whatever else is written, the end of the stream too, goes behind what waits. A socket that is dropped is closed when
//!   what waits has been sent.
//!
//! Not here: how long pieces wait ([`outbox`](super::outbox)).

mod wire;

use std::{
    io, mem,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use rustix::net::SendFlags;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub(super) use self::wire::Wire;
use super::{
    Leg,
    outbox::{self, Batch},
    splice::Stream,
};

/// See the module.
#[derive(Debug)]
pub struct Socket {
    state: State,
    leg: Leg,
    /// Reads and writes that were not in vain, up to [`FEW`].
    calls: u8,
}

#[derive(Debug)]
enum State {
    Quiet(TcpStream),
    Busy(Busy),
    /// Only while the one becomes the other.
    Neither,
}

#[derive(Debug)]
struct Busy {
    wire: Arc<Wire>,
    /// The last batch that has something from here, and how much.
    batch: Batch,
    length: usize,
    /// Who is woken if not all of it can be sent; the wire knows too, behind a lock that a message need not take.
    task: Option<Waker>,
}

/// After so many reads and writes more are to be expected. An upgrade and its Close are fewer.
const FEW: u8 = 8;

/// How much may wait: copying more costs what is won.
const LITTLE: usize = 4 * 1024;

// === impl Socket ===

impl Socket {
    pub(super) fn new(stream: TcpStream, leg: Leg) -> Self {
        Self {
            state: State::Quiet(stream),
            leg,
            calls: 0,
        }
    }

    /// One more call that was not in vain.
    fn count(&mut self) {
        self.calls += 1;
        if self.calls == FEW
            && let State::Quiet(stream) = mem::replace(&mut self.state, State::Neither)
        {
            self.state = State::Busy(stream.into());
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Busy(busy) => busy.wire.poll_receive(cx, buffer),
            State::Quiet(stream) => {
                ready!(Pin::new(stream).poll_read(cx, buffer))?;
                self.count();
                Poll::Ready(Ok(()))
            }
            State::Neither => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let leg = self.leg;
        match &mut self.state {
            State::Busy(busy) => busy.poll_write(leg, cx, bytes),
            State::Quiet(stream) => {
                let written = ready!(Pin::new(stream).poll_write(cx, bytes))?;
                self.count();
                Poll::Ready(Ok(written))
            }
            State::Neither => Poll::Ready(Ok(0)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.state {
            State::Busy(busy) => busy.poll_sent(cx),
            State::Quiet(_) | State::Neither => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Busy(busy) => busy.poll_shutdown(cx),
            State::Quiet(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Neither => Poll::Ready(Ok(())),
        }
    }
}

impl Stream for Socket {
    fn socket(&self) -> Option<&TcpStream> {
        match &self.state {
            State::Busy(busy) => busy.behind_all(),
            State::Quiet(stream) => Some(stream),
            State::Neither => None,
        }
    }

    fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Were the end never to follow, the kernel would let go of it after a fifth of a second (tcp(7), TCP_CORK).
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        match &self.state {
            State::Busy(busy) => {
                ready!(busy.poll_sent(cx))?;
                wire::poll_send(busy.wire.stream(), cx, bytes, flags)
            }
            State::Quiet(stream) => wire::poll_send(stream, cx, bytes, flags),
            State::Neither => Poll::Ready(Ok(0)),
        }
    }

    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Busy(busy) => busy.poll_settle(cx),
            State::Quiet(_) | State::Neither => Poll::Ready(Ok(())),
        }
    }
}

// === impl Busy ===

impl From<TcpStream> for Busy {
    fn from(stream: TcpStream) -> Self {
        Self {
            wire: Arc::new(stream.into()),
            batch: Batch::NONE,
            length: 0,
            task: None,
        }
    }
}

impl Busy {
    fn poll_write(&mut self, leg: Leg, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.wire.poll_even(cx))?;
        let before = if self.waits() { self.length } else { 0 };
        if before + bytes.len() <= LITTLE
            && let Some(batch) = outbox::put(&self.wire, leg, bytes)
        {
            self.batch = batch;
            self.length = before + bytes.len();
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.poll_sent(cx))?;
        wire::poll_send(self.wire.stream(), cx, bytes, SendFlags::NOSIGNAL)
    }

    fn waits(&self) -> bool {
        outbox::holds(self.batch)
    }

    /// Has what waits sent, and others' with it.
    fn send(&self) {
        if self.waits() {
            outbox::send();
        }
    }

    /// Nothing waits nor is owed any more.
    fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send();
        self.wire.poll_even(cx)
    }

    /// Nothing is owed any more; nor will be when what waits has been sent, or else the task is woken.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.wire.poll_even(cx))?;
        if !self.waits() {
            return Poll::Ready(Ok(()));
        }
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            self.wire.wakes(cx.waker());
        }
        Poll::Pending
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        match SockRef::from(self.wire.stream()).shutdown(Shutdown::Write) {
            // The peer has gone, which reading tells.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }

    /// The socket, behind all that waits; not where anything is owed, which would be overtaken.
    fn behind_all(&self) -> Option<&TcpStream> {
        self.send();
        self.wire.is_even().then_some(self.wire.stream())
    }
}

#[cfg(test)]
mod tests;
