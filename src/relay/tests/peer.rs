//! Peers that do exactly what a test says, and a session between two of them.
//!
//! In: bytes to be read, ends, failures, how much may be written. Out: what the relay wrote, and how the session ended.
//!
//! - A [`Peer`] is what the test holds; the relay holds the [`Stream`] that belongs to it.
//! - As real sockets do, a stream takes part in tokio's cooperative budget.
//! - Time stands still while anything can happen, and jumps to the next deadline when nothing can.
//!
//! Not here: what is expected of a session.

use std::{
    io,
    sync::{Mutex, MutexGuard},
};

use ::bytes::{Bytes, BytesMut};
use discovery::Endpoint;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::{JoinHandle, coop, yield_now},
    time::timeout,
};

use super::*;
use crate::session::{NewSession, Registered, Sessions, Traffic};

/// One end of a leg, in the hands of a test.
#[derive(Clone)]
pub(super) struct Peer(Arc<Mutex<State>>);

/// The other end, in the hands of the relay.
pub(super) struct Stream(Arc<Mutex<State>>);

struct State {
    /// What the relay will read.
    sent: BytesMut,
    /// What it will read for ever once that is read.
    flood: Bytes,
    end: Option<End>,
    /// What it has read.
    read: u64,
    /// What it wrote and the peer has.
    got: Vec<u8>,
    /// What it wrote and did not flush, where that makes a difference.
    held_back: Vec<u8>,
    holds_back: bool,
    /// Flushing does not end.
    stalls: bool,
    /// How much more it may write.
    room: usize,
    broken: bool,
    shut: bool,
    /// It has been told that nobody reads it now.
    kept_waiting: bool,
    /// Which of the two it has been told to be.
    leg: Option<Leg>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Eof,
    Reset,
}

/// A session and its two peers.
pub(super) struct Running {
    pub(super) client: Peer,
    pub(super) backend: Peer,
    pub(super) session: Arc<Session>,
    began: Instant,
    task: JoinHandle<Outcome>,
    _registered: Registered,
}

/// How a session ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) after: Duration,
    pub(super) carried: Traffic,
}

// === impl Peer ===

impl Peer {
    pub(super) fn pair() -> (Self, Stream) {
        let state = Arc::new(Mutex::new(State {
            sent: BytesMut::new(),
            flood: Bytes::new(),
            end: None,
            read: 0,
            got: Vec::new(),
            held_back: Vec::new(),
            holds_back: false,
            stalls: false,
            room: usize::MAX,
            broken: false,
            shut: false,
            kept_waiting: false,
            leg: None,
            waker: None,
        }));
        (Self(Arc::clone(&state)), Stream(state))
    }

    /// Sends these bytes.
    pub(super) fn send(&self, bytes: &[u8]) {
        self.change(|state| state.sent.extend_from_slice(bytes));
    }

    /// Sends these bytes over and over, faster than anyone can read.
    pub(super) fn flood(&self, bytes: &[u8]) {
        self.change(|state| state.flood = Bytes::copy_from_slice(bytes));
    }

    /// Ends its stream, behind what it has sent.
    pub(super) fn end(&self) {
        self.change(|state| state.end = Some(End::Eof));
    }

    /// Its connection fails, behind what it has sent; writing fails at once.
    pub(super) fn reset(&self) {
        self.change(|state| {
            state.end = Some(End::Reset);
            state.broken = true;
        });
    }

    /// Writing to it fails from now on.
    pub(super) fn refuse(&self) {
        self.change(|state| state.broken = true);
    }

    /// Takes only so many bytes more.
    pub(super) fn take_only(&self, room: usize) {
        self.change(|state| state.room = room);
    }

    /// Gets only what is flushed.
    pub(super) fn hold_back(&self) {
        self.change(|state| state.holds_back = true);
    }

    /// Whether what is flushed to it stays on the way.
    pub(super) fn stall(&self, stalls: bool) {
        self.change(|state| state.stalls = stalls);
    }

    /// All that it got since this was last asked.
    pub(super) fn got(&self) -> Vec<u8> {
        std::mem::take(&mut self.state().got)
    }

    /// The relay has sent it the end of the stream.
    pub(super) fn is_shut(&self) -> bool {
        self.state().shut
    }

    /// Which of the two the relay takes it for.
    pub(super) fn leg(&self) -> Option<Leg> {
        self.state().leg
    }

    pub(super) fn was_kept_waiting(&self) -> bool {
        self.state().kept_waiting
    }

