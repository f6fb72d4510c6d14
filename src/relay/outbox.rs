//! What the sessions of a worker have written, until the worker has nothing else to do: first all read, then all write.
//!
//! In: small pieces, each for a [`Wire`]. Out: the same pieces in batches, in order to each peer: first to all backends, then to
//! all clients.
//!
//! - Sending is three quarters of what a small message costs, and costs less in a row: the kernel's way in and its way out stay
//!   in the processor's caches, and a peer on the same machine is woken once for all that it gets. Redis answers its
//!   clients like this (`handleClientsWithPendingWrites`).
//! - In turn to a backend and to a client, each of these, on the same machine, has dealt with its piece before its next one comes,
//!   and sleeps again.
//! - A batch is sent when tokio is about to wait for events. A busy worker may not come to that for long, so it is sent as
//!   well with [`MANY`] pieces, and after [`IN_VAIN`] polls of tasks that have added none.
//! - A thread that has not [opened](open) an outbox has none.
//!
//! Not here: what a peer does not take at once ([`Wire`]).

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    pin::Pin,
    sync::Arc,
};

use futures_util::FutureExt;

use super::{Leg, socket::Wire};

/// See the module.
struct Outbox {
    open: bool,
    bytes: Vec<u8>,
    to_backends: Vec<Piece>,
    to_clients: Vec<Piece>,
}

/// Where it goes, and its place in the outbox's bytes.
type Piece = (Arc<Wire>, Range<usize>);

/// Counts the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch(u64);

/// How many pieces a batch has at most.
const MANY: usize = 64;

/// How many polls a batch waits for another piece.
const IN_VAIN: u8 = 8;

/// Gives this thread an outbox. From now on [`send`] is called whenever it is about to wait, and its tasks are to be [`counted`].
pub(crate) fn open() {
    OUTBOX.with_borrow_mut(|outbox| outbox.open = true);
}

/// Nothing else is to be done, or something that takes long.
pub(crate) fn send() {
    OUTBOX.with_borrow_mut(Outbox::send);
}

/// A task of this thread, each poll of which is counted.
pub(crate) async fn counted<T>(mut task: Pin<Box<impl Future<Output = T> + ?Sized>>) -> T {
    std::future::poll_fn(|cx| {
        let polls = POLLS.get() + 1;
        POLLS.set(polls);
        if polls > IN_VAIN {
            send();
        }
        task.poll_unpin(cx)
    })
    .await
}

/// Takes a piece, and tells with which batch it will be sent; `None` where there is no outbox.
pub(super) fn put(wire: &Arc<Wire>, leg: Leg, piece: &[u8]) -> Option<Batch> {
    OUTBOX.with_borrow_mut(|outbox| outbox.open.then(|| outbox.put(wire, leg, piece)))
}

/// Whether this batch has not been sent.
pub(super) fn holds(batch: Batch) -> bool {
    BATCH.get() == batch
}

// === impl Batch ===

impl Batch {
    /// One that was sent before all others.
    pub(super) const NONE: Self = Self(0);
}

// === impl Outbox ===

impl Outbox {
    const fn new() -> Self {
        Self {
            open: false,
            bytes: Vec::new(),
            to_backends: Vec::new(),
            to_clients: Vec::new(),
        }
    }

    fn put(&mut self, wire: &Arc<Wire>, leg: Leg, piece: &[u8]) -> Batch {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        let pieces = match leg {
            Leg::Backend => &mut self.to_backends,
            Leg::Client => &mut self.to_clients,
        };
        pieces.push((Arc::clone(wire), start..self.bytes.len()));
        POLLS.set(0);
        let batch = BATCH.get();
        if self.waiting() == MANY {
            self.send();
        }
        batch
    }

    fn waiting(&self) -> usize {
        self.to_backends.len() + self.to_clients.len()
    }

    fn send(&mut self) {
        POLLS.set(0);
        if self.waiting() == 0 {
            return;
        }
        for (wire, place) in self.to_backends.iter().chain(&self.to_clients) {
            wire.send(&self.bytes[place.clone()]);
        }
        self.to_backends.clear();
        self.to_clients.clear();
        self.bytes.clear();
        BATCH.set(Batch(BATCH.get().0 + 1));
    }
}

thread_local! {
    static OUTBOX: RefCell<Outbox> = const { RefCell::new(Outbox::new()) };
    static BATCH: Cell<Batch> = const { Cell::new(Batch(1)) };
    /// Since a piece came or a batch went.
    static POLLS: Cell<u8> = const { Cell::new(0) };
}

/// Runs something on a thread that has an outbox, as a worker does.
#[cfg(test)]
pub(super) fn on_worker<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let worker = std::thread::spawn(|| {
        open();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(send)
            .build()
            .unwrap();
        let limit = std::time::Duration::from_secs(60);
        runtime.block_on(async { tokio::time::timeout(limit, test()).await.expect("in time") });
    });
    if let Err(panic) = worker.join() {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A wire to who for once is client and backend, and sees what is sent in which order.
    async fn connected() -> (Arc<Wire>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        (Arc::new(ours.into()), peer)
    }

    #[tokio::test]
    async fn what_goes_to_backends_is_sent_first_and_in_order() {
        let (wire, mut peer) = connected().await;
        let mut outbox = Outbox::new();
        outbox.put(&wire, Leg::Client, b"c1 ");
        outbox.put(&wire, Leg::Backend, b"b1 ");
        outbox.put(&wire, Leg::Client, b"c2 ");
        outbox.put(&wire, Leg::Backend, b"b2 ");
        outbox.send();
        assert!(outbox.bytes.is_empty(), "all is sent");
        let mut got = [0; 12];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(got.escape_ascii().to_string(), "b1 b2 c1 c2 ");
    }

    #[tokio::test]
    async fn pieces_to_both_are_counted_together() {
        let (wire, mut peer) = connected().await;
        let mut outbox = Outbox::new();
        for _ in 0..MANY / 2 {
            outbox.put(&wire, Leg::Client, b"c");
            outbox.put(&wire, Leg::Backend, b"b");
        }
        assert!(outbox.bytes.is_empty(), "a whole batch is sent");
        let mut got = [0; MANY];
        peer.read_exact(&mut got).await.unwrap();
        assert!(got[..MANY / 2].iter().all(|byte| *byte == b'b'));
    }
}
