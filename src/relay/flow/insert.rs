//! What goes in between the source's frames, and what is taken out.
//!
//! In: a frame of our own that waits, chunks of the source. Out: the same chunks with that frame at the first boundary, or
//! without the answer to a Ping of ours.
//!
//! - Used only while something waits or is awaited: these paths copy.
//! - A frame that has found its place is queued, and an [`Event`] says so before anything follows it.
//!
//! Not here: finding the answer ([`PongFilter`](crate::relay::pong::PongFilter)).

use std::{cell::RefCell, task::Context};

use tokio::io::AsyncWrite;

use super::{Event, Flow, Inject, Phase, Queue};
use crate::relay::{
    inject::{close_frame, ping_frame},
    outcome::Reason,
};

impl Flow {
    /// While a Ping of ours is unanswered.
    pub(super) fn take_filtered<W>(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &[u8],
        sink: &mut W,
    ) -> Option<Event>
    where
        W: AsyncWrite + Unpin,
    {
        let mut filter = self.pong.take()?;
        SCRATCH.with_borrow_mut(|passed| {
            passed.clear();
            let mut queue_at = self.tracker.clone();
            let found = filter.filter(&mut self.tracker, chunk, passed);
            // In an opaque direction no Pong can be told from anything else; nothing is held then.
            if !found && self.tracker.violation().is_none() {
                self.pong = Some(filter);
            }
            self.active |= !passed.is_empty();
            let Ok(written) = self.write(cx, passed, sink) else {
                return Some(self.write_failed());
            };
            let (taken, rest) = passed.split_at(written);
            queue_at.walk(taken);
            self.delivered = queue_at.messages();
            if !rest.is_empty() {
                self.queue = Some(Queue::behind(&queue_at));
                self.queue().relay(rest);
            }
            found.then_some(Event::Ponged)
        })
    }

    /// While a frame of ours waits for the source's current frame to end.
    pub(super) fn take_split(&mut self, chunk: &[u8]) -> Option<Event> {
        // Before the tracker moves on: what the sink has taken ends here.
        self.queue();
        let (frame, rest) = chunk.split_at(self.tracker.to_boundary(chunk));
        self.queue().relay(frame);
        let event = self.inject_at_boundary();
        self.tracker.walk(rest);
        if self.phase != Phase::Discard {
            self.queue().relay(rest);
        }
        event
    }

    /// Queues the frame that waits, if this is a place for it; gives it up if there will never be one.
    pub(super) fn inject_at_boundary(&mut self) -> Option<Event> {
        let waiting = self.inject?;
        if self.tracker.close().is_some() {
            // The source's own Close has taken the place.
            self.inject = None;
            return None;
        }
        if self.tracker.violation().is_some() {
            self.inject = None;
            if let Inject::Close(..) = waiting {
                self.phase = Phase::Finish;
            }
            return None;
        }
        if !self.tracker.at_boundary() || self.pong.is_some() {
            return None;
        }
        self.inject = None;
        Some(self.put(waiting))
    }

    pub(super) fn put(&mut self, frame: Inject) -> Event {
        let among = self.tracker.sender();
        match frame {
            Inject::Close(code, reason) => {
                let reason = reason.map_or("", Reason::as_str);
                self.queue().put(&close_frame(code, reason, among));
                self.put_close = true;
                self.phase = Phase::Discard;
                Event::PutClose(code)
            }
            Inject::Ping(payload) => {
                self.queue().put(&ping_frame(payload, among));
                Event::PutPing(payload)
            }
        }
    }

    /// Ends the search for a Pong of ours; what looked like the beginning of one goes on to the sink.
    pub(super) fn release_held(&mut self) {
        let Some(filter) = self.pong.take() else { return };
        if !filter.held().is_empty() {
            let mut held = Vec::new();
            self.queue();
            filter.give_up(&mut self.tracker, &mut held);
            self.queue().relay(&held);
        }
    }
}

thread_local! {
    /// Where bytes stand while an answer to a Ping of ours is being looked for; one per worker.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
