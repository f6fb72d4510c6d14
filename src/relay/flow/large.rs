//! Large payloads, which are spliced instead of read.
//!
//! In: two streams, of which both may be sockets. Out: bytes in the pipe and from there in the sink, or word that they have
//! to be read.
//!
//! - Whether a payload is large shows when it has begun. The first of a session is read as everything is; after it, the
//!   header of the next is looked at where it lies, so that all of a message goes in one piece.
//! - A small message ends that; those of chatty sessions never pay for a look.
//! - What must be seen is read: a payload in which the answer to a Ping may hide, everything that is discarded, and what
//!   comes before a boundary that a frame of ours waits for.
//!
//! Not here: the moving itself ([`splice`](crate::relay::splice)).

use std::task::{Context, Poll, ready};

use tokio::{io::ReadBuf, net::TcpStream};

use super::{Event, Failed, Flow, Phase};
use crate::relay::{
    frames::MAX_HEADER,
    splice::{Pipe, Stream},
};

/// What came of splicing.
pub(super) enum Spliced {
    /// Bytes have moved.
    Some,
    /// What comes next must be read.
    Nothing,
    /// The session has something to decide.
    Met(Event),
}

/// Payloads of which so much is still to come are spliced. Below it two copies cost less than the calls.
const WORTH: u64 = 24 * 1024;

impl Flow {
    /// Judges the source by a read: whether it began `inside` a frame, and `filled` the buffer.
    pub(super) fn notice_size(&mut self, inside: bool, filled: bool) {
        let remaining = self.tracker.remaining_payload();
        let large = remaining >= WORTH || (filled && remaining > 0);
        // The end of a large payload says nothing about the next.
        self.large = large || (inside && self.large);
    }

    /// Moves some of a large payload from socket to socket.
    pub(super) fn poll_splice<R: Stream, W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        source: &R,
        sink: &W,
    ) -> Poll<Spliced> {
        let (Some(source), Some(sink)) = (source.socket(), sink.socket()) else {
            return Poll::Ready(Spliced::Nothing);
        };
        if self.phase != Phase::Relay || self.pong.is_some() {
            return Poll::Ready(Spliced::Nothing);
        }
        let mut header = [0; MAX_HEADER];
        let mut header = ReadBuf::new(&mut header);
        let mut ahead = self.tracker.clone();
        if ahead.remaining_payload() == 0 && self.inject.is_none() {
            ready!(look(cx, source, &mut header));
            ahead.walk(header.filled());
        }
        if ahead.remaining_payload() < WORTH {
            return Poll::Ready(Spliced::Nothing);
        }
        let Some(mut pipe) = Pipe::borrow() else {
            return Poll::Ready(Spliced::Nothing);
        };
        let header = header.filled();
        let whole = header.len() as u64 + ahead.remaining_payload();
        let moved = match ready!(pipe.poll_fill(cx, source, whole)) {
            Ok(0) => return Poll::Ready(Spliced::Met(self.source_ended(Event::Eof))),
            Err(_) => return Poll::Ready(Spliced::Met(self.source_ended(Event::ReadFailed))),
            Ok(moved) => moved,
        };
        let seen = header.len().min(moved);
        self.tracker.walk(&header[..seen]);
        self.tracker.skip_payload((moved - seen) as u64);
        self.read += moved as u64;
        match self.poll_pipe(cx, &mut pipe, sink) {
            Poll::Ready(Ok(())) => self.delivered = self.tracker.messages(),
            Poll::Ready(Err(Failed)) => return Poll::Ready(Spliced::Met(self.write_failed())),
            Poll::Pending => self.queue().hold(pipe),
        }
        Poll::Ready(Spliced::Some)
    }

    /// Empties a pipe into the sink.
    pub(super) fn poll_pipe(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        sink: &TcpStream,
    ) -> Poll<Result<(), Failed>> {
        while !pipe.is_empty() {
            let Ok(n @ 1..) = ready!(pipe.poll_drain(cx, sink)) else {
                return Poll::Ready(Err(Failed));
            };
            self.written += n as u64;
            self.active = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Empties the pipe that the queue holds.
    pub(super) fn poll_held<W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &W,
    ) -> Poll<Result<(), Failed>> {
        let held = self.queue.as_mut().and_then(|queue| queue.release());
        let Some(mut pipe) = held else {
            return Poll::Ready(Ok(()));
        };
        let Some(sink) = sink.socket() else {
            // It was held for a socket that owes nothing, and nobody else writes to that.
            return Poll::Ready(Err(Failed));
        };
        let emptied = self.poll_pipe(cx, &mut pipe, sink);
        if emptied.is_pending() {
            self.queue().hold(pipe);
        } else if let Some(queue) = &self.queue {
            self.delivered = queue.delivered();
        }
        emptied
    }
}

/// Looks at what the source has sent without taking it; nothing where that fails, as reading then will.
fn look(cx: &mut Context<'_>, source: &TcpStream, header: &mut ReadBuf<'_>) -> Poll<()> {
    let _ = ready!(source.poll_peek(cx, header));
    Poll::Ready(())
}
