//! A connection of the load generator or of a backend: plain, or within TLS.
//!
//! In: a connected socket that does not block. Out: `Read` and `Write` as on the socket itself, an end of the connection
//! included. A plain stream costs what its socket costs.
//! Within TLS bytes may be held on both ways: after a read as long as [`Stream::holds_more`] says so, after a write as long as
//! [`Stream::is_waiting`]; readiness of the socket tells about neither.

mod tls;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, pki_types::ServerName};

use crate::wire::HOST;
use tls::Tls;

/// A connection, plain or within TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

impl Stream {
    /// A connection to a server; its handshake begins with the first write.
    pub(crate) fn client(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let Some(config) = tls else {
            return Ok(Self::Plain(socket));
        };
        let name = ServerName::try_from(HOST).expect("it is written as a name");
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(Tls::new(socket, connection.into()))))
    }

    /// A connection that was accepted; its handshake is done by reading.
    pub(crate) fn server(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else {
            return Ok(Self::Plain(socket));
        };
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(Tls::new(socket, connection.into()))))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    /// Whether a read would bring bytes though the socket has none.
    pub(crate) fn holds_more(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.holds_more(),
        }
    }

    /// Whether bytes that a write took are not with the kernel yet; `flush` tries again.
    pub(crate) fn is_waiting(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.is_waiting(),
        }
    }

    /// Says that no more will be written, in the words of TLS only.
    pub(crate) fn say_end(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.say_end(),
        }
    }

    /// Says it in TCP's words too.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.say_end()?;
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Gives the kernel what was held; what it does not take stays.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        thread::{self, JoinHandle},
    };

    use super::*;
    use crate::{
        outbox::Outbox,
        peers,
        poll::{Interest, Poller},
        tls::{self, Certificates},
        wire::Payloads,
    };

    const LENGTH: usize = 8 * 1024 * 1024;

    /// A client's stream to a server that answers so many bytes with the same.
    fn echoed() -> (Stream, JoinHandle<()>) {
        let files = Certificates::try_new(peers::folder()).unwrap();
        let config = tls::server(&files.certificate(), &files.key()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let server = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let mut stream = Stream::server(socket, Some(&config)).unwrap();
            let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
            while all.len() < LENGTH {
                match stream.read(&mut buffer) {
                    Ok(read) => all.extend_from_slice(&buffer[..read]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            stream.write_all(&all).unwrap();
            stream.end().unwrap();
        });
        (Stream::client(socket, Some(&files.client)).unwrap(), server)
    }

    #[test]
    fn what_socket_or_buffer_have_no_room_for_is_held_and_told() {
        let (mut stream, server) = echoed();
        let payload = Payloads::new(LENGTH).of(0, 0, LENGTH).to_vec();
        let mut poller = Poller::try_new().unwrap();
        poller.add(&stream, 0, Interest::READ).unwrap();
        let (mut outbox, mut back, mut buffer) = (Outbox::default(), Vec::new(), [0; 1000]);
        outbox.send(&mut stream, &payload).unwrap();
        loop {
            let write = outbox.is_waiting() || stream.is_waiting();
            poller.change(&stream, 0, Interest { read: true, write }).unwrap();
            if !stream.holds_more() {
                assert!(poller.wait(None).unwrap().next().is_some());
            }
            outbox.flush(&mut stream).unwrap();
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => back.extend_from_slice(&buffer[..read]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert!(back == payload);
        server.join().unwrap();
    }
}
