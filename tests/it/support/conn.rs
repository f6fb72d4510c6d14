//! One end of a connection that may behave or misbehave.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time,
};

use super::{Frame, Head, Request, Response, SOON, accept_bytes, wire::Wire, within};

/// How the other side left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A FIN.
    Finished,
    /// A RST.
    Reset,
}

/// A connection, what was read of it ahead, and whether frames sent on it are masked.
pub(crate) struct Conn {
    wire: Wire,
    ahead: BytesMut,
    masks: bool,
}

impl Conn {
    pub(crate) fn client(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket option");
        Self::over(Wire::Tcp(stream))
    }

    /// A client's end over whatever there is.
    pub(crate) fn over(wire: Wire) -> Self {
        Self {
            wire,
            ahead: BytesMut::new(),
            masks: true,
        }
    }

    /// The socket under it.
    pub(crate) fn tcp(&self) -> &TcpStream {
        self.wire.tcp()
    }

    pub(crate) fn server(stream: TcpStream) -> Self {
        Self {
            masks: false,
            ..Self::client(stream)
        }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within(SOON, address, TcpStream::connect(address)).await;
        Self::client(stream.unwrap_or_else(|error| panic!("connect to {address}: {error}")))
    }

    /// A connection that can hold little of what it does not read.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a socket option");
        socket.set_send_buffer_size(4096).expect("a socket option");
        Self::client(
            within(SOON, address, socket.connect(address))
                .await
                .expect("a connection"),
        )
    }

    /// As [`Self::upgrade`] with a correct request, for many at once.
    pub(crate) async fn upgrade_owned(address: SocketAddr) -> Self {
        let (client, head) = Self::upgrade(address, &Request::upgrade("/")).await;
        assert_eq!(head.status(), 101, "{head:?}");
        client
    }

    /// Connects, sends the request and reads the answer's head.
    pub(crate) async fn upgrade(address: SocketAddr, request: &Request) -> (Self, Head) {
        let mut client = Self::connect(address).await;
        client.write(&request.bytes()).await;
        let head = client.head().await.expect("an answer");
        (client, head)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.expect("a peer that reads");
    }

    /// As [`Self::write`], towards a peer that may have left.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.wire.write_all(bytes).await?;
        self.wire.flush().await
    }

    /// One segment for each byte, as far as the kernel goes along.
    pub(crate) async fn write_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write(&[*byte]).await;
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        let bytes = self.encode(frame);
        self.write(&bytes).await;
    }

    /// The frame's bytes as this side has to send them: a client masks.
    pub(crate) fn encode(&self, frame: Frame) -> Vec<u8> {
        if self.masks {
            frame.masked(fastrand::u32(..).to_be_bytes()).encode()
        } else {
            frame.encode()
        }
    }

    /// The next frame, or how the connection ended (with a part of a frame or without).
    pub(crate) async fn next(&mut self) -> Result<Frame, End> {
        loop {
            if let Some((frame, length)) = Frame::decode(&self.ahead) {
                self.ahead.advance(length);
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        within(SOON, "a frame", self.next())
            .await
            .expect("a frame, not the end")
    }

    /// Sends a text and waits for it to come back.
    pub(crate) async fn echoes(&mut self, text: &str) {
        self.send(Frame::text(text)).await;
        assert_eq!(self.frame().await.string(), text);
    }

    /// A head up to and with its empty line; `None` when the connection ended first.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        within(Duration::from_secs(20), "a head", async {
            if let Some(head) = self.wire.head().await {
                return head;
            }
            loop {
                if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                    return Some(Head::parse(&self.ahead.split_to(at + 4)));
                }
                self.fill().await.ok()?;
            }
        })
        .await
    }

    /// An answer and its body, by Content-Length, chunks or the end of the connection.
    pub(crate) async fn response(&mut self) -> Response {
        let head = self.head().await.expect("an answer");
        let body = if head.has("content-length") || head.has("transfer-encoding") {
            self.body(&head).await
        } else if matches!(head.status(), 100..=199 | 204 | 304) {
            Vec::new()
        } else {
            self.rest().await.0
        };
        Response { head, body }
    }

    /// The body that this head announces, of a length or in chunks.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        within(SOON, "a body", self.try_body(head))
            .await
            .expect("a body, not the end")
    }

    /// As [`Self::body`], of a peer that may leave.
    pub(crate) async fn try_body(&mut self, head: &Head) -> Result<Vec<u8>, End> {
        match head.value("content-length") {
            Some(length) => self.try_take(length.parse().expect("a length")).await,
            None if head.value("transfer-encoding") == Some("chunked") => self.chunks().await,
            None => Ok(Vec::new()),
        }
    }

    /// Reads a head as a backend and answers it with a correct 101.
    pub(crate) async fn accept_upgrade(&mut self) -> Head {
        let head = self.head().await.expect("an upgrade request");
        self.write(&accept_bytes(&head, "")).await;
        head
    }

    /// Exactly so many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = within(SOON, "bytes", self.try_take(count)).await;
        taken.unwrap_or_else(|end| panic!("{end:?} after {} of {count} bytes", self.ahead.len()))
    }

    async fn try_take(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.ahead.len() < count {
            self.fill().await?;
        }
        Ok(self.ahead.split_to(count).to_vec())
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        within(SOON, "the end of the connection", async {
            loop {
                if let Err(end) = self.fill().await {
                    return (self.ahead.split().to_vec(), end);
                }
            }
        })
        .await
    }

    /// Every frame up to the end of the connection; bytes of a cut frame are the second part.
    pub(crate) async fn frames_to_end(&mut self) -> (Vec<Frame>, Vec<u8>) {
        within(SOON, "the end of the session", async {
            let mut frames = Vec::new();
            loop {
                match self.next().await {
                    Ok(frame) => frames.push(frame),
                    Err(_) => return (frames, self.ahead.split().to_vec()),
                }
            }
        })
        .await
    }

    /// What came within a window in which nothing should come; an end of the connection counts as nothing.
    pub(crate) async fn arrivals(&mut self, window: Duration) -> Vec<u8> {
        let filling = async { while self.fill().await.is_ok() {} };
        time::timeout(window, filling).await.ok();
        self.ahead.split().to_vec()
    }

    /// A FIN; this side may still read.
    pub(crate) async fn finish(&mut self) {
        self.wire.shutdown().await.expect("a connection to half-close");
    }

    /// Both directions apart; nothing may have been read ahead.
    pub(crate) fn into_halves(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        assert!(
            self.ahead.is_empty(),
            "{} bytes were read ahead",
            self.ahead.len()
        );
        match self.wire {
            Wire::Tcp(stream) => stream.into_split(),
            _ => panic!("no halves of TCP"),
        }
    }

    /// A RST.
    pub(crate) fn reset(self) {
        self.wire.reset();
    }

    /// Reads once into what is ahead.
    async fn fill(&mut self) -> Result<(), End> {
        self.ahead.reserve(16 * 1024);
        match self.wire.read_buf(&mut self.ahead).await {
            Ok(0) => Err(End::Finished),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("read: {error}"),
        }
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.try_take(1).await?);
            }
            let length =
                usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).expect("a chunk length");
            let chunk = self.try_take(length + 2).await?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }
}
