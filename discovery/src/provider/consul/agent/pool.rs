//! The connections to one agent.
//!
//! In: requests. Out: complete answers of bounded size, on as few connections as the agent's protocol allows: with
//! HTTP/2 hundreds on one, with HTTP/1 one each, and no more than are asked for at once. How many that are is for
//! [`slots`](super::slots) to say.
//!
//! - A kept connection that turns out to be closed is no failure: the request is sent again on a new one, once.
//! - One that was opened with certificates that have been replaced takes no more requests.
//! - A request that is dropped while it waits takes its connection with it, or its stream of a shared one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{
    super::{
        answer::{Answer, Failure},
        settings::{Address, Tls},
    },
    connect::{self, Connection, Http1, Http2},
    files::{Certificates, Trust},
};

/// The connections to one agent.
#[derive(Debug)]
pub(super) struct Pool {
    address: Address,
    tls: Tls,
    certificates: Certificates,
    idle: Mutex<Vec<Http1>>,
    shared: Mutex<Vec<Http2>>,
    /// Who finds no shared connection waits for who is opening one.
    opening: tokio::sync::Mutex<()>,
}

impl Pool {
    pub(super) fn new(address: Address, tls: Tls) -> Self {
        Self {
            address,
            tls,
            certificates: Certificates::default(),
            idle: Mutex::default(),
            shared: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether a request needs no connection of its own.
    pub(super) fn shares(&self) -> bool {
        lock(&self.shared).iter().any(|http2| !http2.sender.is_closed())
    }

    /// Sends a request and takes in its answer, whose head must come `within` some time, and whose body soon after.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Answer, Failure> {
        let until = Instant::now() + within;
        let trust = match &self.address {
            Address::Tcp { tls: true, .. } => Some(self.certificates.current(&self.tls)?),
            Address::Tcp { .. } | Address::Unix(_) => None,
        };
        let late = || Failure::Silent {
            agent: self.address.to_string(),
            waited: within,
        };
        let connection = timeout_at(until, self.connection(trust.as_ref()))
            .await
            .map_err(|_| late())??;
        let kept = matches!(&connection, Connection::Http1(http1) if !http1.fresh);
        match self.send_on(connection, request.clone(), until).await {
            Err(Failure::Broken { .. }) if kept => {
                let connection = connect::open(&self.address, &self.tls, trust.as_ref()).await?;
                self.send_on(connection, request, until).await
            }
            result => result,
        }
        .map_err(|failure| match failure {
            // Until is a moment; what a reader wants to know is how long that was.
            Failure::Silent { .. } => late(),
            failure => failure,
        })
    }

    async fn send_on(
        &self,
        connection: Connection,
        mut request: Request<Full<Bytes>>,
        until: Instant,
    ) -> Result<Answer, Failure> {
        match connection {
            Connection::Http2(Http2 { mut sender, load, .. }) => {
                self.absolute(&mut request);
                let result = self.take_in(sender.send_request(request), until, false).await;
                drop(load);
                result
            }
            Connection::Http1(mut http1) => {
                let result = self
                    .take_in(http1.sender.send_request(request), until, http1.fresh)
                    .await;
                // Only a connection whose answer was read to its end can take another request.
                let whole = matches!(&result, Ok(_) | Err(Failure::Status { .. }));
                if whole && http1.sender.ready().await.is_ok() {
                    http1.fresh = false;
                    lock(&self.idle).push(http1);
                }
                result
            }
        }
    }

    async fn take_in(
        &self,
        response: impl Future<Output = hyper::Result<http::Response<Incoming>>>,
        until: Instant,
        fresh: bool,
    ) -> Result<Answer, Failure> {
        let agent = || self.address.to_string();
        let silent = |_| Failure::Silent {
            agent: agent(),
            waited: BODY,
        };
        let broken = |fresh| {
            move |source| Failure::Broken {
                agent: agent(),
                fresh,
                source,
            }
        };
        let response = timeout_at(until, response).await.map_err(silent)?;
        let (head, mut body) = response.map_err(broken(fresh))?.into_parts();
        let until = Instant::now() + BODY;
        // Nothing is reserved by a length from the wire.
        let mut bytes = Vec::new();
        while let Some(frame) = timeout_at(until, body.frame()).await.map_err(silent)? {
            let Ok(part) = frame.map_err(broken(false))?.into_data() else {
                continue;
            };
            if bytes.len() + part.len() > MOST {
                return Err(Failure::Huge {
                    agent: agent(),
                    most: MOST,
                });
            }
            bytes.extend_from_slice(&part);
        }
        Answer::try_new(&agent(), &head, bytes.into())
    }

    /// HTTP/2 has the host in the target, HTTP/1 in a header.
    fn absolute(&self, request: &mut Request<Full<Bytes>>) {
        let host = request.headers_mut().remove(header::HOST);
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTPS);
        parts.authority = host.and_then(|host| host.as_bytes().try_into().ok());
        *request.uri_mut() = http::Uri::from_parts(parts).unwrap_or_default();
    }

    async fn connection(&self, trust: Option<&Trust>) -> Result<Connection, Failure> {
        let generation = trust.map_or(0, |trust| trust.generation);
        if let Some(kept) = self.kept(generation) {
            return Ok(kept);
        }
        if trust.is_none() {
            return connect::open(&self.address, &self.tls, None).await;
        }
        let _alone = self.opening.lock().await;
        if let Some(kept) = self.kept(generation) {
            return Ok(kept);
        }
        let opened = connect::open(&self.address, &self.tls, trust).await?;
        if let Connection::Http2(http2) = &opened {
            lock(&self.shared).push(http2.clone());
        }
        Ok(opened)
    }

    /// An open connection with room for one more request.
    fn kept(&self, generation: u64) -> Option<Connection> {
        let mut shared = lock(&self.shared);
        shared.retain(|http2| !http2.sender.is_closed() && http2.generation == generation);
        if let Some(http2) = shared
            .iter()
            .find(|http2| Arc::strong_count(&http2.load) <= STREAMS)
        {
            return Some(Connection::Http2(http2.clone()));
        }
        let mut idle = lock(&self.idle);
        idle.retain(|http1| !http1.sender.is_closed() && http1.generation == generation);
        idle.pop().map(Connection::Http1)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From the head of an answer to its end.
const BODY: Duration = Duration::from_secs(30);
/// Ten thousand instances, each with some checks and tags, are a third of it.
const MOST: usize = 64 << 20;
/// Fewer than the 250 that a server in Go allows on one connection.
const STREAMS: usize = 200;
