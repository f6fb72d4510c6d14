//! Affinity's step of the stack.
//!
//! In: a request with its [`Matched`], its headers clean. Out: the same with a [`Tie`](super::Tie) and without its tag, or
//! an answer. A request to a service without affinity passes at no cost.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::Guard;
use futures_util::future::{BoxFuture, Either};
use http::{Request, Response};
use tower::Service;

use super::judge::judge;
use crate::{answer::Body, config, route::Matched};

/// Affinity's step: puts a [`Tie`](super::Tie) into each request to a service that has any.
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
        let Some((matched, settings)) = request.extensions().get().and_then(with_affinity) else {
            return Either::Left(self.inner.call(request));
        };
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

/// The settings of the service that a request goes to, if it has any affinity.
fn with_affinity(matched: &Matched) -> Option<(Matched, Arc<config::Service>)> {
    let settings = matched.planned.service.settings.load();
    (!settings.affinity.is_empty()).then(|| (matched.clone(), Guard::into_inner(settings)))
}
