//! The accept loop of one listener.
//!
//! In: a bound socket. Out: admitted connections, each on the worker that is to serve it.
//!
//! - Runs on one worker and hands a connection over only if another worker has fewer: with one worker no thread is ever
//!   woken for another.
//! - A connection that the process has no place for is told so (503) without being read, at the price of one write.
//! - When descriptors or memory run out it waits [`BACKOFF`] and counts; it never spins and never ends.
//!
//! Not here: what is spoken on the connection ([`super::serve`]).

use std::{
    future::poll_fn,
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use socket2::{Domain, Socket, TcpKeepalive, Type};
use tokio::{net::TcpStream, sync::watch, task::consume_budget, time::Instant};

use super::{Admission, Permit, Site, admission::Refusing, linger::linger};
use crate::timers::sleep;

/// An accepted connection on its way to its worker, as a stream of this worker or of none.
#[derive(Debug)]
pub struct Accepted<S = TcpStream> {
    pub(super) stream: S,
    pub(super) address: SocketAddr,
    pub(super) permit: Permit,
    pub(super) site: Arc<Site>,
    pub(super) at: Instant,
}

impl<S> Accepted<S> {
    /// The worker that is to serve it.
    pub fn worker(&self) -> usize {
        self.permit.worker()
    }

    /// The same connection with its stream in another form.
    pub fn try_map<T>(self, map: impl FnOnce(S) -> io::Result<T>) -> io::Result<Accepted<T>> {
        let Self {
            stream,
            address,
            permit,
            site,
            at,
        } = self;
        Ok(Accepted {
            stream: map(stream)?,
            address,
            permit,
            site,
            at,
        })
    }
}

/// Where accepted connections go, and what is counted on the way.
pub trait Deliver: Send + 'static {
    /// Hands a connection to the worker that its permit names, which may be this one; gives it back if that one cannot
    /// take it now.
    fn deliver(&self, accepted: Accepted) -> Result<(), Accepted>;
    /// A connection was refused for lack of room.
    fn refused(&self);
    /// Accepting failed for lack of a resource; `news`: it has not been said for a while.
    fn failed(&self, error: &io::Error, news: bool);
}

/// How long the loop waits for descriptors or memory to come back.
const BACKOFF: Duration = Duration::from_millis(50);

/// How often a shortage is told.
const QUIET: Duration = Duration::from_secs(10);

/// Connections that the kernel holds for a loop that is behind (cut to `somaxconn`): a whole herd of reconnects.
const BACKLOG: i32 = 4096;

/// The door of one listener: where its connections are let in, on which worker it stands.
#[derive(Debug)]
pub struct Door<D> {
    /// The listener that it belongs to.
    pub site: Arc<Site>,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// The worker that accepts.
    pub worker: usize,
    /// Where connections go.
    pub deliver: D,
}

/// Accepts until told to stop; the socket is closed then.
pub async fn run<D: Deliver>(
    listener: TcpListener,
    door: Door<D>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut told = None;
    let mut stopped = pin!(async { stop.wait_for(|stop| *stop).await.map_or((), drop) });
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            error = door.admit_all(&listener) => {
                let news = told.is_none_or(|told: Instant| told.elapsed() > QUIET);
                door.deliver.failed(&error, news);
                told = if news { Some(Instant::now()) } else { told };
                sleep(BACKOFF).await;
            },
        }
    }
    // Closing resets what the kernel has accepted for us; those clients are better told to come back.
    door.admit_waiting(&listener.into_std()?).await
}

impl<D: Deliver> Door<D> {
    /// Lets in whoever comes, until a resource is short.
    async fn admit_all(&self, listener: &tokio::net::TcpListener) -> io::Error {
        poll_fn(|cx| {
            loop {
                match ready!(listener.poll_accept(cx)) {
                    Ok((stream, address)) => self.admit(stream, address),
                    Err(error) if is_about_the_connection(&error) => {}
                    Err(error) => return Poll::Ready(error),
                }
            }
        })
        .await
    }

    /// Lets in who waits, at most as many as the kernel held. It is asked itself: the runtime may not have been told.
    async fn admit_waiting(&self, listener: &TcpListener) -> io::Result<()> {
        for _ in 0..BACKLOG {
            match listener.accept() {
                Ok((stream, address)) => {
                    stream.set_nonblocking(true)?;
                    self.admit(TcpStream::from_std(stream)?, address);
                }
                Err(error) if is_about_the_connection(&error) => {}
                // Nobody is left, or there is no room for more.
                Err(_) => break,
            }
            consume_budget().await;
        }
        Ok(())
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let Some(permit) = self.admission.enter(self.worker) else {
            self.deliver.refused();
            // Beyond that there are too many to be told anything; and within TLS it would cost a handshake.
            if self.site.rules.load().tls.is_none()
                && let Some(place) = self.admission.refuse()
            {
                tokio::spawn(refuse(stream, place));
            }
            return;
        };
        let accepted = Accepted {
            stream,
            address,
            permit,
            site: Arc::clone(&self.site),
            at: Instant::now(),
        };
        if let Err(mut back) = self.deliver.deliver(accepted) {
            // The other worker is too far behind to be told; better here than nowhere.
            back.permit.move_to(self.worker);
            if self.deliver.deliver(back).is_err() {
                self.deliver.refused();
            }
        }
    }
}

/// Says why and closes. The request is not judged: whoever is over the limit gets no more of us than one write.
async fn refuse(stream: TcpStream, _place: Refusing) {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {}\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        fastrand::u32(1..=5)
    );
    // A fresh socket takes this whole; if not, the client learns nothing but loses nothing either.
    let _ = stream.writable().await;
    let _ = stream.try_write(head.as_bytes());
    linger(stream).await;
}

/// Failures of one connection that say nothing about the next (accept(2)).
fn is_about_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | NetworkUnreachable | PermissionDenied | TimedOut
    )
}

/// Opens a listening socket whose connections inherit what a session of hours needs (tcp(7): Linux copies these
/// options to accepted sockets, which saves five calls per connection).
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A peer that has vanished without a word is noticed: by keep-alive probes when idle, by unacknowledged bytes when not.
///
/// The user timeout bounds both: how many probes may fail (`TCP_KEEPCNT`) does not count beside it (tcp(7)).
pub(crate) fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(Duration::from_secs(20))
            .with_interval(Duration::from_secs(5)),
    )?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(30)))
}

#[cfg(test)]
mod tests;
