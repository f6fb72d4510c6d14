use std::future::poll_fn;

use h2::{SendStream, client, server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::Instant,
};

use super::*;

type Sending = client::SendRequest<Bytes>;

/// A client, and the tunnels that its requests become.
async fn connected(requests: usize) -> (Vec<SendStream<Bytes>>, Vec<RecvStream>, Vec<Tunnel>, Sending) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let serving: JoinHandle<Vec<Tunnel>> = tokio::spawn(serve(far, requests));
    let (mut sending, connection) = client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    let (mut sends, mut recvs) = (Vec::new(), Vec::new());
    for _ in 0..requests {
        poll_fn(|cx| sending.poll_ready(cx)).await.unwrap();
        let request = http::Request::post("http://a/").body(()).unwrap();
        let (answer, send) = sending.send_request(request, false).unwrap();
        recvs.push(answer.await.unwrap().into_body());
        sends.push(send);
    }
    (sends, recvs, serving.await.unwrap(), sending)
}

async fn serve(stream: DuplexStream, requests: usize) -> Vec<Tunnel> {
    let limits = crate::config::parse(CONFIG, std::path::Path::new("."))
        .unwrap()
        .limits;
    let mut http: server::Connection<_, Bytes> = crate::listen::http2::settings(&limits)
        .handshake(stream)
        .await
        .unwrap();
    let mut tunnels = Vec::new();
    for _ in 0..requests {
        let (request, mut respond) = http.accept().await.unwrap().unwrap();
        let send = respond.send_response(http::Response::new(()), false).unwrap();
        tunnels.push(Tunnel::new(Outlet::new(send), request.into_body()));
    }
    tokio::spawn(async move { while http.accept().await.is_some() {} });
    tunnels
}

const CONFIG: &str = "listeners: [{ address: 127.0.0.1:8080 }]\nservices: { a: { discovery: { static: [127.0.0.1:9001] } } }\nroutes: [{ match: { path: / }, service: a }]\n";

/// Sends so many frames of one byte.
async fn drip(send: &mut SendStream<Bytes>, frames: usize) {
    for _ in 0..frames {
        send.reserve_capacity(1);
        while send.capacity() == 0 {
            poll_fn(|cx| send.poll_capacity(cx)).await.unwrap().unwrap();
        }
        send.send_data(Bytes::from_static(b"x"), false).unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_small_frames_that_nobody_reads_do_not_cost_the_connection() {
    const STREAMS: usize = 8;
    const FRAMES: usize = 20_000;
    let (sends, _recvs, tunnels, _sending) = connected(STREAMS).await;
    let reading = tunnels.into_iter().map(|mut tunnel| {
        tokio::spawn(async move {
            let all = poll_fn(|cx| {
                tunnel.read_ahead(cx);
                if tunnel.ahead.len() < FRAMES {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            });
            all.await;
            tunnel
        })
    });
    let reading: Vec<_> = reading.collect();
    let dripping = sends.into_iter().map(|mut send| {
        tokio::spawn(async move {
            drip(&mut send, FRAMES).await;
            send
        })
    });
    let sends: Vec<_> = futures_util::future::join_all(dripping).await;
    for tunnel in reading {
        let mut tunnel = tunnel.await.unwrap();
        let mut read = vec![0; FRAMES];
        tunnel.read_exact(&mut read).await.unwrap();
        assert!(tunnel.ahead.is_empty() && tunnel.ahead.capacity() == 0);
    }
    drop(sends);
}

#[tokio::test]
async fn ends_and_resets_are_told_apart_behind_what_came_before() {
    let (mut sends, mut recvs, mut tunnels, _sending) = connected(2).await;
    let (mut ended, mut reset) = (tunnels.remove(0), tunnels.remove(0));
    sends[0].send_data(Bytes::from_static(b"last"), true).unwrap();
    let mut all = Vec::new();
    ended.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"last");
    sends[1].send_reset(Reason::CANCEL);
    let failed = reset.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);

    ended.write_all(b"bye").await.unwrap();
    ended.shutdown().await.unwrap();
    ended.shutdown().await.unwrap();
    assert_eq!(recvs[0].data().await.unwrap().unwrap(), "bye");
    assert_eq!(recvs[0].data().await.unwrap().unwrap(), "");
    assert!(recvs[0].is_end_stream());
}

#[tokio::test]
async fn a_tunnel_that_is_dropped_is_cancelled() {
    let (_sends, mut recvs, tunnels, _sending) = connected(1).await;
    drop(tunnels);
    let error = recvs[0].data().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (_sends, _recvs, mut tunnels, _sending) = connected(1).await;
    let started = Instant::now();
    let failed = tunnels[0].write_all(&[0; 1 << 20]).await.unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    assert!((29..32).contains(&started.elapsed().as_secs()));
}
