use std::path::Path;

use h2::client::{self, SendRequest};
use tokio::{sync::watch, task::JoinHandle};
use tower::layer::layer_fn;

use super::*;
use crate::{
    answer, config,
    listen::{Admission, Incoming, Rules},
    policy::headers::Forwarding,
    router::{Clients, Router},
    stack::{self, Extra},
    telemetry::{LogLoss, metrics::Metrics},
};

const CONFIG: &str = "listeners: [{ address: 127.0.0.1:8080 }]\nservices: { a: { discovery: { static: [127.0.0.1:9001] } } }\nroutes: [{ match: { path: /a }, service: a }]\n";

/// A connection that is served, and its client's end.
async fn served() -> (JoinHandle<()>, Client) {
    served_with(None).await
}

async fn served_with(extra: Option<Extra>) -> (JoinHandle<()>, Client) {
    let config = config::parse(CONFIG, Path::new(".")).unwrap();
    let router = Router::new(&config, &Clients::new(), 1, Metrics::new(LogLoss::default()));
    let connection = Connection {
        address: ([127, 0, 0, 1], 1).into(),
        certificate: None,
        permit: Admission::new(1, 1024, None).enter(0).unwrap(),
        rules: Arc::new(Rules {
            forwarding: Arc::new(Forwarding::new(8080, false, &[])),
            limits: config.limits.clone(),
            http2: true,
            tls: None,
            proxy_protocol: false,
        }),
        at: Instant::now(),
        stack: stack::build(&router, extra.as_ref()),
        router,
    };
    let (near, far) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(serve(far, connection));
    let (send, connection) = client::handshake(near).await.unwrap();
    let (mute, mut muted) = watch::channel(false);
    let connection = tokio::spawn(async move {
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = muted.wait_for(|muted| *muted) => {}
        }
        std::future::pending().await
    });
    let client = Client {
        send,
        connection,
        mute,
    };
    (serving, client)
}

struct Client {
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    /// Has it read nothing any more.
    mute: watch::Sender<bool>,
}

impl Client {
    async fn ask(&mut self) -> http::StatusCode {
        let request = http::Request::get("http://b.example/nowhere").body(()).unwrap();
        let (answer, _) = self.send.send_request(request, true).unwrap();
        answer.await.unwrap().status()
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_is_sent_away_after_a_while() {
    let (serving, mut client) = served().await;
    assert_eq!(client.ask().await, 404);
    tokio::time::sleep(IDLE - PING - PING).await;
    assert_eq!(client.ask().await, 404);
    let started = Instant::now();
    // Whoever was sent away properly sees no error.
    client.connection.await.unwrap().unwrap();
    serving.await.unwrap();
    let stayed = started.elapsed();
    assert!(stayed >= IDLE && stayed <= IDLE + PING + PING, "{stayed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_at_the_deadline() {
    let (serving, _client) = served().await;
    let started = Instant::now();
    serving.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_is_gone() {
    let (serving, mut client) = served().await;
    let started = Instant::now();
    let asked = client.ask();
    assert_eq!(asked.await, 404);
    // From here on it only holds the connection open.
    client.mute.send_replace(true);
    serving.await.unwrap();
    let lived = started.elapsed();
    assert!(lived > PATIENCE && lived < IDLE, "{lived:?}");
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways_as_they_are_taken() {
    let echo = tower::service_fn(async |request: http::Request<Incoming>| {
        Ok(http::Response::new(answer::Body::new(request.into_body())))
    });
    let (_serving, mut client) = served_with(Some(Extra::new(layer_fn(move |_| echo)))).await;
    let request = http::Request::post("http://b.example/a").body(()).unwrap();
    let (answer, mut send) = client.send.send_request(request, false).unwrap();
    let body: Bytes = (0..1_000_000_u32).map(|n| n as u8).collect::<Vec<_>>().into();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", http::HeaderValue::from_static("7"));
    send.send_data(body.clone(), false).unwrap();
    send.send_trailers(trailers.clone()).unwrap();
    let mut recv = answer.await.unwrap().into_body();
    let mut got = Vec::new();
    while let Some(bytes) = recv.data().await {
        let bytes = bytes.unwrap();
        recv.flow_control().release_capacity(bytes.len()).unwrap();
        got.extend(bytes);
    }
    assert!(got == body);
    assert_eq!(recv.trailers().await.unwrap(), Some(trailers));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_and_not_ended() {
    let broken = tower::service_fn(async |_: http::Request<Incoming>| {
        let frames = [
            Ok(hyper::body::Frame::data(Bytes::from_static(b"half"))),
            Err("the backend is gone"),
        ];
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        Ok(http::Response::new(answer::Body::new(body)))
    });
    let (_serving, mut client) = served_with(Some(Extra::new(layer_fn(move |_| broken)))).await;
    let request = http::Request::get("http://b.example/a").body(()).unwrap();
    let (answer, _) = client.send.send_request(request, true).unwrap();
    let mut recv = answer.await.unwrap().into_body();
    let mut got = Vec::new();
    let error = loop {
        match recv.data().await.unwrap() {
            Ok(bytes) => got.extend(bytes),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (got.as_slice(), error.reason()),
        (&b"half"[..], Some(Reason::INTERNAL_ERROR))
    );
}
