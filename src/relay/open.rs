//! A stream of a session, as long as it is open.
//!
//! In: a stream. Out: the same, until it is closed at once ([`Open::poll_close`]). What its peer has ended, we end by closing
//! it: for a socket that is one call, where the end of the stream, the event that both have ended, and the close are three.
//!
//! Not here: when the peer has ended it ([`ending`](super::ending)).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::splice::Stream;

/// See the module.
pub(super) struct Open<S> {
    /// `None` once it is closed.
    stream: Option<S>,
}

impl<S: Stream> Open<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: Some(stream) }
    }

    /// Ends a stream that its peer has ended.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Dropping a socket closes it. Within TLS there is an end to be said before.
        match self.stream.take_if(|stream| stream.socket().is_some()) {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(self).poll_shutdown(cx),
        }
    }
}

impl<S: Stream> AsyncRead for Open<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Stream> AsyncWrite for Open<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_write(cx, bytes),
            None => closed(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: Stream> Stream for Open<S> {
    fn socket(&self) -> Option<&TcpStream> {
        self.stream.as_ref()?.socket()
    }

    fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Some(stream) => stream.poll_write_last(cx, bytes),
            None => closed(),
        }
    }

    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => stream.poll_settle(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        if let Some(stream) = &mut self.stream {
            stream.read_ahead(cx);
        }
    }
}

fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_socket_is_closed_and_takes_nothing_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut open = Open::new(ours);
        open.write_all(b"last").await.unwrap();
        peer.shutdown().await.unwrap();
        assert_eq!(open.read(&mut [0; 8]).await.unwrap(), 0);
        poll_fn(|cx| open.poll_close(cx)).await.unwrap();
        assert!(open.socket().is_none());
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"last");
        assert_eq!(open.read(&mut [0; 8]).await.unwrap(), 0);
        open.write_all(b"more").await.unwrap_err();
        open.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_more_than_a_socket_says_its_own_end() {
        let (ours, mut peer) = tokio::io::duplex(64);
        let mut open = Open::new(ours);
        poll_fn(|cx| open.poll_close(cx)).await.unwrap();
        assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
        peer.write_all(b"late").await.unwrap();
        assert_eq!(open.read(&mut [0; 8]).await.unwrap(), 4);
    }
}
