//! A TCP connection to an endpoint.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::listen::prepare;

/// Connects within `limit`, with the socket options that a session of hours needs.
pub(super) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        None,
    )?;
    prepare(&socket)?;
    let socket = TcpSocket::from_std_stream(socket.into());
    match timeout(limit, socket.connect(address)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no connection within {limit:?}"),
        )),
    }
}

/// Whether a failed connect says something about the endpoint, and not about this process or the way to it.
pub(super) fn blames_endpoint(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::ACCESS,
        Errno::PERM,
    ];
    !error
        .raw_os_error()
        .is_some_and(|code| ours.iter().any(|errno| errno.raw_os_error() == code))
}
