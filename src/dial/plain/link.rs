//! A connection to an endpoint for plain requests.
//!
//! In: an endpoint. Out: a [`Link`] that carries one request after the other, and an answer's body that gives it back to the
//! [`pool`] when it has ended.
//!
//! - Dropping a link ends its connection at once, with all that is under way on it: so does a client that leaves.
//! - Only a link whose request and answer were both read to their end is used again.
//! - No link was ever, or will ever be, upgraded: sessions have connections of their own.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use discovery::{Endpoint, Identity};
use http::{HeaderMap, HeaderName, Request, Response};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::{
        TrySendError,
        http1::{Builder, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::{
    pool,
    upload::{Progress, Upload},
};
use crate::{
    answer,
    balance::Lease,
    config,
    dial::{
        connect::{NotConnected, connect},
        offer::MAX_HEAD,
    },
    listen::handshake::tokens,
    router::UnderWay,
    tls::Target,
};

/// Where a link leads. Settings that a reload has replaced are others: they may say how to connect.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) settings: Arc<config::Service>,
    pub(super) identity: Identity,
    pub(super) address: SocketAddr,
    /// TLS, where the service wants it.
    pub(super) tls: Option<Target>,
}

/// A connection that carries one request at a time.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) place: Place,
    /// Whether it has carried a request before.
    pub(super) used: bool,
    /// How long it may be idle.
    pub(super) patience: Duration,
    sender: SendRequest<Upload>,
    _driver: Driver,
}

/// Ends the connection's task when it is dropped.
#[derive(Debug)]
struct Driver(AbortHandle);

/// The body of an answer, and what its request holds until it has ended.
pub(super) struct Download {
    body: Incoming,
    progress: Arc<Progress>,
    link: Option<Link>,
    /// Ends it before its end.
    turned: Option<Turned>,
    /// Requests are load on an endpoint while they last.
    _held: (Lease, UnderWay),
}

/// Done when a client is turned away.
pub(super) type Turned = Pin<Box<dyn Future<Output = Response<answer::Body>> + Send>>;

/// How long a link may be idle where the endpoint says nothing. Shorter than what most servers and all NATs allow; where it
/// is not, the worst is a second connection, as only requests that can be repeated meet an old link.
const IDLE: Duration = Duration::from_secs(60);

/// What is taken off a limit that the endpoint has announced: the time of a request on its way.
const MARGIN: Duration = Duration::from_secs(1);

// === impl Place ===

impl Place {
    pub(super) fn new(settings: &Arc<config::Service>, endpoint: &Endpoint, tls: Option<Target>) -> Self {
        Self {
            settings: Arc::clone(settings),
            identity: endpoint.identity.clone(),
            address: endpoint.address,
            tls,
        }
    }
}

// === impl Link ===

impl Link {
    /// Connects within `limit`; a TLS handshake has what time the caller has.
    pub(super) async fn open(place: Place, limit: Duration) -> Result<Self, NotConnected> {
        let (stream, _) = connect(place.address, limit, place.tls.as_ref(), &[]).await?;
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| NotConnected::Tcp(io::Error::other(error)))?;
        // Its error reaches the answer, which says more.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self {
            place,
            used: false,
            patience: IDLE,
            sender,
            _driver: Driver(driver.abort_handle()),
        })
    }

    /// Sends a request; it comes back where nothing of it was sent.
    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<> {
        self.sender.try_send_request(request)
    }

    /// Whether it can carry another request.
    pub(super) fn is_free(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it never will.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Takes note of what the endpoint says about idle connections.
    pub(super) fn heed(&mut self, answer: &HeaderMap) {
        let announced = tokens(answer, &KEEP_ALIVE).find_map(|token| {
            let seconds = std::str::from_utf8(token).ok()?.strip_prefix("timeout=")?;
            seconds.trim().parse().ok().map(Duration::from_secs)
        });
        self.patience = announced.map_or(IDLE, |limit| limit.saturating_sub(MARGIN).min(IDLE));
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Download ===

impl Download {
    pub(super) fn new(
        body: Incoming,
        link: Link,
        progress: Arc<Progress>,
        held: (Lease, UnderWay),
        turned: Option<Turned>,
    ) -> Self {
        Self {
            body,
            progress,
            link: Some(link),
            turned,
            _held: held,
        }
    }

    fn finish(&mut self) {
        if let Some(link) = self.link.take().filter(|_| self.progress.is_whole()) {
            pool::put(link);
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(turned) = &mut self.turned
            && turned.as_mut().poll(cx).is_ready()
        {
            // The connection goes with the link; nothing more is read of it.
            (self.turned, self.link) = (None, None);
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.finish(),
            Poll::Ready(Some(Err(_))) => self.link = None,
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A body of known length is not asked again after its last byte.
        if self.body.is_end_stream() {
            self.finish();
        }
    }
}
