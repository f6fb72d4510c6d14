//! One direction of a session: bytes from a source peer to a sink peer.
//!
//! In: a stream to read, a stream to write, the worker's buffer. Out: an [`Event`] whenever the session as a whole has
//! something to decide.
//!
//! - Bytes go on as they came and in order; what is read is written at once from the worker's buffer. Only what the
//!   sink cannot take yet is kept, at most one buffer, and until it is gone nothing more is read.
//! - Frames of our own go in between frames only, and nothing goes in after a Close of either side.
//! - After a Close of ours the source is read and discarded, so that its own Close is still heard.
//!
//! Not here: what to do about an [`Event`] ([`super::Relay`]), when to ping or give up ([`super::clock`]).

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frames::{FrameTracker, Sender},
    inject::{CloseCode, close_frame, ping_frame},
    pong::PongFilter,
};

/// One direction of a session.
#[derive(Debug)]
pub(super) struct Flow {
    tracker: FrameTracker,
    /// Read, tracked, and not yet taken by the sink.
    queue: Vec<u8>,
    /// How much of `queue` the sink has taken.
    taken: usize,
    phase: Phase,
    inject: Option<Inject>,
    pong: Option<Box<PongFilter>>,
    read: u64,
    written: u64,
    /// A Close of ours is in the stream.
    put_close: bool,
    /// The source will send nothing more.
    source_over: bool,
    /// The sink can be sent nothing more.
    sink_over: bool,
    /// Something went to the sink that it may still hold back.
    unflushed: bool,
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
    Close(CloseCode, &'static str),
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
    /// The sink has been sent the end of the stream.
    Finished,
    /// A Close of ours is on its way to the sink.
    PutClose(CloseCode),
    /// A Ping of ours is on its way to the sink.
    PutPing([u8; 8]),
    /// The source answered our Ping.
    Ponged,
}

// === impl Flow ===

impl Flow {
    /// A flow whose source has already sent `early`.
    pub(super) fn new(source: Sender, early: Vec<u8>) -> Self {
        let mut tracker = FrameTracker::new(source);
        tracker.walk(&early);
        Self {
            tracker,
            read: early.len() as u64,
            queue: early,
            taken: 0,
            phase: Phase::Relay,
            inject: None,
            pong: None,
            written: 0,
            put_close: false,
            source_over: false,
            sink_over: false,
            unflushed: false,
            active: false,
        }
    }

