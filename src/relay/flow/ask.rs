//! What the session asks of one direction, and what it can know of it.
//!
//! In: decisions on the session as a whole. Out: what they change in this direction, at once or at the next boundary;
//! what has happened in it so far.
//!
//! - Nothing here reads or writes: whoever changes a flow polls it afterwards.
//! - A Close of ours, once asked for, is in the stream or waits for its boundary, unless the peer's own came first.

use super::{CloseCode, Flow, Inject, Phase, PongFilter, Reason};

impl Flow {
    // What the session decides.

    /// Puts a Close between the source's frames as soon as that is possible, and discards what comes after.
    pub(in crate::relay) fn close(&mut self, code: CloseCode, reason: Reason) {
        if self.phase == Phase::Relay && !self.said_close() {
            self.release_held();
            self.inject = Some(Inject::Close(code, Some(reason)));
        }
    }

    /// Puts a Ping between the source's frames as soon as that is possible; false if it never will be.
    pub(in crate::relay) fn ping(&mut self, payload: [u8; 8]) -> bool {
        let possible = self.phase == Phase::Relay && !self.is_opaque() && !self.said_close();
        if possible {
            self.inject = Some(Inject::Ping(payload));
        }
        possible
    }

    /// Forgets a Ping that still waits for its boundary.
    pub(in crate::relay) fn give_up_ping(&mut self) {
        self.inject = self.inject.filter(|waiting| !matches!(waiting, Inject::Ping(_)));
    }

    /// Takes the source's answer to a Ping out of the stream.
    pub(in crate::relay) fn expect_pong(&mut self, payload: [u8; 8]) {
        if self.phase == Phase::Relay && !self.source_over {
            self.pong = Some(Box::new(PongFilter::new(payload)));
        }
    }

    /// Sends what is queued, then a Close where one is given and fits, then the end of the stream.
    pub(in crate::relay) fn finish(&mut self, last: Option<CloseCode>) -> Option<CloseCode> {
        self.inject = None;
        if self.sink_over {
            return None;
        }
        let fits = self.phase == Phase::Relay && self.tracker.at_boundary() && !self.said_close();
        let put = last.filter(|_| fits);
        if let Some(code) = put {
            self.put(Inject::Close(code, None));
        }
        self.phase = Phase::Finish;
        put
    }

    /// The sink has said Close: when the source says it too, the end of the stream may be sent with that.
    pub(in crate::relay) fn part(&mut self) {
        self.parting = true;
    }

    /// The sink has ended its own stream: the end of this one is the end of both.
    pub(in crate::relay) fn sink_has_ended(&mut self) {
        self.sink_ended = true;
    }

    /// The sink is dead: what is meant for it is thrown away, but the source is still heard.
    pub(in crate::relay) fn abandon_sink(&mut self) {
        self.queue = None;
        self.inject = None;
        self.pong = None;
        self.phase = Phase::Discard;
        self.sink_over = true;
        self.unflushed = false;
        self.stuck = false;
    }

    // What the session looks at.

    /// A Close frame of either side has gone to the sink, or is queued for it.
    pub(in crate::relay) fn said_close(&self) -> bool {
        self.put_close || self.has_passed_close()
    }

    /// A Close of ours has gone to the sink, or is queued for it.
    pub(in crate::relay) fn put_close(&self) -> bool {
        self.put_close
    }

    /// The source's own Close frame has gone to the sink, or is queued for it; known until the sink is over.
    pub(in crate::relay) fn has_passed_close(&self) -> bool {
        self.phase != Phase::Discard && self.heard_close()
    }

    /// The source's Close frame is in this chunk, and nothing comes after it.
    pub(in crate::relay) fn ends_with_close(&self, chunk: &[u8]) -> bool {
        let mut ahead = self.tracker.clone();
        ahead.walk(chunk);
        ahead.close().is_some() && ahead.violation().is_none()
    }

    /// The source has sent its Close frame.
    pub(in crate::relay) fn heard_close(&self) -> bool {
        self.tracker.close().is_some()
    }

    /// The code of the source's Close frame.
    pub(in crate::relay) fn close_code(&self) -> Option<u16> {
        self.tracker.close().and_then(|close| close.code)
    }

    /// There are no frames any more, only bytes.
    pub(in crate::relay) fn is_opaque(&self) -> bool {
        self.tracker.violation().is_some()
    }

    /// An answer of the source to a Ping would be recognized, if it came.
    pub(in crate::relay) fn can_answer(&self) -> bool {
        !self.is_opaque() && !self.heard_close() && !self.source_over
    }

    /// The source has begun a frame and not ended it.
    pub(in crate::relay) fn is_inside_frame(&self) -> bool {
        !self.tracker.at_boundary()
    }

    /// Nothing is kept back for the sink; while something is, nothing is read.
    pub(in crate::relay) fn is_drained(&self) -> bool {
        self.queue.is_none()
    }

    /// A Close has been said, and not all of it has gone to the sink.
    pub(in crate::relay) fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// The source will send nothing more.
    pub(in crate::relay) fn source_is_over(&self) -> bool {
        self.source_over
    }

    /// The sink can be sent nothing more.
    pub(in crate::relay) fn sink_is_over(&self) -> bool {
        self.sink_over
    }

    /// The sink is being sent the end of the stream, or has been.
    pub(in crate::relay) fn is_finishing(&self) -> bool {
        self.sink_over || self.phase == Phase::Finish
    }

    /// Whether any of the source's bytes moved on since the last call; Pings of ours and their answers are none.
    pub(in crate::relay) fn was_active(&mut self) -> bool {
        std::mem::take(&mut self.active)
    }

    /// Bytes that came from the source.
    pub(in crate::relay) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Bytes that the sink took.
    pub(in crate::relay) fn bytes_written(&self) -> u64 {
        self.written
    }

    /// Messages that came from the source.
    pub(in crate::relay) fn messages_read(&self) -> u64 {
        self.tracker.messages()
    }

    /// Messages that the sink has whole.
    pub(in crate::relay) fn messages_written(&self) -> u64 {
        self.delivered
    }
}
