//! The live sessions: what admin and metrics read, and how a session is told to end.
//!
//! In: a [`Session`] from the relay of a worker. Out: every live session at any moment, exact totals of what the ended
//! ones carried, and commands ([`Session::close`], [`Session::cut`]) that wake only the session's own task.
//!
//! One shard per worker: a worker only ever takes its own lock, so opening and ending a session waits for nobody but a
//! reader of the whole list. A session's traffic moves from "live" to "ended" under that lock, so that a sum over both
//! never counts a byte twice and never goes down.
//!
//! Not here: the moving of bytes ([`crate::relay`]) and when to end sessions ([`crate::drain`]).

mod carried;

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, SystemTime},
};

use discovery::Endpoint;
use futures_util::task::AtomicWaker;
use slab::Slab;
use tokio::time::Instant;

pub use self::carried::{Carried, Count, Traffic};

/// All live sessions of the process.
#[derive(Debug)]
pub struct Sessions {
    shards: Box<[Mutex<Shard>]>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    live: Slab<Arc<Session>>,
    ended: HashMap<Arc<str>, Traffic>,
}

/// One live session, shared between its task and those who look at it.
#[derive(Debug)]
pub struct Session {
    /// Unique within the process.
    pub id: SessionId,
    /// The route that it came by.
    pub route: Arc<str>,
    /// The service that the route binds to.
    pub service: Arc<str>,
    /// Where it was dialled.
    pub endpoint: Arc<Endpoint>,
    /// The client: the peer, or the address that a trusted proxy names.
    pub client: SocketAddr,
    /// When the 101 was sent, by the wall clock.
    pub opened: SystemTime,
    /// What it has carried so far.
    pub carried: Carried,
    started: Instant,
    order: AtomicU32,
    /// Milliseconds from its start until its end was noticed, at least 1; 0 before.
    lived: AtomicU32,
    task: AtomicWaker,
}

/// What a session is, before it is registered.
#[derive(Debug)]
pub struct NewSession {
    /// The route that it came by.
    pub route: Arc<str>,
    /// The service that the route binds to.
    pub service: Arc<str>,
    /// Where it was dialled.
    pub endpoint: Arc<Endpoint>,
    /// The client: the peer, or the address that a trusted proxy names.
    pub client: SocketAddr,
}

/// A session's number, written as hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// A session's place in the list; dropping it takes the session out.
#[derive(Debug)]
pub struct Registered {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    shard: usize,
    key: usize,
}

/// What a session has been told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send a Close with this code to both peers, between frames, then end.
    Close(u16, Cause),
    /// End at once.
    Cut(Cause),
}

/// Why a session was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its endpoint or route is going away.
    Drain = 1,
    /// The process is ending.
    Shutdown = 2,
    /// An operator closed this session.
    Operator = 3,
}

// === impl Sessions ===