    /// Moves what can be moved; pending once it waits for either peer.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        buffer: &mut [u8],
    ) -> Poll<Event>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if !self.queue.is_empty() && ready!(self.poll_queue(cx, sink)).is_err() {
                return Poll::Ready(self.write_failed());
            }
            if self.phase == Phase::Finish {
                return self.poll_finish(cx, sink);
            }
            if let Some(event) = self.inject_at_boundary() {
                return Poll::Ready(event);
            }
            if self.source_over {
                return self.poll_flush(cx, sink);
            }
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut *source).poll_read(cx, &mut read) {
                Poll::Pending => return self.poll_flush(cx, sink),
                Poll::Ready(Err(_)) => return Poll::Ready(self.source_ended(Event::ReadFailed)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    return Poll::Ready(self.source_ended(Event::Eof));
                }
                Poll::Ready(Ok(())) => {}
            }
            if let Some(event) = self.take(cx, read.filled(), sink) {
                return Poll::Ready(event);
            }
        }
    }

    /// Takes one chunk in, and on to the sink as far as it will have it.
    fn take<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &[u8],
        sink: &mut W,
    ) -> Option<Event> {
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
        self.tracker.walk(chunk);
        self.write(cx, chunk, sink)
    }

    /// While a Ping of ours is unanswered.
    fn take_filtered<W>(&mut self, cx: &mut Context<'_>, chunk: &[u8], sink: &mut W) -> Option<Event>
    where
        W: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|rest| {
            rest.clear();
            let mut filter = self.pong.take()?;
            let found = filter.filter(&mut self.tracker, chunk, rest);
            if !found {
                self.pong = Some(filter);
            }
            self.active |= !rest.is_empty();
            let failed = if rest.is_empty() {
                None
            } else {
                self.write(cx, rest, sink)
            };
            failed.or(found.then_some(Event::Ponged))
        })
    }

    /// While a frame of ours waits for the source's current frame to end.
    fn take_split(&mut self, chunk: &[u8]) -> Option<Event> {
        let (frame, rest) = chunk.split_at(self.tracker.to_boundary(chunk));
        self.queue.extend_from_slice(frame);
        let event = self.inject_at_boundary();
        self.tracker.walk(rest);
        if self.phase == Phase::Relay {
            self.queue.extend_from_slice(rest);
        }
        event
    }

    /// Queues the frame that waits, if this is a place for it; gives it up if there will never be one.
    fn inject_at_boundary(&mut self) -> Option<Event> {
        let waiting = self.inject?;
        if self.tracker.at_boundary() && self.tracker.close().is_none() && self.pong.is_none() {
            self.inject = None;
            return Some(self.put(waiting));
        }
        if self.tracker.violation().is_some() || self.tracker.close().is_some() {
            self.inject = None;
            if let (Inject::Close(..), Some(_)) = (waiting, self.tracker.violation()) {
                self.phase = Phase::Finish;
            }
        }
        None
    }

    fn put(&mut self, frame: Inject) -> Event {
        let among = self.tracker.sender();
        match frame {
            Inject::Close(code, reason) => {
                self.queue.extend_from_slice(&close_frame(code, reason, among));
                self.put_close = true;
                self.phase = Phase::Discard;
                Event::PutClose(code)
            }
            Inject::Ping(payload) => {
                self.queue.extend_from_slice(&ping_frame(payload, among));
                Event::PutPing(payload)
            }
        }
    }

    /// Writes from the worker's buffer; keeps what the sink does not take.
    fn write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        sink: &mut W,
    ) -> Option<Event> {
        while !bytes.is_empty() {
            match Pin::new(&mut *sink).poll_write(cx, bytes) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.written += n as u64;
                    self.unflushed = true;
                    bytes = &bytes[n..];
                }
                Poll::Ready(_) => return Some(self.write_failed()),
                Poll::Pending => {
                    self.queue.extend_from_slice(bytes);
                    return None;
                }
            }
        }
        None
    }

    fn poll_queue<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.taken < self.queue.len() {
            let n = ready!(Pin::new(&mut *sink).poll_write(cx, &self.queue[self.taken..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += n;
            self.written += n as u64;
            self.unflushed = true;
            self.active = true;
        }
        // Given back, not kept: an idle session owns no buffer.
        self.queue = Vec::new();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }

    /// Nothing more to move; streams that buffer what they were given (TLS) must let go of it now.
    fn poll_flush<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<Event> {
        if self.unflushed {
            if ready!(Pin::new(sink).poll_flush(cx)).is_err() {
                return Poll::Ready(self.write_failed());
            }
            self.unflushed = false;
        }
        Poll::Pending
    }

    fn poll_finish<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, sink: &mut W) -> Poll<Event> {
        let shut = ready!(Pin::new(sink).poll_shutdown(cx));
        self.phase = Phase::Discard;
        self.sink_over = true;
        self.unflushed = false;
        Poll::Ready(if shut.is_ok() {
            Event::Finished
        } else {
            Event::WriteFailed
        })
    }

    fn source_ended(&mut self, how: Event) -> Event {
        self.source_over = true;
        if let Some(filter) = self.pong.take() {
            filter.give_up(&mut self.tracker, &mut self.queue);
        }
        how
    }

    fn write_failed(&mut self) -> Event {
        self.abandon_sink();
        Event::WriteFailed
    }

    // What the session decides.

    /// Puts a Close between the source's frames as soon as that is possible, and discards what comes after.
    pub(super) fn close(&mut self, code: CloseCode, reason: &'static str) {
        if self.phase != Phase::Relay || self.said_close() {
            return;
        }
        if let Some(filter) = self.pong.take() {
            filter.give_up(&mut self.tracker, &mut self.queue);
        }
        if self.tracker.violation().is_some() {
            self.phase = Phase::Finish;
        } else {
            self.inject = Some(Inject::Close(code, reason));
        }
    }

    /// Puts a Ping between the source's frames as soon as that is possible; false if it never will be.
    pub(super) fn ping(&mut self, payload: [u8; 8]) -> bool {
        let possible = self.phase == Phase::Relay && self.tracker.violation().is_none() && !self.said_close();
        if possible {
            self.inject = Some(Inject::Ping(payload));
        }
        possible
    }

    /// Takes the source's answer to a Ping out of the stream.
    pub(super) fn expect_pong(&mut self, payload: [u8; 8]) {
        self.pong = Some(Box::new(PongFilter::new(payload)));
    }

    /// Sends what is queued, then a Close where one is given and fits, then the end of the stream.
    pub(super) fn finish(&mut self, last: Option<CloseCode>) -> Option<CloseCode> {
        let fits = self.phase == Phase::Relay && self.tracker.at_boundary() && !self.said_close();
        let put = last.filter(|_| fits && !self.sink_over);
        if let Some(code) = put {
            self.put(Inject::Close(code, ""));
        }
        if !self.sink_over {
            self.phase = Phase::Finish;
        }
        self.inject = None;
        put
    }

    /// The sink is dead: what is meant for it is thrown away, but the source is still heard.
    pub(super) fn abandon_sink(&mut self) {
        self.queue = Vec::new();
        self.taken = 0;
        self.inject = None;
        self.phase = Phase::Discard;
        self.sink_over = true;
        self.unflushed = false;
    }

    // What the session looks at.

    /// A Close frame of either side has gone to the sink.
    pub(super) fn said_close(&self) -> bool {
        self.put_close || (self.phase != Phase::Discard && self.heard_close())
    }

    /// The source has sent its Close frame.
    pub(super) fn heard_close(&self) -> bool {
        self.tracker.close().is_some()
    }

    /// The code of the source's Close frame.
    pub(super) fn close_code(&self) -> Option<u16> {
        self.tracker.close().and_then(|close| close.code)
    }

    /// Nothing is kept back for the sink.
    pub(super) fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// The source will send nothing more.
    pub(super) fn source_is_over(&self) -> bool {
        self.source_over
    }

    /// The sink can be sent nothing more.
    pub(super) fn sink_is_over(&self) -> bool {
        self.sink_over
    }

    /// The sink is being sent the end of the stream, or has been.
    pub(super) fn is_finishing(&self) -> bool {
        self.sink_over || self.phase == Phase::Finish
    }

    /// Whether anything moved since the last call; answers to our own Pings are nothing.
    pub(super) fn was_active(&mut self) -> bool {
        std::mem::take(&mut self.active)
    }

    /// Bytes that came from the source.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Bytes that the sink took.
    pub(super) fn bytes_written(&self) -> u64 {
        self.written
    }

    /// Messages that passed, as of the last moment at which nothing was kept back.
    pub(super) fn messages(&self) -> u64 {
        self.tracker.messages()
    }
}

thread_local! {
    /// Where bytes stand while an answer to a Ping of ours is being looked for; one per worker.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
