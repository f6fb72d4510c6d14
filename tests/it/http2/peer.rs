//! A client of HTTP/2: the `h2` crate for what is right, bytes by hand for what is not.

use std::{future::poll_fn, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use h2::{
    Reason, RecvStream, SendStream,
    client::{self, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, Method, Request, Response, Version, response::Parts};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

use crate::support::*;

/// A connection on which requests and sessions are opened.
pub(super) struct Client {
    send: SendRequest<Bytes>,
    pub(super) connection: JoinHandle<Result<(), h2::Error>>,
}

/// One session.
pub(super) struct Tunnel {
    pub(super) head: Parts,
    pub(super) send: SendStream<Bytes>,
    pub(super) recv: RecvStream,
    ahead: BytesMut,
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// END_STREAM.
    Ended,
    Reset(Option<Reason>),
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        Self::over(stream).await
    }

    /// On a stream that is connected already.
    pub(super) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let mut builder = client::Builder::new();
        // What it does not read on one stream must not keep it from reading another.
        builder
            .initial_max_send_streams(1000)
            .initial_connection_window_size(16 << 20);
        let (send, connection) = builder.handshake(stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        // Its settings say whether WebSockets may be asked for.
        eventually(SOON, "ENABLE_CONNECT_PROTOCOL", || async {
            send.is_extended_connect_protocol_enabled().then_some(())
        })
        .await;
        Self { send, connection }
    }

    /// Sends a request without a body, and leaves its own side open.
    pub(super) async fn start(
        &mut self,
        request: Request<()>,
    ) -> Result<(Response<RecvStream>, SendStream<Bytes>), h2::Error> {
        poll_fn(|cx| self.send.poll_ready(cx)).await?;
        let (answer, send) = self.send.send_request(request, false)?;
        let answer = within(SOON, "an answer", answer).await?;
        Ok((answer, send))
    }

    /// The status, fields and body of an answer that is no session.
    pub(super) async fn refusal(&mut self, request: Request<()>) -> (Parts, String) {
        let (answer, send) = self.start(request).await.expect("an answer");
        let (head, mut recv) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(bytes) = within(SOON, "a body", recv.data()).await {
            body.extend(bytes.expect("a whole body"));
        }
        drop(send);
        (head, String::from_utf8(body).expect("text"))
    }

    pub(super) async fn open(&mut self) -> Tunnel {
        self.open_as(websocket("/")).await
    }

    pub(super) async fn open_as(&mut self, request: Request<()>) -> Tunnel {
        let (answer, send) = self.start(request).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
        let (head, recv) = answer.into_parts();
        Tunnel {
            head,
            send,
            recv,
            ahead: BytesMut::new(),
        }
    }
}

impl Tunnel {
    pub(super) async fn send(&mut self, frame: Frame) {
        self.write(&frame.masked([1, 2, 3, 4]).encode()).await;
    }

    /// Sends as fast as the router's windows let it.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.send.reserve_capacity(bytes.len());
            while self.send.capacity() == 0 {
                let room = poll_fn(|cx| self.send.poll_capacity(cx)).await;
                room.expect("an open stream").expect("an open stream");
            }
            let n = self.send.capacity().min(bytes.len());
            let part = Bytes::copy_from_slice(&bytes[..n]);
            self.send.send_data(part, false).expect("an open stream");
            bytes = &bytes[n..];
        }
    }

    pub(super) async fn next(&mut self) -> Result<Frame, Over> {
        within(SOON, "a frame", async {
            loop {
                if let Some((frame, length)) = Frame::decode(&self.ahead) {
                    self.ahead.advance(length);
                    return Ok(frame);
                }
                match self.recv.data().await {
                    Some(Ok(bytes)) => {
                        let _ = self.recv.flow_control().release_capacity(bytes.len());
                        self.ahead.extend_from_slice(&bytes);
                    }
                    Some(Err(error)) => return Err(Over::Reset(error.reason())),
                    None => return Err(Over::Ended),
                }
            }
        })
        .await
    }

    pub(super) async fn echoes(&mut self, text: &str) {
        self.send(Frame::text(text)).await;
        let frame = self.next().await.expect("an echo");
        assert_eq!((frame.opcode, frame.string()), (1, text.to_owned()));
    }

    /// END_STREAM.
    pub(super) fn finish(&mut self) {
        self.send.send_data(Bytes::new(), true).expect("an open stream");
    }
}

/// A request for a WebSocket.
pub(super) fn websocket(path: &str) -> Request<()> {
    let request = extended("websocket", path).header("sec-websocket-version", "13");
    request.body(()).expect("a request")
}

pub(super) fn extended(protocol: &'static str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri(format!("http://chat.example{path}"))
        .extension(Protocol::from_static(protocol))
}

pub(super) fn get(path: &str) -> Request<()> {
    let uri = format!("http://chat.example{path}");
    Request::get(uri).body(()).expect("a request")
}

/// The fields that HTTP/2 does not have.
pub(super) fn assert_no_connection_fields(headers: &HeaderMap) {
    for name in [
        "connection",
        "upgrade",
        "sec-websocket-accept",
        "transfer-encoding",
    ] {
        assert!(!headers.contains_key(name), "{headers:?}");
    }
}

/// A connection that sends whatever it is given.
pub(super) struct Raw(pub(super) Conn);

/// What came in one frame.
#[derive(Debug)]
pub(super) struct RawFrame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const GOAWAY: u8 = 7;
/// END_HEADERS.
pub(super) const WHOLE: u8 = 4;

impl Raw {
    /// With the preface, and settings that leave everything as it is.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let mut conn = Conn::connect(address).await;
        conn.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        conn.write(&frame(4, 0, 0, &[])).await;
        Self(conn)
    }

    /// The next frame of this kind on this stream.
    pub(super) async fn until(&mut self, kind: u8, stream: u32) -> RawFrame {
        loop {
            let found = self.next().await;
            if (found.kind, found.stream) == (kind, stream) {
                return found;
            }
        }
    }

    /// What a request comes to: the head of an answer, a reset, or the end of the connection.
    pub(super) async fn outcome(&mut self, stream: u32) -> RawFrame {
        loop {
            let found = self.next().await;
            let is_its_own = found.stream == stream && [HEADERS, RST_STREAM].contains(&found.kind);
            if is_its_own || found.kind == GOAWAY {
                return found;
            }
        }
    }

    async fn next(&mut self) -> RawFrame {
        let head = self.0.take(9).await;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        RawFrame {
            kind: head[3],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: self.0.take(length).await,
        }
    }
}

/// One frame of HTTP/2.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals, as HPACK allows them always (RFC 7541, 6.2.2).
pub(super) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short field"));
            block.extend(text.bytes());
        }
    }
    block
}

/// An extended CONNECT by hand.
pub(super) const CONNECT: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "chat.example"),
    ("sec-websocket-version", "13"),
];

/// A plain request by hand.
pub(super) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "chat.example"),
];
