//! The bodies of one stream: the request's, and the answer's on its way.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::oneshot, task::yield_now};

use super::outlet::Outlet;
use crate::answer::{self, BoxError};

/// The body of a request. The client is told to send more as this is read.
#[derive(Debug)]
pub(crate) struct Body {
    recv: RecvStream,
    /// What `Content-Length` says is still to come; HTTP/2 itself has it kept.
    left: Option<u64>,
    trailing: bool,
    /// Told once the body is wanted and has not come: the client waits for a 100.
    wanted: Option<oneshot::Sender<()>>,
}

impl Body {
    pub(super) fn new(recv: RecvStream, length: Option<u64>) -> Self {
        Self {
            recv,
            left: length,
            trailing: false,
            wanted: None,
        }
    }

    /// Ready when the body is wanted and has not come; failed if that will not be.
    pub(super) fn wanted(&mut self) -> oneshot::Receiver<()> {
        let (wanted, awaited) = oneshot::channel();
        self.wanted = Some(wanted);
        awaited
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = &mut *self;
        while !this.trailing {
            let polled = this.recv.poll_data(cx);
            if let Some(wanted) = this.wanted.take().filter(|_| polled.is_pending()) {
                // Fails only where nobody waits for it any more.
                let _ = wanted.send(());
            }
            match ready!(polled).transpose()? {
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => {
                    // Fails only for more than there was.
                    let _ = this.recv.flow_control().release_capacity(bytes.len());
                    this.left = this.left.map(|left| left.saturating_sub(bytes.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                None => this.trailing = true,
            }
        }
        let trailers = ready!(this.recv.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        // Some clients say that a stream has ended only in a frame of its own, also where the length has said it all.
        self.left == Some(0) || self.recv.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.recv.is_end_stream() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

/// Sends an answer's body as it comes and as the client takes it. A body that breaks off breaks the stream off, so that no
/// client takes a part for the whole; a client that has reset the stream ends it.
pub(super) async fn send(mut body: answer::Body, mut outlet: Outlet) {
    while let Some(next) = unless_reset(&mut outlet, &mut body).await {
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                // A reset throws away what the connection has not sent; here it has its turn first.
                yield_now().await;
                return outlet.reset(Reason::INTERNAL_ERROR);
            }
            None => return drop(outlet.send(Bytes::new(), true)),
        };
        match frame.into_data() {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                let last = body.is_end_stream();
                if send_all(&mut outlet, bytes, last).await.is_err() {
                    return outlet.reset(Reason::CANCEL);
                }
                if last {
                    return;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return outlet.send_trailers(trailers);
                }
            }
        }
    }
}

/// The body's next frame; `None` once the stream has been reset.
async fn unless_reset(
    outlet: &mut Outlet,
    body: &mut answer::Body,
) -> Option<Option<Result<Frame<Bytes>, BoxError>>> {
    poll_fn(|cx| match outlet.poll_reset(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => Pin::new(&mut *body).poll_frame(cx).map(Some),
    })
    .await
}

async fn send_all(outlet: &mut Outlet, mut bytes: Bytes, last: bool) -> io::Result<()> {
    while !bytes.is_empty() {
        let room = poll_fn(|cx| outlet.poll_room(cx, bytes.len())).await?;
        let part = bytes.split_to(room.min(bytes.len()));
        outlet.send(part, last && bytes.is_empty())?;
    }
    Ok(())
}
