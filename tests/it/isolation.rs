//! A defect in what serves one session costs that session: the others live, and nothing of it is left behind.
//!
//! The router runs inside the test's process, where a test can put a defect: in a layer of an embedder's own, and in what
//! listens to the log line that a session's task writes when it opens.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use longhaul::{
    app::{App, Options},
    config,
    listen::Incoming,
    stack::{Extra, Stack},
};
use tower::{Service, layer::layer_fn};

use crate::support::*;

/// Passes requests on, but for those that ask for a panic.
#[derive(Clone)]
struct Defective(Stack);

impl Service<http::Request<Incoming>> for Defective {
    type Response = <Stack as Service<http::Request<Incoming>>>::Response;
    type Error = <Stack as Service<http::Request<Incoming>>>::Error;
    type Future = <Stack as Service<http::Request<Incoming>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        assert!(
            !request.headers().contains_key("x-panic"),
            "a defect of the embedder's layer"
        );
        self.0.call(request)
    }
}

/// How many of the next sessions fail when they open.
static FAILING: AtomicUsize = AtomicUsize::new(0);

/// Takes the lines of sessions, and fails where it is told to.
struct FailingLog;

impl tracing::Subscriber for FailingLog {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "longhaul::session"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        let fails = FAILING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(fails.is_err(), "a defect in a session's task");
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

async fn embedded(config: &Config) -> App {
    let config = config::parse(&config.text(), Path::new("test.yaml")).expect("a good config");
    let options = Options {
        layer: Some(Extra::new(layer_fn(Defective))),
        ..Options::default()
    };
    App::start(config, options).await.expect("a router to start")
}

async fn open_at(address: std::net::SocketAddr) -> Conn {
    Conn::upgrade_owned(address).await
}

#[test]
fn a_panic_costs_one_handshake_or_one_session_and_leaves_nothing_behind() {
    run(async {
        tracing::subscriber::set_global_default(FailingLog).expect("the only subscriber of this process");
        let backend = Backend::echo().await;
        let app =
            embedded(&Config::over(&[&backend], "max_sessions_per_endpoint: 6", "").line("workers: 1")).await;
        let address = app.addresses()[0];
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(open_at(address).await);
        }
        for round in 0..5 {
            let mut client = Conn::connect(address).await;
            client
                .write(&Request::upgrade("/").field("X-Panic", "1").bytes())
                .await;
            assert!(
                client.head().await.is_none_or(|head| head.status() == 500),
                "round {round}"
            );

            FAILING.store(1, Ordering::SeqCst);
            let (mut client, head) = Conn::upgrade(address, &Request::upgrade("/")).await;
            assert_eq!(head.status(), 101);
            let (left, _) = client.rest().await;
            assert_eq!(left, b"", "round {round}");
        }
        for client in &mut others {
            client.echoes("still here").await;
        }
        // Had a lost session kept its place at the endpoint, there would be none for these two.
        eventually(SOON, "only the others are left", || async {
            (app.router().sessions.len() == 4).then_some(())
        })
        .await;
        let mut more = [open_at(address).await, open_at(address).await];
        for client in &mut more {
            client.echoes("as before").await;
        }
    });
}
