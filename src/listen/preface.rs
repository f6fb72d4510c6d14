//! HTTP/2 with prior knowledge, told from HTTP/1 by its first bytes (RFC 9113, 3.3 and 3.4).
//!
//! In: a fresh stream. Out: the same stream to be read as HTTP/1; or, where the preface of HTTP/2 comes, an end of it,
//! and the whole of it again from [`Sniffed::into_http2`].
//!
//! A request of HTTP/1 is read where its reader wants it and is only looked at there: no call to the kernel is made for
//! it, and no byte copied. What begins like the preface is held until it is clear.
//!
//! Not here: how long it may take, which is up to who reads.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of which it is not known yet what is spoken on it.
#[derive(Debug)]
pub(super) struct Sniffed<S> {
    stream: S,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has come.
    Fresh,
    /// What has come may become the preface.
    Unclear(Vec<u8>),
    /// Whatever comes is the reader's.
    Open,
    /// Begins with these bytes.
    Http2(Vec<u8>),
    /// These come again before what follows.
    Again(Vec<u8>),
}

/// No request of HTTP/1 can begin like this: there is no version 2.0 of it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl<S> Sniffed<S> {
    /// `look`: whether HTTP/2 is spoken here at all.
    pub(super) fn new(stream: S, look: bool) -> Self {
        let state = if look { State::Fresh } else { State::Open };
        Self { stream, state }
    }

    /// The stream, where HTTP/1 has been read.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// The stream from its first byte if it is one of HTTP/2, else as it is.
    pub(super) fn into_http2(mut self) -> Result<Self, Self> {
        match self.state {
            State::Http2(seen) => {
                self.state = State::Again(seen);
                Ok(self)
            }
            _ => Err(self),
        }
    }
}

impl<S: AsyncRead + Unpin> Sniffed<S> {
    fn poll_fresh(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let first = &buf.filled()[before..];
        let compared = first.len().min(PREFACE.len());
        if compared == 0 || first[..compared] != PREFACE[..compared] {
            self.state = State::Open;
            return Poll::Ready(Ok(()));
        }
        let seen = first.to_vec();
        buf.set_filled(before);
        if compared == PREFACE.len() {
            self.state = State::Http2(seen);
            return Poll::Ready(Ok(()));
        }
        self.state = State::Unclear(seen);
        self.poll_unclear(cx, buf)
    }

    /// Comes here only where a client sends its first bytes one by one.
    fn poll_unclear(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while let State::Unclear(seen) = &mut self.state {
            // Never more than would fit where the reader wants it.
            let mut more = [0; PREFACE.len()];
            let mut more = ReadBuf::new(&mut more[seen.len()..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut more))?;
            seen.extend_from_slice(more.filled());
            if more.filled().is_empty() || !PREFACE.starts_with(seen) {
                buf.put_slice(seen);
                self.state = State::Open;
            } else if seen.len() == PREFACE.len() {
                self.state = State::Http2(std::mem::take(seen));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_again(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let State::Again(seen) = &mut self.state
            && !seen.is_empty()
        {
            let n = seen.len().min(buf.remaining());
            buf.put_slice(&seen[..n]);
            seen.drain(..n);
            return Poll::Ready(Ok(()));
        }
        // From here on it is a stream like any other.
        self.state = State::Open;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.state {
            State::Open => Pin::new(&mut self.stream).poll_read(cx, buf),
            State::Fresh => self.poll_fresh(cx, buf),
            State::Unclear(_) => self.poll_unclear(cx, buf),
            // To whoever reads HTTP/1, the stream is over.
            State::Http2(_) => Poll::Ready(Ok(())),
            State::Again(_) => self.poll_again(cx, buf),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    async fn read_all(pieces: &[&[u8]], look: bool) -> (Vec<u8>, Sniffed<DuplexStream>) {
        let (mut peer, stream) = duplex(1);
        let mut sniffed = Sniffed::new(stream, look);
        let mut read = Vec::new();
        let sending = async {
            for piece in pieces {
                peer.write_all(piece).await.unwrap();
            }
            peer.shutdown().await.unwrap();
            peer
        };
        let (_peer, _) = tokio::join!(sending, async {
            sniffed.read_to_end(&mut read).await.unwrap();
            // What HTTP/1 does not read is not left to block the sender.
            if let State::Http2(_) = sniffed.state {
                let mut rest = Vec::new();
                sniffed.stream.read_to_end(&mut rest).await.unwrap();
                if let State::Http2(seen) = &mut sniffed.state {
                    seen.extend(rest);
                }
            }
        });
        (read, sniffed)
    }

    #[tokio::test]
    async fn the_preface_ends_the_stream_for_http1_and_comes_again_for_http2() {
        let (read, sniffed) = read_all(&[PREFACE, b"\0\0\0\x04\0\0\0\0\0"], true).await;
        assert_eq!(read, b"");
        let mut rewound = sniffed.into_http2().unwrap();
        let mut again = Vec::new();
        rewound.read_to_end(&mut again).await.unwrap();
        assert_eq!(again, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    }

    #[tokio::test]
    async fn everything_else_is_http1_byte_for_byte_however_it_is_cut() {
        for request in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"P",
            b"",
            b"PRI * HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r and more",
        ] {
            let (read, sniffed) = read_all(&[request], true).await;
            assert_eq!(read, request);
            assert!(sniffed.into_http2().is_err());
        }
    }

    #[tokio::test]
    async fn where_http2_is_not_spoken_its_preface_is_a_bad_request_of_http1() {
        let (read, sniffed) = read_all(&[PREFACE], false).await;
        assert_eq!(read, PREFACE);
        assert!(sniffed.into_http2().is_err());
    }
}
