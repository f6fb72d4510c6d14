//! Affinity's step of the stack.
//!
//! In: a request with its [`Matched`], its headers clean. Out: the same with a [`Tie`](super::Tie) and without its tag, or
//! an answer. A request to a service without affinity passes at no cost.

use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use tower::Service;

use super::judge::judge;
use crate::{answer::Body, route::Matched};

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Ties<S> {
    inner: S,
}

impl<S> Ties<S> {
    /// Over what dials.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<B>> for Ties<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let matched = request.extensions().get::<Matched>();
        let settings = matched.map(|matched| matched.planned.service.settings.load_full());
        let (Some(matched), Some(settings)) = (matched, settings) else {
            return Either::Left(self.inner.call(request));
        };
        if settings.affinity.is_empty() {
            return Either::Left(self.inner.call(request));
        }
        let matched = matched.clone();
        // The one that is ready goes with the request.
        let unready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, unready);
        Either::Right(Box::pin(async move {
            let (mut head, body) = request.into_parts();
            match judge(&mut head, matched, settings).await {
                Ok(()) => inner.call(Request::from_parts(head, body)).await,
                Err(answer) => Ok(answer),
            }
        }))
    }
}
