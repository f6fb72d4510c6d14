//! HTTP/2 with prior knowledge, told from HTTP/1 by its first bytes (RFC 9113, 3.3 and 3.4).
//!
//! In: a stream and what was first read of it. Out: the same stream to be read as HTTP/1 from its first byte; or, where the
//! preface of HTTP/2 comes, an end of it, and the whole of it again from [`Sniffed::into_http2`].
//!
//! What begins like the preface is held until it is clear.
//!
//! Not here: how long it may take, which is up to who reads.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of which it is not known yet what is spoken on it.
#[derive(Debug)]
pub(super) struct Sniffed<S> {
    stream: S,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What has come may become the preface.
    Unclear(Vec<u8>),
    /// Whatever comes is the reader's.
    Open,
    /// Begins with these bytes.
    Http2(Bytes),
    /// These come again before what follows.
    Again(Bytes),
}

/// No request of HTTP/1 can begin like this: there is no version 2.0 of it.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl<S> Sniffed<S> {
    /// `seen` was read before; `look`: whether HTTP/2 is spoken here at all.
    pub(super) fn new(stream: S, seen: Bytes, look: bool) -> Self {
        let compared = seen.len().min(PREFACE.len());
        let state = match look && seen[..compared] == PREFACE[..compared] {
            false => State::Again(seen),
            true if compared == PREFACE.len() => State::Http2(seen),
            true => State::Unclear(seen.into()),
        };
        Self { stream, state }
    }

    /// The stream, where HTTP/1 has been read, and what did not come again.
    pub(super) fn into_parts(self) -> (S, Bytes) {
        match self.state {
            State::Again(seen) => (self.stream, seen),
            _ => (self.stream, Bytes::new()),
        }
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
                self.state = State::Http2(std::mem::take(seen).into());
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_again(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let State::Again(seen) = &mut self.state
            && !seen.is_empty()
        {
            buf.put_slice(&seen.split_to(seen.len().min(buf.remaining())));
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

    async fn read_all(seen: &[u8], pieces: &[&[u8]], look: bool) -> (Vec<u8>, Sniffed<DuplexStream>) {
        let (mut peer, stream) = duplex(1);
        let mut sniffed = Sniffed::new(stream, Bytes::copy_from_slice(seen), look);
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
                    *seen = [seen, &rest[..]].concat().into();
                }
            }
        });
        (read, sniffed)
    }

    #[tokio::test]
    async fn the_preface_ends_the_stream_for_http1_and_comes_again_for_http2() {
        let sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        for first in [1, PREFACE.len(), sent.len()] {
            let (seen, rest) = sent.split_at(first);
            let (read, sniffed) = read_all(seen, &[rest], true).await;
            assert_eq!(read, b"");
            let mut rewound = sniffed.into_http2().unwrap();
            let mut again = Vec::new();
            rewound.read_to_end(&mut again).await.unwrap();
            assert_eq!(again, sent);
        }
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
            for first in [request.len().min(1), request.len()] {
                let (seen, rest) = request.split_at(first);
                let (read, sniffed) = read_all(seen, &[rest], true).await;
                assert_eq!(read, request);
                assert!(sniffed.into_http2().is_err());
            }
        }
    }

    #[tokio::test]
    async fn what_did_not_come_again_is_given_back() {
        let (_peer, stream) = duplex(1);
        let mut sniffed = Sniffed::new(stream, Bytes::from_static(b"abc"), true);
        assert_eq!(sniffed.read_u8().await.unwrap(), b'a');
        assert_eq!(sniffed.into_parts().1, "bc");
    }

    #[tokio::test]
    async fn where_http2_is_not_spoken_its_preface_is_a_bad_request_of_http1() {
        let (read, sniffed) = read_all(PREFACE, &[], false).await;
        assert_eq!(read, PREFACE);
        assert!(sniffed.into_http2().is_err());
    }
}
