//! A connection to an endpoint: TCP, and TLS where the service wants it.
//!
//! In: an address, how long a TCP connect may take, and what is to be sent first. Out: a [`Backend`] and how much of that
//! it has taken, or why there is none and whose fault that is.
//!
//! - What is to be sent first goes with the end of TCP's own handshake: one packet, where there were two.
//! - An endpoint on the same machine has usually accepted before `connect` returns. It is sent the first bytes at once,
//!   without a turn of the event loop.
//!
//! A TLS handshake has no time of its own: the caller bounds it together with what follows, as an endpoint that accepts
//! and then says nothing is silent, not unreachable.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{SendFlags, send},
};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::{listen::prepare, timers::timeout, tls::Target};

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) enum Backend {
    /// The socket itself.
    Plain(TcpStream),
    /// Within TLS. Boxed: where there is none, there is no room for it.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConnected {
    /// No TCP.
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    /// No TLS; and whether that is the endpoint's fault.
    #[error("no TLS: {0}")]
    Tls(io::Error, bool),
}

/// Connects within `limit`, with the socket options that a session of hours needs, and does the TLS handshake. Returns how
/// many of the `first` bytes are on their way already.
pub(crate) async fn connect(
    address: SocketAddr,
    limit: Duration,
    tls: Option<&Target>,
    first: &[u8],
) -> Result<(Backend, usize), NotConnected> {
    // Within TLS they are not the first.
    let first = if tls.is_some() { &[] } else { first };
    let (stream, sent) = connect_tcp(address, limit, first)
        .await
        .map_err(NotConnected::Tcp)?;
    let Some(tls) = tls else {
        return Ok((Backend::Plain(stream), sent));
    };
    match Box::pin(tls.connect(stream, address.ip())).await {
        Ok(stream) => Ok((Backend::Tls(Box::new(stream)), 0)),
        Err(error) => {
            let blames = tls.blames_endpoint(&error);
            Err(NotConnected::Tls(error, blames))
        }
    }
}

async fn connect_tcp(address: SocketAddr, limit: Duration, first: &[u8]) -> io::Result<(TcpStream, usize)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        None,
    )?;
    prepare(&socket)?;
    let joins = !first.is_empty();
    if joins {
        // tcp(7): else an empty acknowledgement goes before them.
        socket.set_tcp_quickack(false)?;
    }
    begin(&socket, address)?;
    let mut sent = send_if_connected(&socket, first)?;
    let stream = TcpStream::from_std(socket.into())?;
    if sent == 0 {
        connected_within(limit, &stream).await?;
        sent = if joins { send_some(&stream, first)? } else { 0 };
    }
    if joins {
        // What comes back is acknowledged at once again: a peer with Nagle's algorithm waits for that with the next it has
        // to say.
        SockRef::from(&stream).set_tcp_quickack(true)?;
    }
    Ok((stream, sent))
}

/// Has the kernel connect, which takes the time that it takes.
fn begin(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => Ok(()),
        begun => begun,
    }
}

/// Sends what the endpoint takes, if it is there.
fn send_if_connected(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN) => Ok(0),
        sent => Ok(sent?),
    }
}

/// Waits until the kernel has connected, or has given up.
async fn connected_within(limit: Duration, stream: &TcpStream) -> io::Result<()> {
    match timeout(limit, stream.writable()).await {
        Ok(connected) => connected?,
        Err(_) => {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {limit:?}"),
            ));
        }
    }
    stream.take_error()?.map_or(Ok(()), Err)
}

/// Sends what a connection takes that is there.
fn send_some(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.try_write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}

// === impl NotConnected ===

impl NotConnected {
    /// Whether it says something about the endpoint, and not about this process, the way to it or the client.
    pub(crate) fn blames_endpoint(&self) -> bool {
        match self {
            Self::Tcp(_) => !self.is_ours(),
            Self::Tls(_, blames) => *blames,
        }
    }

    /// Whether this process had no descriptor, port or memory, or is not allowed to connect.
    pub(crate) fn is_ours(&self) -> bool {
        let ours = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            // Of epoll(7): too many descriptors are watched.
            Errno::NOSPC,
            Errno::ADDRNOTAVAIL,
            Errno::ACCESS,
            Errno::PERM,
        ];
        let Self::Tcp(error) = self else { return false };
        error
            .raw_os_error()
            .is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code))
    }

    /// Whether there was no answer in time.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Tcp(error) if error.kind() == io::ErrorKind::TimedOut)
    }
}

// === impl Backend ===

impl AsyncRead for Backend {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Backend {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
