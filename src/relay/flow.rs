//! One direction of a session: bytes from a source peer to a sink peer.
//!
//! In: a stream to read, a stream to write, the worker's buffer. Out: an [`Event`] whenever the session as a whole has
//! something to decide.
//!
//! - Bytes go on as they came and in order; what is read is written from the worker's buffer before anything else is read.
//!   Only what the sink cannot take yet is kept ([`Queue`]), and until it is gone nothing more is read.
//! - Frames of our own go in between frames only, and nothing goes in after a Close of either side.
//! - After a Close of ours the source is read and discarded, so that its own Close is still heard.
//! - After [`TURN`] chunks it is the other direction's turn, however much there is to read.
//!
//! Not here: frames of our own and the answers to them (`insert`), what the session can ask of a flow (`ask`), what to do
//! about an [`Event`] ([`super::ending`]), when to ping or give up ([`super::clock`]).

mod ask;
mod insert;
mod large;
mod queue;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncWrite, ReadBuf};

use self::{large::Spliced, queue::Queue};
use super::{
    frames::{FrameTracker, Sender},
    inject::CloseCode,
    open::Open,
    outcome::Reason,
    pong::PongFilter,
    splice::Stream,
};

/// One direction of a session.
#[derive(Debug)]
pub(super) struct Flow {
    /// Has walked what was read, except for what `pong` holds.
    tracker: FrameTracker,
    /// Read, tracked, and not yet taken by the sink.
    queue: Option<Box<Queue>>,
    /// The source sends payloads that are worth splicing.
    large: bool,
    pong: Option<Box<PongFilter>>,
    inject: Option<Inject>,
    phase: Phase,
    read: u64,
    written: u64,
    /// Messages that the sink has whole.
    delivered: u64,
    /// A Close of ours is in the stream.
    put_close: bool,
    /// After the source's Close the sink is sent the end of the stream.
    parting: bool,
    /// The sink has ended what it sends.
    sink_ended: bool,
    /// The source will send nothing more.
    source_over: bool,
    /// The sink can be sent nothing more.
    sink_over: bool,
    /// Something went to the sink that it may still hold back.
    unflushed: bool,
    /// A Close has been said, and not all of it has gone to the sink.
    stuck: bool,
    active: bool,
}

/// What happens to the source's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// They go to the sink.
    Relay,
    /// They are read and thrown away.
    Discard,
    /// The sink gets what is queued and then the end of the stream; nothing is read meanwhile.
    Finish,
}

/// A frame of our own that waits for a boundary.
#[derive(Clone, Copy, Debug)]
enum Inject {
    Close(CloseCode, Option<Reason>),
    Ping([u8; 8]),
}

/// What a session has to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The source ended its stream.
    Eof,
    /// The source's connection failed.
    ReadFailed,
    /// The sink's connection failed.
    WriteFailed,
    /// The sink has been sent the end of the stream, or is closed.
    Finished,
    /// A Close of ours is on its way to the sink.
    PutClose(CloseCode),
    /// A Ping of ours is on its way to the sink.
    PutPing([u8; 8]),
    /// The source answered our Ping.
    Ponged,
    /// There may be more to move, but it is the other direction's turn.
    Turn,
}

impl Flow {
    /// A flow whose source has already sent `early`.
    pub(super) fn new(source: Sender, early: &[u8]) -> Self {
        let mut flow = Self {
            tracker: FrameTracker::new(source),
            queue: None,
            large: false,
            pong: None,
            inject: None,
            phase: Phase::Relay,
            read: early.len() as u64,
            written: 0,
            delivered: 0,
            put_close: false,
            parting: false,
            sink_ended: false,
            source_over: false,
            sink_over: false,
            unflushed: false,
            stuck: false,
            active: false,
        };
        if !early.is_empty() {
            flow.queue().relay(early);
            flow.tracker.walk(early);
        }
        flow
    }

