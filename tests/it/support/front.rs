//! What stands before several replicas: every request goes to the next of them.
//!
//! In: addresses. Out: one address that speaks HTTP/1.1. Promises: the first request goes to the first address, each one
//! after it to the next in turn, whatever connection it came over, on a connection of its own; bodies are streamed, and
//! an upgraded connection is joined to its replica's.
//! Not here: anything that looks into a request. Over servers that have no router before them, this is plain round-robin.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use http_body_util::{Either, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    upgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

type Answer = Response<Either<Incoming, Empty<Bytes>>>;

/// A listening front; dropping it ends the listening and what has not been answered.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

struct Turn {
    addresses: Vec<SocketAddr>,
    next: AtomicUsize,
}

impl Front {
    pub(crate) async fn over(addresses: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let turn = Arc::new(Turn {
            addresses,
            next: AtomicUsize::new(0),
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&turn)));
            }
        });
        Self { address, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, turn: Arc<Turn>) {
    stream.set_nodelay(true).ok();
    let answer = hyper::service::service_fn(move |request| {
        let turn = Arc::clone(&turn);
        async move { Ok::<_, Infallible>(turn.forward(request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    connection.with_upgrades().await.ok();
}

impl Turn {
    async fn forward(&self, request: Request<Incoming>) -> Answer {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
        match exchange(self.addresses[index], request).await {
            Some(answer) => answer,
            None => {
                let mut answer = Response::new(Either::Right(Empty::new()));
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                answer
            }
        }
    }
}

async fn exchange(address: SocketAddr, mut request: Request<Incoming>) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    tokio::spawn(connection.with_upgrades());
    let client = upgrade::on(&mut request);
    let mut response = sender.send_request(request).await.ok()?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server = upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
                tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server))
                    .await
                    .ok();
            }
        });
    }
    Some(response.map(Either::Left))
}
