//! The idle links of a worker.
//!
//! In: links that have carried a request to its end. Out: a link to the same endpoint, the one that was used last.
//!
//! - A connection belongs to the runtime that it was made on, so each worker has a pool of its own and shares it with nobody.
//! - At most [`PER_ENDPOINT`] links to an endpoint and [`IN_ALL`] are kept. What is above that is kept for [`BRIEFLY`] only: the
//!   polls that one message ends are there again a moment later, and with a new connection for each of them the ports to
//!   an endpoint would be used up.
//! - A link that was idle for too long, or that its endpoint has closed, is closed within [`ROUND`]. Those of endpoints that
//!   have left are idle from then on. One that was made under settings that a reload has replaced, or with TLS to another name, is not used again.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use discovery::Identity;
use tokio::time::Instant;

use super::link::{Link, Place};
use crate::timers::sleep;

/// The idle links of one worker.
#[derive(Default)]
struct Pool {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
    swept: bool,
}

/// The service, because what it says of TLS and timeouts is its own.
type Key = (Arc<str>, Identity, SocketAddr);

struct Idle {
    link: Link,
    since: Instant,
}

/// Enough for a burst; what an endpoint has to hold open for nothing is this for each worker.
const PER_ENDPOINT: usize = 32;

/// Descriptors that idle links of a worker may take from sessions.
const IN_ALL: usize = 256;

/// How long any other link is kept; clients that poll are back sooner.
const BRIEFLY: Duration = Duration::from_secs(2);

/// Links that are kept at all. Those above [`IN_ALL`] have the descriptors that their requests had just now.
const AT_ONCE: usize = 2048;

/// How often idle links are looked at, while there are any.
const ROUND: Duration = Duration::from_secs(1);

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// A link to this place that can carry a request, idle for no longer than `age`.
pub(super) fn take(place: &Place, age: Duration) -> Option<Link> {
    with(|pool, dropped| pool.take(place, age, dropped))
}

/// Keeps a link for the next request.
pub(super) fn put(mut link: Link) {
    link.used = true;
    let start = with(|pool, dropped| {
        pool.put(link, dropped);
        !pool.idle.is_empty() && !std::mem::replace(&mut pool.swept, true)
    });
    if start {
        tokio::spawn(sweep());
    }
}

async fn sweep() {
    loop {
        sleep(ROUND).await;
        let done = with(|pool, dropped| {
            pool.sweep(dropped);
            pool.swept = !pool.idle.is_empty();
            !pool.swept
        });
        if done {
            return;
        }
    }
}

/// What is dropped is dropped after the pool was let go of: the end of a connection may wake anything.
fn with<T>(work: impl FnOnce(&mut Pool, &mut Vec<Link>) -> T) -> T {
    let mut dropped = Vec::new();
    POOL.with_borrow_mut(|pool| work(pool, &mut dropped))
}

// === impl Pool ===

impl Pool {
    fn take(&mut self, place: &Place, age: Duration, dropped: &mut Vec<Link>) -> Option<Link> {
        let key = key(place);
        let idle = self.idle.get_mut(&key)?;
        let mut found = None;
        while let Some(last) = idle.pop() {
            if !last.is_good(Some(place)) {
                self.count -= 1;
                dropped.push(last.link);
            } else if last.since.elapsed() > age {
                // The others are older.
                idle.push(last);
                break;
            } else {
                self.count -= 1;
                found = Some(last.link);
                break;
            }
        }
        if idle.is_empty() {
            self.idle.remove(&key);
        }
        found
    }

    fn put(&mut self, link: Link, dropped: &mut Vec<Link>) {
        if self.count >= AT_ONCE || link.is_closed() || link.patience.is_zero() {
            return dropped.push(link);
        }
        self.count += 1;
        let idle = self.idle.entry(key(&link.place)).or_default();
        idle.push(Idle {
            link,
            since: Instant::now(),
        });
    }

    fn sweep(&mut self, dropped: &mut Vec<Link>) {
        let mut in_all = self.count.saturating_sub(IN_ALL);
        self.idle.retain(|_, idle| {
            // The first are those that nobody has needed for the longest time.
            let mut surplus = idle.len().saturating_sub(PER_ENDPOINT).max(in_all);
            let (good, bad): (Vec<_>, Vec<_>) = std::mem::take(idle).into_iter().partition(|it| {
                let goes = surplus > 0 && it.since.elapsed() > BRIEFLY;
                surplus -= usize::from(goes);
                !goes && it.is_good(None)
            });
            in_all = in_all.saturating_sub(bad.len());
            self.count -= bad.len();
            dropped.extend(bad.into_iter().map(|idle| idle.link));
            *idle = good;
            !idle.is_empty()
        });
    }
}

fn key(place: &Place) -> Key {
    (
        Arc::clone(&place.settings.name),
        place.identity.clone(),
        place.address,
    )
}

// === impl Idle ===

impl Idle {
    fn is_good(&self, place: Option<&Place>) -> bool {
        let own = &self.link.place;
        let current = |place: &Place| Arc::ptr_eq(&place.settings, &own.settings) && place.tls == own.tls;
        place.is_none_or(current) && self.link.is_free() && self.since.elapsed() < self.link.patience
    }
}
