//! What a sink could not take yet.
//!
//! In: bytes that the tracker of the flow has walked. Out: the same bytes, and which messages the sink has whole.
//!
//! - Exists only while there is something in it, and is no larger than one buffer of the worker and two frames of ours:
//!   whoever owns one reads nothing more.
//! - The pipe of a large payload that the sink took only in part goes before the bytes.
//! - Counts what the sink has taken and not what is meant for it, so that the figures of a session that is cut are those
//!   of its client, but for the little that a [socket](crate::relay::socket) owes. Walking these bytes a second time costs only those who lag behind.
//!
//! Not here: when to write ([`Flow`](super::Flow)).

use crate::relay::{frames::FrameTracker, splice::Pipe};

/// Bytes that wait for their sink.
#[derive(Debug)]
pub(super) struct Queue {
    pipe: Option<Pipe>,
    bytes: Vec<u8>,
    /// How much of `bytes` the sink has taken.
    taken: usize,
    /// Has walked what the sink has taken, and what is in the pipe.
    sink: FrameTracker,
    /// Not only frames of our own.
    relayed: bool,
}

impl Queue {
    /// An empty one for a sink that has taken everything that `tracker` has walked.
    pub(super) fn behind(tracker: &FrameTracker) -> Box<Self> {
        Box::new(Self {
            pipe: None,
            bytes: Vec::new(),
            taken: 0,
            sink: tracker.clone(),
            relayed: false,
        })
    }

    /// Adds what came from the source.
    pub(super) fn relay(&mut self, bytes: &[u8]) {
        self.relayed |= !bytes.is_empty();
        self.push(bytes);
    }

    /// Adds what came from the source by a pipe; there is nothing else yet.
    pub(super) fn hold(&mut self, pipe: Pipe) {
        self.pipe = Some(pipe);
    }

    /// The pipe, to be emptied before anything else is written.
    pub(super) fn release(&mut self) -> Option<Pipe> {
        self.pipe.take()
    }

    /// Adds a frame of our own.
    pub(super) fn put(&mut self, frame: &[u8]) {
        self.push(frame);
    }

    /// What the sink has not taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// The sink has taken so many bytes more.
    pub(super) fn advance(&mut self, n: usize) {
        self.sink.walk(&self.bytes[self.taken..self.taken + n]);
        self.taken += n;
    }

    /// Messages that the sink has whole, those of before included.
    pub(super) fn delivered(&self) -> u64 {
        self.sink.messages()
    }

    /// Whether anything in it came from the source.
    pub(super) fn is_relayed(&self) -> bool {
        self.relayed
    }

    fn push(&mut self, bytes: &[u8]) {
        // Growing by doubling would take twice the memory for a frame of ten bytes behind a full buffer.
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::{
        frames::Sender,
        inject::{CloseCode, close_frame},
    };

    #[test]
    fn a_close_behind_a_full_buffer_does_not_double_its_memory() {
        let buffer = vec![0; 64 * 1024];
        let close = close_frame(CloseCode::GOING_AWAY, &"r".repeat(123), Sender::Client);
        let mut queue = Queue::behind(&FrameTracker::new(Sender::Client));
        queue.relay(&buffer);
        queue.put(&close);
        assert!(queue.bytes.capacity() <= buffer.len() + 2 * close.len());
    }
}
