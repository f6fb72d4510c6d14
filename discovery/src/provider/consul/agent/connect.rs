//! One connection to an agent.
//!
//! In: an address. Out: an open HTTP connection, within [`CONNECT`] for everything together: the name, the TCP connect,
//! TLS and HTTP. An agent that speaks HTTP/2, which is only offered over TLS, carries all requests on one connection.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    super::{
        answer::Failure,
        settings::{Address, Tls},
    },
    files::Trust,
};

/// An open connection: one request at a time, or many.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(Http1),
    Http2(Http2),
}

/// One request at a time; may not be shared.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    /// Whether it has answered nothing yet.
    pub(super) fresh: bool,
    /// Of the TLS configuration it was opened with.
    pub(super) generation: u64,
    _driver: Driver,
}

/// Many requests at once, through its clones.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<Full<Bytes>>,
    pub(super) generation: u64,
    /// As many as there are requests under way, and one.
    pub(super) load: Arc<()>,
    _driver: Arc<Driver>,
}

/// The task that moves a connection's bytes; ends with the connection.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

type Reason = Box<dyn std::error::Error + Send + Sync>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens a connection.
pub(super) async fn open(address: &Address, tls: &Tls, trust: Option<&Trust>) -> Result<Connection, Failure> {
    let failed = |source: Reason| Failure::Connect {
        agent: address.to_string(),
        source,
    };
    match timeout(CONNECT, try_open(address, tls, trust)).await {
        Ok(opened) => opened.map_err(failed),
        Err(_) => Err(failed(format!("not within {CONNECT:?}").into())),
    }
}

async fn try_open(address: &Address, tls: &Tls, trust: Option<&Trust>) -> Result<Connection, Reason> {
    let generation = trust.map_or(0, |trust| trust.generation);
    let (stream, many): (Box<dyn Stream>, bool) = match address {
        Address::Unix(path) => (Box::new(UnixStream::connect(path).await?), false),
        Address::Tcp { host, port, .. } => {
            let stream = TcpStream::connect((&**host, *port)).await?;
            stream.set_nodelay(true)?;
            match trust {
                None => (Box::new(stream), false),
                Some(trust) => {
                    let name = tls.server_name.as_ref().unwrap_or(host);
                    let name = ServerName::try_from(name.to_string())?;
                    let connector = TlsConnector::from(Arc::clone(&trust.config));
                    let stream = connector.connect(name, stream).await?;
                    let many = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    (Box::new(stream), many)
                }
            }
        }
    };
    let io = TokioIo::new(stream);
    if !many {
        let (sender, connection) = http1::handshake(io).await?;
        let driver = Driver(tokio::spawn(async { drop(connection.await) }));
        return Ok(Connection::Http1(Http1 {
            sender,
            fresh: true,
            generation,
            _driver: driver,
        }));
    }
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .keep_alive_while_idle(true)
        .adaptive_window(true);
    let (sender, connection) = http.handshake(io).await?;
    let driver = Arc::new(Driver(tokio::spawn(async { drop(connection.await) })));
    Ok(Connection::Http2(Http2 {
        sender,
        generation,
        load: Arc::new(()),
        _driver: driver,
    }))
}

/// Three tries of a first packet; an agent is near.
const CONNECT: Duration = Duration::from_secs(5);
/// All watches hang on one connection, so it is worth a packet now and then to know that it is alive.
const PING: Duration = Duration::from_secs(15);