impl Sessions {
    /// An empty list for so many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            shards: (0..workers).map(|_| Mutex::default()).collect(),
            next: AtomicU64::new(1),
        })
    }

    /// Registers a session of a worker from now on.
    pub fn open(self: &Arc<Self>, worker: usize, new: NewSession) -> Registered {
        let session = Arc::new(Session {
            id: SessionId(self.next.fetch_add(1, Ordering::Relaxed)),
            route: new.route,
            service: new.service,
            endpoint: new.endpoint,
            client: new.client,
            opened: SystemTime::now(),
            carried: Carried::default(),
            started: Instant::now(),
            order: AtomicU32::new(0),
            lived: AtomicU32::new(0),
            task: AtomicWaker::new(),
        });
        let key = self.shard(worker).live.insert(Arc::clone(&session));
        Registered {
            sessions: Arc::clone(self),
            session,
            shard: worker,
            key,
        }
    }

    /// How many are live.
    pub fn len(&self) -> usize {
        (0..self.shards.len())
            .map(|shard| self.shard(shard).live.len())
            .sum()
    }

    /// Whether none is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The live sessions, shard after shard: one that opens or ends meanwhile may be in or out.
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all = Vec::new();
        for shard in 0..self.shards.len() {
            all.extend(
                self.shard(shard)
                    .live
                    .iter()
                    .map(|(_, session)| Arc::clone(session)),
            );
        }
        all
    }

    /// Looks at each live session, without keeping any.
    pub fn each(&self, mut look: impl FnMut(&Arc<Session>)) {
        for shard in 0..self.shards.len() {
            self.shard(shard)
                .live
                .iter()
                .for_each(|(_, session)| look(session));
        }
    }

    /// The live session of this number.
    pub fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        (0..self.shards.len()).find_map(|shard| {
            self.shard(shard)
                .live
                .iter()
                .find(|(_, s)| s.id == id)
                .map(|(_, s)| Arc::clone(s))
        })
    }

    /// What all sessions so far have carried, by service; never goes down.
    pub fn traffic(&self) -> HashMap<Arc<str>, Traffic> {
        let mut sum: HashMap<Arc<str>, Traffic> = HashMap::new();
        for shard in 0..self.shards.len() {
            let shard = self.shard(shard);
            for (service, traffic) in &shard.ended {
                sum.entry(Arc::clone(service)).or_default().add(*traffic);
            }
            for (_, session) in &shard.live {
                sum.entry(Arc::clone(&session.service))
                    .or_default()
                    .add(session.carried.read());
            }
        }
        sum
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        // Nothing that panics runs under this lock; if it ever did, the list would still be whole.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Registered ===

impl Registered {
    /// The session itself.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut shard = self.sessions.shard(self.shard);
        shard.live.remove(self.key);
        let service = Arc::clone(&self.session.service);
        shard
            .ended
            .entry(service)
            .or_default()
            .add(self.session.carried.read());
    }
}

// === impl Session ===

impl Session {
    /// Tells it to close with this code, as soon as both peers are between frames.
    pub fn close(&self, code: u16, cause: Cause) {
        let order = u32::from(code) << 8 | cause as u32;
        // The first order stays, and only it wakes: waking takes the waker, which a later cut will need.
        if self
            .order
            .compare_exchange(0, order, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            self.task.wake();
        }
    }

    /// Ends it at once.
    pub fn cut(&self, cause: Cause) {
        self.order.store(CUT | cause as u32, Ordering::Release);
        self.task.wake();
    }

    /// What it has been told, if anything.
    pub fn order(&self) -> Option<Order> {
        let order = self.order.load(Ordering::Acquire);
        if order == 0 {
            return None;
        }
        let cause = Cause::from_bits(order);
        if order & CUT != 0 {
            Some(Order::Cut(cause))
        } else {
            Some(Order::Close((order >> 8) as u16, cause))
        }
    }

    /// Has orders wake this task; to be called before [`Session::order`] is read.
    pub fn listen(&self, task: &Waker) {
        self.task.register(task);
    }

    /// The client as people read it: without a port where a trusted proxy has named it and said none.
    pub fn client(&self) -> impl fmt::Display {
        let client = self.client;
        fmt::from_fn(move |f| match client.port() {
            0 => fmt::Display::fmt(&client.ip(), f),
            _ => fmt::Display::fmt(&client, f),
        })
    }

    /// How long it has lived.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes note that it is ending: the first note stays.
    pub fn end_noticed(&self, now: Instant) {
        let age = now.saturating_duration_since(self.started);
        let age = u32::try_from(age.as_millis()).unwrap_or(u32::MAX).max(1);
        // One writer, its task.
        if self.lived.load(Ordering::Relaxed) == 0 {
            self.lived.store(age, Ordering::Relaxed);
        }
    }

    /// How long it had lived when its end was noticed: what follows may take as long as its peers like.
    pub fn lived(&self) -> Duration {
        match self.lived.load(Ordering::Relaxed) {
            0 => self.age(),
            noticed => Duration::from_millis(noticed.into()),
        }
    }

    /// When it opened, by the monotonic clock.
    pub fn started(&self) -> Instant {
        self.started
    }
}

/// Above the 16 bits of a close code and the 8 of a cause.
const CUT: u32 = 1 << 31;

impl Cause {
    fn from_bits(bits: u32) -> Self {
        match bits & 0xff {
            1 => Self::Drain,
            2 => Self::Shutdown,
            _ => Self::Operator,
        }
    }
}

impl SessionId {
    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
