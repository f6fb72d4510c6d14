//! What a busy socket and the outbox share: the socket itself, and what it owes.
//!
//! In: pieces that have waited. Out: the same pieces in the kernel. What it does not take is a debt, and whoever writes
//! is woken to pay it.
//!
//! - Once it has failed it has failed: nothing is sent behind a gap, and reading tells why before it tells of an end.
//!
//! Not here: what waits ([`outbox`](crate::relay::outbox)).

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
};

/// See the module.
#[derive(Debug)]
pub(in crate::relay) struct Wire {
    stream: TcpStream,
    /// Whether there is a debt; only its own thread asks.
    owes: AtomicBool,
    debt: Mutex<Debt>,
}

/// What the kernel did not take.
#[derive(Debug, Default)]
struct Debt {
    bytes: Vec<u8>,
    failed: Option<io::ErrorKind>,
    task: Option<Waker>,
}

/// Sends as much as the kernel takes.
pub(super) fn poll_send(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
    flags: SendFlags,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let sent = attempt(stream, Interest::WRITABLE, bytes.len(), || {
            send(stream, bytes, flags)
        });
        if let Some(sent) = sent {
            return Poll::Ready(sent);
        }
    }
}

/// Apart from asking, which is done more often: a session asks both of its sockets, twice the one that has something.
#[inline(never)]
fn receive(stream: &TcpStream, buffer: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
    let free = buffer.initialize_unfilled();
    let received = attempt(stream, Interest::READABLE, free.len(), || {
        recv(stream, free, RecvFlags::empty()).map(|(_, received)| received)
    })?;
    Some(received.map(|received| buffer.advance(received)))
}

/// Does something that may move up to `most` bytes; nothing where it is not possible now. Where it moves less there is no more
/// to be had until the kernel says so (epoll(7)), and trying again would be a call in vain.
///
/// Tokio's own reads and writes do the same, but only for who has the stream alone; here the outbox has a share in it.
fn attempt(
    stream: &TcpStream,
    interest: Interest,
    most: usize,
    act: impl FnOnce() -> rustix::io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut moved = None;
    let tried = stream.try_io(interest, || match *moved.insert(act()?) {
        some if 0 < some && some < most => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    });
    match (moved, tried) {
        (Some(moved), _) => Some(Ok(moved)),
        (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Some(Err(error)),
        (None, _) => None,
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        Self {
            stream,
            owes: AtomicBool::new(false),
            debt: Mutex::default(),
        }
    }
}

impl Wire {
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Takes what has come.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            if let Some(received) = receive(&self.stream, buffer) {
                received?;
                if buffer.filled().len() == before {
                    self.not_reset()?;
                }
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends a piece, or as much of it as the kernel takes.
    pub(in crate::relay) fn send(&self, piece: &[u8]) {
        if !self.is_even() {
            return self.owe(piece);
        }
        match send(&self.stream, piece, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == piece.len() => {}
            Ok(sent) => self.owe(&piece[sent..]),
            Err(Errno::AGAIN | Errno::INTR) => self.owe(piece),
            Err(error) => self.fail(io::Error::from(error).kind()),
        }
    }

    /// Has this task woken once there is a debt.
    pub(super) fn wakes(&self, task: &Waker) {
        self.debt().task = Some(task.clone());
    }

    /// Nothing is owed.
    pub(super) fn is_even(&self) -> bool {
        !self.owes.load(Relaxed)
    }

    /// Pays what is owed.
    pub(super) fn poll_even(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.is_even() {
            true => Poll::Ready(Ok(())),
            false => self.poll_pay(cx),
        }
    }

    #[cold]
    fn poll_pay(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.not_failed()?;
        let mut debt = self.debt();
        while !debt.bytes.is_empty() {
            let sent = ready!(poll_send(&self.stream, cx, &debt.bytes, SendFlags::NOSIGNAL));
            let sent = sent.inspect_err(|error| debt.failed = Some(error.kind()))?;
            debt.bytes.drain(..sent);
        }
        debt.bytes = Vec::new();
        self.owes.store(false, Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Behind an end that the peer has sent, writing meets a broken pipe; and the end is still one.
    fn not_reset(&self) -> io::Result<()> {
        match self.debt().failed {
            Some(kind) if kind != io::ErrorKind::BrokenPipe => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn not_failed(&self) -> io::Result<()> {
        self.debt().failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    #[cold]
    fn owe(&self, rest: &[u8]) {
        self.debt().bytes.extend_from_slice(rest);
        self.call();
    }

    #[cold]
    fn fail(&self, how: io::ErrorKind) {
        self.debt().failed = Some(how);
        self.call();
    }

    /// There is a debt now.
    fn call(&self) {
        self.owes.store(true, Relaxed);
        if let Some(task) = &self.debt().task {
            task.wake_by_ref();
        }
    }

    fn debt(&self) -> MutexGuard<'_, Debt> {
        self.debt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
