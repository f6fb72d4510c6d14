//! The ways in: the same router over plain TCP and within TLS, for HTTP/1.1 and for HTTP/2.
//!
//! In: a [`Config`] and a [`Door`]. Out: an [`Entry`], whose [`Visitor`]s send the requests of HTTP/1.1 and get [`Conn`]s back;
//! on HTTP/2 each is a stream of the visitor's one connection, and an upgrade is an extended CONNECT.
//! Promises: what a test says and sees is the same at every door but for the status of an opened session
//! ([`Door::switched`]) and the framing of bodies ([`Door::framed`]).

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use h2::{
    client::{self, SendRequest},
    ext::Protocol,
};
use http::{Method, Version};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    Authority, Backend, Config, Conn, Dir, Request, Router, SOON, eventually, tls_connect, wire::Wire,
};

const NAME: &str = "chat.example.com";

/// How clients reach the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Plain,
    Tls,
    Http2,
    Http2Tls,
}

pub(crate) const DOORS: [Door; 4] = [Door::Plain, Door::Tls, Door::Http2, Door::Http2Tls];

/// A router behind a door.
pub(crate) struct Entry {
    pub(crate) door: Door,
    pub(crate) router: Router,
    client: Arc<ClientConfig>,
}

/// One client.
pub(crate) enum Visitor<'a> {
    /// Each session and each body of unknown length takes a connection of its own.
    Connections(&'a Entry),
    Streams(SendRequest<Bytes>, &'a Entry),
}

impl Door {
    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Http2Tls)
    }

    /// The status of an answer that opens a session.
    pub(crate) fn switched(self) -> u16 {
        if self.is_http2() { 200 } else { 101 }
    }

    /// A part of a body of unknown length, as it is on the wire.
    pub(crate) fn framed(self, part: &str) -> Vec<u8> {
        match self.is_http2() {
            true => part.as_bytes().to_vec(),
            false => format!("{:X}\r\n{part}\r\n", part.len()).into_bytes(),
        }
    }

    /// A router that lets clients in here; the listener may have more keys.
    pub(crate) async fn open_with(self, config: Config, listener: &str) -> Entry {
        let authority = Authority::new("authority");
        self.open_by(&authority, config, listener, &[]).await
    }

    /// The same by this authority, whose certificate is `ca.pem`, with these files beside the config.
    pub(crate) async fn open_by(
        self,
        authority: &Authority,
        config: Config,
        listener: &str,
        files: &[(&str, &str)],
    ) -> Entry {
        let own = authority.certify(&[NAME, "127.0.0.1"]);
        let dir = Dir::new();
        let tls = [
            ("tls.crt", &*own.certificate),
            ("tls.key", &own.key),
            ("ca.pem", &authority.pem),
        ];
        for (name, text) in tls.iter().chain(files) {
            dir.replace(name, text);
        }
        let mut keys = vec![listener];
        if self.is_tls() {
            keys.push("tls: { certificate: tls.crt, key: tls.key }");
        }
        keys.retain(|key| !key.is_empty());
        let config = match keys.is_empty() {
            true => config,
            false => config.listener(&keys.join(", ")),
        };
        let path = dir.replace("longhaul.yaml", &config.text());
        let offer: &[&[u8]] = if self.is_http2() { &[b"h2"] } else { &[b"http/1.1"] };
        Entry {
            door: self,
            router: Router::start_at(dir, &path).await,
            client: authority.client_of(offer),
        }
    }

    pub(crate) async fn open(self, config: Config) -> Entry {
        self.open_with(config, "").await
    }

    /// As [`super::router_and_backend`], behind this door.
    pub(crate) async fn and_backend(self) -> (Entry, Backend) {
        let backend = Backend::manual().await;
        let entry = self.open(Config::to(&[&backend])).await;
        (entry, backend)
    }
}

/// Runs a test at each door, with a backend that it plays by hand.
pub(crate) async fn at_every_door(test: impl AsyncFn(&Entry, &Backend)) {
    for door in DOORS {
        println!("at {door:?}");
        let (entry, backend) = door.and_backend().await;
        test(&entry, &backend).await;
    }
}

