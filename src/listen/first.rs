//! What a client sends first.
//!
//! In: a fresh connection. Out: its first bytes.
//!
//! - Most clients have sent their request by the time that their connection is accepted. It is read straight from the
//!   socket then: no turn of the event loop, no timer. Where nothing is there yet, that has cost one call.
//! - The runtime takes a socket that it has just accepted to be readable. It is told when that is over, as it would have seen
//!   itself; so the next look waits, and does not try in vain.
//! - Nothing is kept for a client that says nothing: what it sends is read onto the stack.
//!
//! Not here: what it means ([`super::upgrade`], [`super::http1`]).

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::timers::timeout_at;

/// What is read at once.
const PIECE: usize = 8 * 1024;

/// What has been sent by now, whether or not the runtime has been told of it: `None` if nothing has, and no bytes if the
/// client has ended.
pub(super) fn at_hand(stream: &TcpStream) -> io::Result<Option<Bytes>> {
    let mut read = None;
    // Reading is within, so that what the runtime hears meanwhile is not forgotten.
    let _ = stream.try_io(Interest::READABLE, || {
        let seen = read.insert(receive(stream));
        let drained = match seen {
            Ok(Some(seen)) => (1..PIECE).contains(&seen.len()),
            Ok(None) => true,
            Err(_) => false,
        };
        match drained {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    });
    // A socket that another worker has accepted is not taken to be readable.
    read.unwrap_or_else(|| receive(stream))
}

fn receive(stream: &TcpStream) -> io::Result<Option<Bytes>> {
    let mut buffer = [MaybeUninit::uninit(); PIECE];
    match recv(stream, &mut buffer[..], RecvFlags::empty()) {
        Ok(((seen, _), _)) => Ok(Some(Bytes::copy_from_slice(seen))),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What comes first; `None` if the client leaves or says nothing in time.
pub(super) async fn await_some<S>(stream: &mut S, deadline: Instant) -> Option<Bytes>
where
    S: AsyncRead + Unpin,
{
    let first = poll_fn(|cx| poll_some(cx, stream, PIECE, Bytes::copy_from_slice));
    let first = timeout_at(deadline, first).await.ok()?.ok()?;
    (!first.is_empty()).then_some(first)
}

/// Hands over what comes next, at most so much of it and at most a [`PIECE`].
pub(super) fn poll_some<S, T>(
    cx: &mut Context<'_>,
    stream: &mut S,
    most: usize,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>>
where
    S: AsyncRead + Unpin,
{
    let mut buffer = [MaybeUninit::uninit(); PIECE];
    let mut buffer = ReadBuf::uninit(&mut buffer[..most.min(PIECE)]);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(take(buffer.filled())))
}
