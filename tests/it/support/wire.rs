//! What a [`Conn`](super::Conn) runs over: TCP, TLS over it, or one stream of an HTTP/2 connection.
//!
//! Promises: a FIN is close_notify within TLS and END_STREAM on a stream; a reset is RST_STREAM(CANCEL) there; and a TLS
//! connection that ends without close_notify reads as one that was reset.

use std::{
    io::{Error, ErrorKind, Result},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::Response;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::Head;

pub(crate) enum Wire {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Stream(Box<Stream>),
}

/// One stream of an HTTP/2 connection, from the request on.
pub(crate) struct Stream {
    send: SendStream<Bytes>,
    answer: Option<ResponseFuture>,
    recv: Option<RecvStream>,
    ahead: Bytes,
}

impl Wire {
    pub(crate) fn stream(answer: ResponseFuture, send: SendStream<Bytes>) -> Self {
        Self::Stream(Box::new(Stream {
            send,
            answer: Some(answer),
            recv: None,
            ahead: Bytes::new(),
        }))
    }

    /// The socket, where it belongs to this connection alone.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Stream(_) => panic!("a stream shares its socket"),
        }
    }

    /// The head of the answer, where heads are not read as bytes.
    pub(crate) async fn head(&mut self) -> Option<Option<Head>> {
        let Self::Stream(stream) = self else { return None };
        let answer = stream.answer.take()?.await.ok();
        Some(answer.map(|answer| {
            let (head, recv) = answer.into_parts();
            stream.recv = Some(recv);
            written(&Response::from_parts(head, ()))
        }))
    }

    pub(crate) fn reset(self) {
        match self {
            Self::Stream(mut stream) => stream.send.send_reset(Reason::CANCEL),
            other => socket2::SockRef::from(other.tcp())
                .set_linger(Some(Duration::ZERO))
                .expect("a socket option"),
        }
    }
}

/// The head of an answer as HTTP/1.1 would write it.
fn written(answer: &Response<()>) -> Head {
    let mut bytes = format!("HTTP/2 {}\r\n", answer.status().as_u16()).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    Head::parse(&bytes)
}

fn gone(error: &h2::Error) -> Error {
    Error::new(ErrorKind::ConnectionReset, error.to_string())
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        while self.ahead.is_empty() {
            if let Some(answer) = &mut self.answer {
                let answer = ready!(Pin::new(answer).poll(cx)).map_err(|error| gone(&error))?;
                self.recv = Some(answer.into_body());
                self.answer = None;
            }
            let recv = self.recv.as_mut().expect("an answer that has come");
            match ready!(recv.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(gone(&error))),
                Some(Ok(bytes)) => {
                    recv.flow_control().release_capacity(bytes.len()).ok();
                    self.ahead = bytes;
                }
            }
        }
        let count = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..count]);
        self.ahead.advance(count);
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.send.reserve_capacity(bytes.len());
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(gone(&error))),
                None => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            }
        }
        let count = self.send.capacity().min(bytes.len());
        let part = Bytes::copy_from_slice(&bytes[..count]);
        let sent = self.send.send_data(part, false);
        Poll::Ready(sent.map(|()| count).map_err(|error| gone(&error)))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => {
                let read = ready!(Pin::new(stream).poll_read(cx, buf));
                Poll::Ready(read.map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => Error::new(ErrorKind::ConnectionReset, error),
                    _ => error,
                }))
            }
            Self::Stream(stream) => stream.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Stream(stream) => stream.poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Stream(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Stream(stream) => {
                let ended = stream.send.send_data(Bytes::new(), true);
                Poll::Ready(ended.map_err(|error| gone(&error)))
            }
        }
    }
}
