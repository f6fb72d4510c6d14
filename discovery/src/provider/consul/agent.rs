//! A cluster's agents: who is asked, with which token, over how many connections.
//!
//! In: [`Settings`]. Out: answers to requests, from one agent until it fails, then from the next. All watches of one
//! [`Agent`] share its connections, and fail over together.
//!
//! - The token and the files of TLS are read again for each request; a rotated one is used by the next.
//! - A request is silent for no longer than its own wait, what a server adds to that, and [`SLACK`].
//! - The connections to an agent that carries one request on each are never more than [`Settings::connections`].
//!
//! Not here: what is asked and what an answer means ([`Consul`](super::Consul), [`Registration`](super::Registration)).

mod connect;
mod files;
mod pool;
pub(super) mod slots;
mod wake;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use tokio::{sync::watch, time::Duration};

use self::{files::Token, pool::Pool, slots::Slots, wake::Wake};
use super::{
    answer::{Answer, Failure},
    request::Target,
    settings::{Address, Settings},
};

/// The agents of one cluster, shared by all that ask them something.
#[derive(Debug)]
pub struct Agent {
    calls: Arc<Calls>,
    slots: Slots,
    wake: Wake,
}

/// Requests and their answers.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) settings: Settings,
    pools: Vec<Pool>,
    /// Which of the agents is asked.
    current: AtomicUsize,
    token: Token,
}

// === impl Agent ===

impl Agent {
    /// Knows its agents; connects to none of them yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        let slots = Slots::new(settings.connections);
        let pool = |address: &Address| Pool::new(address.clone(), settings.tls.clone());
        let calls = Arc::new(Calls {
            pools: settings.addresses.iter().map(pool).collect(),
            current: AtomicUsize::new(0),
            token: Token::default(),
            settings,
        });
        let wake = Wake::new();
        Arc::new(Self { calls, slots, wake })
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.calls.settings
    }

    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Every change of the registry from now on, whatever it is.
    pub(super) fn beats(&self) -> watch::Receiver<()> {
        self.wake.beats(&self.calls)
    }
}

// === impl Calls ===

impl Calls {
    /// The agent to ask now.
    pub(super) fn host(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// How many agents there are.
    pub(super) fn hosts(&self) -> usize {
        self.pools.len()
    }

    /// Leaves an agent that failed, unless another watch has left it already.
    pub(super) fn fail_over(&self, host: usize) {
        let next = (host + 1) % self.hosts().max(1);
        let moved = self
            .current
            .compare_exchange(host, next, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() && next != host {
            let [from, to] = [host, next].map(|host| self.pools[host].address().to_string());
            tracing::info!(from, to, "asking another Consul agent");
        }
    }

    /// Whether a request to this agent needs no connection of its own.
    pub(super) fn shares(&self, host: usize) -> bool {
        self.pools.get(host).is_some_and(Pool::shares)
    }

    /// The name of an agent, in words for an operator.
    pub(super) fn name(&self, host: usize) -> String {
        self.pools
            .get(host)
            .map_or_else(String::new, |pool| pool.address().to_string())
    }

    pub(super) async fn get(&self, host: usize, target: &Target) -> Result<Answer, Failure> {
        self.send(host, Method::GET, target, Bytes::new()).await
    }

    pub(super) async fn put(&self, host: usize, target: &Target, body: Bytes) -> Result<Answer, Failure> {
        self.send(host, Method::PUT, target, body).await
    }

    async fn send(
        &self,
        host: usize,
        method: Method,
        target: &Target,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let Some(pool) = self.pools.get(host) else {
            let (agent, source) = ("Consul".to_owned(), "no agent has been named".into());
            return Err(Failure::Connect { agent, source });
        };
        let (authority, prefix) = match pool.address() {
            Address::Unix(_) => ("localhost".to_owned(), ""),
            Address::Tcp {
                host, port, prefix, ..
            } if host.contains(':') => (format!("[{host}]:{port}"), &**prefix),
            Address::Tcp {
                host, port, prefix, ..
            } => (format!("{host}:{port}"), &**prefix),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{prefix}{}", target.as_str()))
            .header(header::HOST, authority)
            .header(header::USER_AGENT, HeaderValue::from_static("longhaul"))
            .body(Full::new(body))
            .expect("addresses are checked and targets escaped");
        if let Some(file) = &self.settings.token_file {
            request.headers_mut().insert(TOKEN, self.token.current(file)?);
        }
        // A server adds up to a sixteenth, so that a thousand watches do not return at once.
        let within = target.waits() * 17 / 16 + SLACK;
        pool.send(request, within).await
    }
}

const TOKEN: &str = "x-consul-token";
/// An election takes some seconds, in which a server holds a request. One that holds it for longer, and some do for 14 s
/// before they say that there is no leader, is as good as silent.
pub const SLACK: Duration = Duration::from_secs(8);
