//! HTTP/2 on one connection.
//!
//! In: a stream that begins with the preface of HTTP/2, and what is known of its connection. Out: each request through
//! the stack, in a task of its own, and each session on its own stream.
//!
//! - Sessions of one connection share nothing but the connection: each has its own flow control, and the connection's
//!   window is large enough for all of them to be full at once, so none can hold up another.
//! - A session ends for its own reasons, or when the connection does. A connection without streams is closed after
//!   [`IDLE`]; one with streams only when its peer leaves, does not answer [`PATIENCE`] long, or breaks the protocol.
//! - When the process drains, the client is told to go elsewhere (GOAWAY), and the connection ends with its last stream.
//! - What a client may make us do without an end of it is bounded: requests at once, requests taken back, resets of our
//!   own, header size, memory of what waits.
//!
//! Not here: how it is told from HTTP/1 ([`preface`](super::preface)), one request (`exchange`), a session's stream
//! (`tunnel`), what goes out on a stream (`outlet`).

mod body;
mod exchange;
mod outlet;
mod translate;
mod tunnel;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{Ping, PingPong, Reason, server};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};

pub(super) use self::body::Body;
use super::serve::Connection;
use crate::{
    config::Limits,
    timers::{sleep_until, timeout_at},
};

/// Requests and sessions that one connection may have at once.
const STREAMS: u32 = 1_000;

/// Bytes that a client may send on one stream before they are read: what a session may hold of HTTP/1 in the kernel.
const STREAM_WINDOW: u32 = 64 * 1024;

/// All windows together. Where it is less, streams that are not read keep others from being read.
///
/// h2 gives up on a connection when small DATA frames that wait to be read cost more than half of this, at up to 255
/// bytes for each. A session reads ahead what its backend does not take ([`tunnel`]), so they wait only until its task
/// has its turn: 32 MB are some 130,000 frames, more than a connection can bring in one turn of its own.
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;

/// Bytes that wait on one stream until the client takes them; as much again waits in the session.
const SEND_BUFFER: usize = 64 * 1024;

/// How long a connection may be without any stream.
const IDLE: Duration = Duration::from_mins(5);

/// How often a peer is asked whether it is there.
const PING: Duration = Duration::from_mins(1);

/// How long it may take to answer. A peer whose host has vanished is noticed by the kernel much earlier; this is for one
/// behind a proxy that is still there.
const PATIENCE: Duration = Duration::from_mins(2);

/// Requests that a client may take back before they are answered, between two pings.
const TAKEN_BACK: usize = 1_000;

/// The same before their turn came, as where a page is left that has just asked for all of its parts. Their heads are in
/// memory until then.
const TAKEN_BACK_UNSEEN: usize = 100;

/// How long frames may come in for a stream that was reset: as long as a slow client may take to hear of it. Later ones
/// count as errors, and after some of those h2 gives up on a connection.
const STRAY: Duration = Duration::from_secs(10);

/// What all requests of a connection share.
struct Shared {
    connection: Connection,
    /// Requests that the client has taken back before an answer.
    taken_back: AtomicUsize,
}

/// A connection whose handshake is done.
struct Serving<S> {
    http: server::Connection<S, Bytes>,
    shared: Arc<Shared>,
    pings: Option<PingPong>,
    /// When the ping was sent that has not been answered.
    asked: Option<Instant>,
    /// Since when there has been no stream, as far as has been looked.
    idle: Option<Instant>,
    /// There has been a request.
    used: bool,
    /// The client has been told to go.
    leaving: bool,
}

/// Serves one connection until it ends.
pub(super) async fn serve<S>(stream: S, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &connection.rules.limits;
    let first_by = connection.at + limits.request_deadline;
    let handshake = settings(limits).handshake(stream);
    // An error is the client's, and h2 has told it where there was anybody to tell.
    let Ok(Ok(mut http)) = timeout_at(first_by, handshake).await else {
        return;
    };
    let router = Arc::clone(&connection.router);
    let serving = Serving {
        pings: http.ping_pong(),
        http,
        shared: Arc::new(Shared {
            connection,
            taken_back: AtomicUsize::new(0),
        }),
        asked: None,
        idle: None,
        used: false,
        leaving: false,
    };
    // Heard once, it has this task polled; what it says is asked of the router then.
    let mut draining = pin!(router.drained());
    let _ = futures_util::poll!(draining.as_mut());
    serving.run(first_by).await;
}

fn settings(limits: &Limits) -> server::Builder {
    let mut settings = server::Builder::new();
    settings
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(TAKEN_BACK_UNSEEN)
        .max_concurrent_reset_streams(STREAMS as usize)
        .reset_stream_duration(STRAY)
        .max_header_list_size(u32::try_from(limits.request_head).unwrap_or(u32::MAX));
    settings
}

impl<S> Serving<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    async fn run(mut self, first_by: Instant) {
        let mut timer = pin!(sleep_until(first_by));
        poll_fn(|cx| self.poll(cx, timer.as_mut())).await;
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        if self.shared.connection.router.is_draining() {
            self.leave();
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.look(cx, now).is_break() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(now + PING);
        }
        loop {
            match std::task::ready!(self.http.poll_accept(cx)) {
                Some(Ok((request, respond))) => {
                    self.used = true;
                    self.idle = None;
                    let answer = exchange::answer(Arc::clone(&self.shared), request, respond);
                    tokio::spawn(answer);
                }
                Some(Err(_)) | None => return Poll::Ready(()),
            }
            if self.shared.taken_back.load(Ordering::Relaxed) > TAKEN_BACK {
                self.http.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
        }
    }

    /// What is due from time to time; whether the connection is to end now.
    fn look(&mut self, cx: &mut Context<'_>, now: Instant) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        // The deadline of the first request.
        if !self.used {
            return Break(());
        }
        self.shared.taken_back.store(0, Ordering::Relaxed);
        if self.http.has_streams() {
            self.idle = None;
        } else if now - *self.idle.get_or_insert(now) >= IDLE {
            self.leave();
        }
        let Some(pings) = &mut self.pings else {
            return Continue(());
        };
        if self.asked.is_some() && pings.poll_pong(cx).is_ready() {
            self.asked = None;
        }
        match self.asked {
            Some(asked) if now - asked >= PATIENCE => return Break(()),
            Some(_) => {}
            None => {
                // Fails only where the connection has failed, which it is about to say itself.
                let _ = pings.send_ping(Ping::opaque());
                self.asked = Some(now);
            }
        }
        Continue(())
    }

    fn leave(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.http.graceful_shutdown();
        }
    }
}

impl Shared {
    fn count_taken_back(&self) {
        self.taken_back.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
