//! A connection whose answer is read a second time, by hyper.
//!
//! In: a connection on which the request has been sent, and what has come back so far. Out: a stream on which the same
//! answer comes from its first byte.
//!
//! - What is written goes nowhere: hyper does not read an answer without having sent a request, and it has been sent.
//! - For the same reason nothing is there to read before something was written: hyper would take it for bytes that nobody
//!   asked for.
//!
//! Not here: which answers need this ([`super::offer`]).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose answer comes from its first byte.
#[derive(Debug)]
pub(super) struct Replay<S> {
    /// What has been read before and is to come again.
    seen: Bytes,
    stream: S,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    /// Nothing was written; this reader waits for it.
    No(Option<Waker>),
    Yes,
}

impl<S> Replay<S> {
    pub(super) fn new(seen: Bytes, stream: S) -> Self {
        Self {
            seen,
            stream,
            asked: Asked::No(None),
        }
    }

    /// The stream, and what has not come again.
    pub(super) fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.seen)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Asked::No(waiting) = &mut this.asked {
            *waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if this.seen.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let again = this.seen.split_to(this.seen.len().min(buf.remaining()));
        buf.put_slice(&again);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Asked::No(Some(reader)) = std::mem::replace(&mut self.asked, Asked::Yes) {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_again_and_then_what_follows() {
        let (mut peer, stream) = duplex(64);
        let mut replay = Replay::new(Bytes::from_static(b"HTTP/1.1 403"), stream);
        replay.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        peer.write_all(b" Forbidden").await.unwrap();
        drop(peer.shutdown().await);
        let mut all = String::new();
        replay.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "HTTP/1.1 403 Forbidden");
        let mut sent = Vec::new();
        drop(replay);
        peer.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, b"", "the request was sent before");
    }

    #[tokio::test]
    async fn nothing_comes_before_the_question_and_the_question_wakes_the_reader() {
        let (_peer, stream) = duplex(64);
        let (mut read, mut write) = tokio::io::split(Replay::new(Bytes::from_static(b"a"), stream));
        let reader = tokio::spawn(async move { read.read_u8().await });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        write.write_all(b"q").await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), b'a');
    }

    #[tokio::test]
    async fn what_did_not_come_again_is_given_back() {
        let (_peer, stream) = duplex(64);
        let mut replay = Replay::new(Bytes::from_static(b"abc"), stream);
        replay.write_all(b"q").await.unwrap();
        assert_eq!(replay.read_u8().await.unwrap(), b'a');
        assert_eq!(replay.into_parts().1, "bc");
    }
}
