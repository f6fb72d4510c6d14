//! Longhaul as a library: a router inside a program of your own, with a tower layer of your own in its stack.
//!
//! The layer lets in who knows the password; all others get a 401 before any backend is dialled.
//!
//! ```sh
//! cargo run --example echo_backend -- 127.0.0.1:9001
//! cargo run --example embed -- 127.0.0.1:8080 127.0.0.1:9001
//! npx wscat -H 'Authorization: Bearer sesame' -c ws://127.0.0.1:8080/
//! ```

use std::{
    convert::Infallible,
    env,
    error::Error,
    path::Path,
    task::{Context, Poll},
};

use futures_util::future::{Either, Ready, ready};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use longhaul::{
    answer::{Answer, Body},
    app::{App, Options},
    config,
    listen::Incoming,
    stack::{Extra, Stack},
};
use tower::{Service, layer::layer_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (Some(listener), Some(backend)) = (env::args().nth(1), env::args().nth(2)) else {
        return Err("usage: embed LISTENER BACKEND".into());
    };
    let app = start(&listener, &backend).await?;
    println!(
        "listening on {:?}; Ctrl-C closes every session properly",
        app.addresses()
    );
    tokio::signal::ctrl_c().await?;
    app.shutdown().await;
    Ok(())
}

/// Opens a router with one listener, in front of one backend.
pub(crate) async fn start(listener: &str, backend: &str) -> Result<App, Box<dyn Error>> {
    // A program may just as well write its config by hand; this way it is checked, and gets the defaults.
    let text = format!(
        "
        listeners: [{{ address: '{listener}' }}]
        services: {{ echo: {{ discovery: {{ static: ['{backend}'] }} }} }}
        routes: [{{ match: {{}}, service: echo }}]
        shutdown: {{ window: 1s, deadline: 5s }}
        "
    );
    let config = config::parse(&text, Path::new("embed.yaml"))?;
    let guard = layer_fn(|inner: Stack| Guarded { inner });
    let options = Options {
        layer: Some(Extra::new(guard)),
        ..Options::default()
    };
    Ok(App::start(config, options).await?)
}

/// Lets in who knows the password.
#[derive(Clone, Debug)]
struct Guarded {
    inner: Stack,
}

impl Service<Request<Incoming>> for Guarded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Response<Body>, Infallible>>, <Stack as Service<Request<Incoming>>>::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        // The step before this one leaves exactly what the client sent, unless it is about one hop only.
        if request
            .headers()
            .get(AUTHORIZATION)
            .is_some_and(|given| given == "Bearer sesame")
        {
            return Either::Right(self.inner.call(request));
        }
        let answer = Answer::new(StatusCode::UNAUTHORIZED, "say the password");
        Either::Left(ready(Ok(answer.into_response())))
    }
}