    /// Moves what can be moved; pending once it waits for either peer.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut Open<W>,
        buffer: &mut [u8],
    ) -> Poll<Event>
    where
        R: Stream,
        W: Stream,
    {
        for _ in 0..TURN {
            if self.queue.is_some() {
                let Poll::Ready(emptied) = self.poll_queue(cx, sink) else {
                    source.read_ahead(cx);
                    return Poll::Pending;
                };
                if emptied.is_err() {
                    return Poll::Ready(self.write_failed());
                }
            }
            if let Some(event) = self.inject_at_boundary() {
                return Poll::Ready(event);
            }
            if self.phase == Phase::Finish {
                return self.poll_finish(cx, sink);
            }
            if self.source_over {
                return self.poll_settle(cx, sink);
            }
            if self.large {
                match ready!(self.poll_splice(cx, source, sink)) {
                    Spliced::Some => continue,
                    Spliced::Met(event) => return Poll::Ready(event),
                    Spliced::Nothing => {}
                }
            }
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut read) {
                Poll::Pending => return self.poll_settle(cx, sink),
                Poll::Ready(Err(_)) => return Poll::Ready(self.source_ended(Event::ReadFailed)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    return Poll::Ready(self.source_ended(Event::Eof));
                }
                Poll::Ready(Ok(())) => {}
            }
            let (inside, filled) = (self.is_inside_frame(), read.remaining() == 0);
            if let Some(event) = self.take(cx, read.filled(), sink) {
                return Poll::Ready(event);
            }
            self.notice_size(inside, filled);
        }
        Poll::Ready(Event::Turn)
    }

    /// Takes one chunk in, and on to the sink as far as it will have it. Nothing is queued before it.
    fn take<W: Stream>(&mut self, cx: &mut Context<'_>, chunk: &[u8], sink: &mut W) -> Option<Event> {
        self.read += chunk.len() as u64;
        if self.phase == Phase::Discard {
            self.tracker.walk(chunk);
            return None;
        }
        if self.pong.is_some() {
            return self.take_filtered(cx, chunk, sink);
        }
        self.active = true;
        if self.inject.is_some() {
            return self.take_split(chunk);
        }
        let written = if self.parting && self.ends_with_close(chunk) {
            self.write_last(cx, chunk, sink)
        } else {
            self.write(cx, chunk, sink)
        };
        let Ok(written) = written else {
            self.tracker.walk(chunk);
            return Some(self.write_failed());
        };
        let (taken, rest) = chunk.split_at(written);
        self.tracker.walk(taken);
        self.delivered = self.tracker.messages();
        if !rest.is_empty() {
            self.queue().relay(rest);
            self.tracker.walk(rest);
        }
        None
    }

    /// The queue; if it is made now, the sink has taken everything that the tracker has walked.
    fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_with(|| Queue::behind(&self.tracker))
    }

    /// Writes until the sink takes no more; how much it took.
    fn write<W>(&mut self, cx: &mut Context<'_>, bytes: &[u8], sink: &mut W) -> Result<usize, Failed>
    where
        W: AsyncWrite + Unpin,
    {
        let mut taken = 0;
        while taken < bytes.len() {
            match Pin::new(&mut *sink).poll_write(cx, &bytes[taken..]) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.written += n as u64;
                    self.unflushed = true;
                    taken += n;
                }
                Poll::Ready(_) => return Err(Failed),
                Poll::Pending => break,
            }
        }
        Ok(taken)
    }

    /// Writes what the end of the stream follows; how much the sink took.
    fn write_last<W>(&mut self, cx: &mut Context<'_>, bytes: &[u8], sink: &mut W) -> Result<usize, Failed>
    where
        W: Stream,
    {
        match sink.poll_write_last(cx, bytes) {
            Poll::Ready(Ok(taken)) if taken > 0 => {
                self.written += taken as u64;
                self.unflushed = true;
                Ok(taken)
            }
            Poll::Ready(_) => Err(Failed),
            Poll::Pending => Ok(0),
        }
    }

    fn poll_queue<W>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<Result<(), Failed>>
    where
        W: Stream,
    {
        ready!(self.poll_held(cx, sink))?;
        while let Some(queue) = self.queue.as_mut().filter(|queue| !queue.rest().is_empty()) {
            let Ok(n @ 1..) = ready!(Pin::new(&mut *sink).poll_write(cx, queue.rest())) else {
                return Poll::Ready(Err(Failed));
            };
            queue.advance(n);
            self.delivered = queue.delivered();
            self.active |= queue.is_relayed();
            self.written += n as u64;
            self.unflushed = true;
        }
        // Given back, not kept: an idle session owns no buffer.
        self.queue = None;
        Poll::Ready(Ok(()))
    }

    /// Nothing more to move; streams that buffer what they were given (TLS) must let go of it now. A Close must go at once:
    /// the time to answer it runs from now on.
    fn poll_settle<W: Stream>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<Event> {
        if self.unflushed {
            self.stuck = self.said_close();
            let settled = match self.stuck {
                true => ready!(Pin::new(sink).poll_flush(cx)),
                false => ready!(sink.poll_settle(cx)),
            };
            self.stuck = false;
            if settled.is_err() {
                return Poll::Ready(self.write_failed());
            }
            self.unflushed = false;
        }
        Poll::Pending
    }

    fn poll_finish<W: Stream>(&mut self, cx: &mut Context<'_>, sink: &mut Open<W>) -> Poll<Event> {
        let shut = match self.sink_ended {
            true => ready!(sink.poll_close(cx)),
            false => ready!(Pin::new(sink).poll_shutdown(cx)),
        };
        self.abandon_sink();
        Poll::Ready(shut.map_or(Event::WriteFailed, |()| Event::Finished))
    }

    fn source_ended(&mut self, how: Event) -> Event {
        self.source_over = true;
        self.release_held();
        how
    }

    fn write_failed(&mut self) -> Event {
        self.abandon_sink();
        Event::WriteFailed
    }
}

/// The sink takes nothing any more. Why is told by what can be read from it.
struct Failed;

/// How many chunks a flow moves before it lets the other one move some: up to a quarter of a megabyte.
const TURN: usize = 4;