    /// How much the relay has read of what it sent.
    pub(super) fn was_read(&self) -> u64 {
        self.state().read
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

// === impl Stream ===

impl Stream {
    /// Waits for a change unless there is something to do.
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut State) -> Option<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let coop = std::task::ready!(coop::poll_proceed(cx));
        let mut state = self.0.lock().unwrap();
        if let Some(done) = act(&mut state) {
            coop.made_progress();
            return Poll::Ready(done);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(cx, |state| {
            if state.sent.is_empty() {
                let flood = state.flood.clone();
                state.sent.extend_from_slice(&flood);
            }
            let n = state.sent.len().min(buffer.remaining());
            buffer.put_slice(&state.sent.split_to(n));
            state.read += n as u64;
            match state.end {
                _ if n > 0 => Some(Ok(())),
                Some(End::Eof) => Some(Ok(())),
                Some(End::Reset) => Some(Err(io::ErrorKind::ConnectionReset.into())),
                None => None,
            }
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |state| {
            assert!(!state.shut, "a write behind the end of the stream");
            if state.broken {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let n = bytes.len().min(state.room);
            state.room -= n;
            let to = if state.holds_back {
                &mut state.held_back
            } else {
                &mut state.got
            };
            to.extend_from_slice(&bytes[..n]);
            (n > 0).then_some(Ok(n))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |state| {
            if state.stalls {
                return None;
            }
            let held_back = std::mem::take(&mut state.held_back);
            state.got.extend(held_back);
            Some(Ok(()))
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |state| {
            assert!(!state.shut, "the stream was ended twice");
            let held_back = std::mem::take(&mut state.held_back);
            state.got.extend(held_back);
            state.shut = true;
            Some(Ok(()))
        })
    }
}

impl Joinable for Stream {
    type Session = Self;

    fn into_session(self, leg: Leg) -> Self {
        self.0.lock().unwrap().leg = Some(leg);
        self
    }
}

impl crate::relay::Stream for Stream {
    fn read_ahead(&mut self, _: &mut Context<'_>) {
        self.0.lock().unwrap().kept_waiting = true;
    }
}

// === impl Running ===

impl Running {
    pub(super) fn start(limits: &SessionLimits) -> Self {
        Self::start_behind(b"", b"", limits)
    }

    /// A session whose peers have sent something before it began.
    pub(super) fn start_behind(early_client: &[u8], early_backend: &[u8], limits: &SessionLimits) -> Self {
        let (client, client_stream) = Peer::pair();
        let (backend, backend_stream) = Peer::pair();
        let ends = Ends {
            client: client_stream,
            early_client: early_client.to_vec(),
            backend: backend_stream,
            early_backend: early_backend.to_vec(),
        };
        let registered = registered();
        let session = Arc::clone(registered.session());
        let task = tokio::spawn(run(ends, Arc::clone(&session), limits));
        Self {
            client,
            backend,
            session,
            began: Instant::now(),
            task,
            _registered: registered,
        }
    }

    /// Waits until the session has ended, by itself.
    pub(super) async fn ended(self) -> Ended {
        let outcome = timeout(AGES, self.task).await.expect("the session never ends");
        Ended {
            outcome: outcome.expect("no panic"),
            after: self.began.elapsed(),
            carried: self.session.carried.read(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

/// A session in a list of its own.
pub(super) fn registered() -> Registered {
    Sessions::new(1).open(
        0,
        NewSession {
            route: "r".into(),
            service: "s".into(),
            endpoint: Arc::new(Endpoint::at(([127, 0, 0, 1], 9001).into())),
            client: ([127, 0, 0, 1], 40_000).into(),
        },
    )
}

/// Lets every task do what it can, without letting time pass.
pub(super) async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// Neither lifetime nor Pings.
pub(super) fn limits() -> SessionLimits {
    SessionLimits {
        idle_timeout: IDLE,
        max_lifetime: None,
        ping_interval: None,
        ping_timeout: Duration::from_secs(20),
    }
}

pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn outcome(initiator: Initiator, reason: Reason, code: impl Into<Option<u16>>) -> Outcome {
    Outcome {
        initiator,
        reason,
        code: code.into(),
    }
}

/// One frame, written down here a second time, independent of what it tests.
pub(super) fn frame(sender: Sender, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let (bit, pad) = match sender {
        Sender::Client => (0x80, [1, 2, 3, 4]),
        Sender::Backend => (0, [0; 4]),
    };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..=125 => frame.push(bit | short as u8),
        middle @ 126..=0xFFFF => {
            frame.push(bit | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(bit | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    if bit != 0 {
        frame.extend(pad);
    }
    frame.extend(
        payload
            .iter()
            .zip(pad.iter().cycle())
            .map(|(byte, pad)| byte ^ pad),
    );
    frame
}

pub(super) fn text(sender: Sender, text: &str) -> Vec<u8> {
    frame(sender, 1, text.as_bytes())
}

pub(super) fn close(sender: Sender, code: u16, reason: &str) -> Vec<u8> {
    frame(sender, 8, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// The frames in `bytes`, unmasked: opcode and payload; panics where there is a part of one.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (masked, short) = (bytes[1] & 0x80 != 0, usize::from(bytes[1] & 0x7F));
        assert!(short <= 125, "only short frames are read here");
        let payload = if masked { 6 } else { 2 };
        let pad = if masked { &bytes[2..6] } else { &[0; 4] };
        let unmasked = bytes[payload..payload + short]
            .iter()
            .zip(pad.iter().cycle())
            .map(|(byte, pad)| byte ^ pad)
            .collect();
        frames.push((bytes[0] & 0x0F, unmasked));
        bytes = &bytes[payload + short..];
    }
    frames
}

/// The codes of the Closes in `bytes`.
pub(super) fn closes(bytes: &[u8]) -> Vec<u16> {
    frames(bytes)
        .iter()
        .filter(|(opcode, _)| *opcode == 8)
        .map(|(_, payload)| u16::from_be_bytes([payload[0], payload[1]]))
        .collect()
}

pub(super) const IDLE: Duration = Duration::from_secs(3600);
/// Longer than any session of these tests may last.
const AGES: Duration = Duration::from_secs(100 * 3600);
/// More polls than any session needs to come to rest.
const TURNS: usize = 500;
