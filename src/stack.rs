//! The one place where the steps of a handshake are composed, outermost first.
//!
//! In: requests with their [`Arrival`](crate::listen::Arrival). Out: responses. A step that refuses answers at once, and
//! the steps behind it see nothing.
//!
//! Whoever embeds Longhaul adds layers of their own ([`Extra`]): they see a request after its route is known and its
//! headers are cleaned, and before any backend is dialled.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response, request::Parts};
use tower::{Layer, Service, ServiceBuilder, layer::layer_fn, util::BoxCloneSyncService};

use crate::{
    affinity::Ties,
    answer::{Answer, Body},
    dial::Forward,
    listen::{self, Incoming},
    policy, route,
    router::Router,
};

/// The whole stack, as a connection calls it.
pub type Stack = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// A layer of an embedder's own.
#[derive(Clone)]
pub struct Extra(Arc<dyn Fn(Stack) -> Stack + Send + Sync>);

/// Composes the stack over a router.
pub fn build(router: &Arc<Router>, extra: Option<&Extra>) -> Stack {
    let forward = Forward::new(Arc::clone(router));
    match extra {
        // Without a box of its own, which every request would pay for.
        None => over(forward, router),
        Some(extra) => over((extra.0)(BoxCloneSyncService::new(forward)), router),
    }
}

/// The steps before the dial, over what follows them.
fn over<S>(inner: S, router: &Arc<Router>) -> Stack
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let at = |_: &'static str| Arc::clone(router);
    let stack = ServiceBuilder::new()
        // A process that is ending takes nothing new, whatever it is.
        .layer(step(at("drain"), crate::drain::turn_away))
        // Before the route: what is no proper request must not even be compared with one.
        .layer(step(at("listen"), listen::judge))
        // Before the policies: they are the route's.
        .layer(step(at("route"), route::choose))
        // Outside of everything that refuses: scripts are to read refusals too.
        .layer(policy::cors::layer())
        // Before the headers: it is the client's own word that counts.
        .layer(step(at("origin"), policy::origin::check))
        // Last of the policies: nothing after this reads what a client claims about itself.
        .layer(step(at("headers"), policy::clean))
        // Behind the headers, which say who the client is; before the dial, which it binds.
        .layer(layer_fn(Ties::new))
        .service(inner);
    BoxCloneSyncService::new(stack)
}

/// A step that lets a request pass, perhaps changed, or answers it.
fn step<S, F>(router: Arc<Router>, check: F) -> impl Layer<S, Service = Step<S, F>> + Clone
where
    F: Fn(&Router, &mut Parts) -> Result<(), Answer> + Copy,
{
    layer_fn(move |inner| Step {
        inner,
        router: Arc::clone(&router),
        check,
    })
}

/// See [`step`].
#[derive(Clone, Debug)]
struct Step<S, F> {
    inner: S,
    router: Arc<Router>,
    check: F,
}

impl<S, F> Service<Request<Incoming>> for Step<S, F>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
    F: Fn(&Router, &mut Parts) -> Result<(), Answer>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        match (self.check)(&self.router, &mut head) {
            Ok(()) => Either::Right(self.inner.call(Request::from_parts(head, body))),
            Err(answer) => Either::Left(ready(Ok(answer.into_response()))),
        }
    }
}

impl Extra {
    /// Puts `layer` between the policies and the dial.
    pub fn new<L>(layer: L) -> Self
    where
        L: Layer<Stack> + Send + Sync + 'static,
        L::Service: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request<Incoming>>>::Future: Send + 'static,
    {
        Self(Arc::new(move |inner| {
            BoxCloneSyncService::new(layer.layer(inner))
        }))
    }
}

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Extra")
    }
}