impl Entry {
    pub(crate) async fn visitor(&self) -> Visitor<'_> {
        match self.door {
            Door::Plain | Door::Tls => Visitor::Connections(self),
            Door::Http2 => {
                let stream = TcpStream::connect(self.router.address())
                    .await
                    .expect("a connection");
                stream.set_nodelay(true).expect("a socket option");
                Visitor::Streams(http2(stream).await, self)
            }
            Door::Http2Tls => Visitor::Streams(http2(self.tls().await).await, self),
        }
    }

    async fn tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let stream = tls_connect(self.router.address(), NAME, &self.client).await;
        let stream = stream.expect("TLS");
        stream.get_ref().0.set_nodelay(true).expect("a socket option");
        stream
    }

    async fn connection(&self) -> Conn {
        match self.door {
            Door::Tls => Conn::over(Wire::Tls(Box::new(self.tls().await))),
            _ => Conn::connect(self.router.address()).await,
        }
    }
}

impl Visitor<'_> {
    /// Sends a request without waiting for the answer; what is written next is its body, or what follows an upgrade.
    pub(crate) async fn start(&mut self, request: &Request) -> Conn {
        self.send(request, false).await
    }

    /// Sends a request that has no body.
    pub(crate) async fn ask(&mut self, request: &Request) -> Conn {
        self.send(request, true).await
    }

    async fn send(&mut self, request: &Request, whole: bool) -> Conn {
        match self {
            Self::Connections(entry) => {
                let mut conn = entry.connection().await;
                conn.write(&request.bytes()).await;
                conn
            }
            Self::Streams(send, _) => {
                poll_fn(|cx| send.poll_ready(cx)).await.expect("a connection");
                let sent = send.send_request(translated(request), whole);
                let (answer, send) = sent.expect("a connection");
                Conn::over(Wire::stream(answer, send))
            }
        }
    }

    /// Sends another request behind one that has been answered: on its connection, or on another stream beside it.
    pub(crate) async fn again(&mut self, mut conn: Conn, request: &Request) -> Conn {
        match self {
            Self::Connections(_) => {
                conn.write(&request.bytes()).await;
                conn
            }
            Self::Streams(..) => self.start(request).await,
        }
    }

    /// One open session.
    pub(crate) async fn session(&mut self, backend: &Backend) -> (Conn, Conn) {
        let mut client = self.start(&Request::upgrade("/")).await;
        let mut server = backend.arrival().await;
        server.accept_upgrade().await;
        let head = client.head().await.expect("an answer");
        let (Self::Connections(entry) | Self::Streams(_, entry)) = self;
        assert_eq!(head.status(), entry.door.switched(), "{head:?}");
        (client, server)
    }
}

async fn http2<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: T) -> SendRequest<Bytes> {
    let mut builder = client::Builder::new();
    // What it does not read on one stream must not keep it from reading another.
    builder
        .initial_max_send_streams(1000)
        .initial_connection_window_size(16 << 20);
    let (send, connection) = builder.handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    eventually(SOON, "ENABLE_CONNECT_PROTOCOL", || async {
        send.is_extended_connect_protocol_enabled().then_some(())
    })
    .await;
    send
}

/// A request of HTTP/1.1 as HTTP/2 says the same: without what HTTP/2 forbids, an upgrade as an extended CONNECT.
fn translated(request: &Request) -> http::Request<()> {
    let (method, target) = request.line_parts();
    let upgrade = request.value("upgrade").is_some();
    let authority = request.value("host").unwrap_or_else(|| NAME.to_owned());
    let mut built = http::Request::builder()
        .version(Version::HTTP_2)
        .uri(format!("http://{authority}{target}"));
    built = match upgrade {
        true => built
            .method(Method::CONNECT)
            .extension(Protocol::from_static("websocket")),
        false => built.method(method.as_str()),
    };
    let dropped = [
        "host",
        "connection",
        "upgrade",
        "sec-websocket-key",
        "transfer-encoding",
        "keep-alive",
        "proxy-connection",
    ];
    for (name, value) in request.fields() {
        if !dropped.iter().any(|other| name.eq_ignore_ascii_case(other)) {
            built = built.header(name.as_str(), value.as_slice());
        }
    }
    built.body(()).expect("a request")
}
