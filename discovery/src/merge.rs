//! One set from the several sources of a service.
//!
//! In: a [`Source`] per source, each either an ordinary one or a fallback, with what was last known of it. Out: the set
//! to use, decided anew whenever a source says something.
//!
//! - The ordinary sources are a union. Where two name one endpoint, the first source's word holds; an address that one
//!   source knows by a better name than its address is not listed twice.
//! - The fallbacks, a union too, are used while the ordinary sources have no active endpoint: because they say so and
//!   that is believed, or because none of them has answered and nothing is remembered of them. A source that fails later
//!   keeps its last set, which is no reason to fall back.
//! - Beside fallbacks the ordinary sources' other endpoints stay listed, so that draining ones still drain.
//! - The set is known only when it is decided: each ordinary source has answered, has failed, or has said nothing for
//!   a second; and what it was last known to be stands in for one that did not answer.
//!
//! Not here: running the sources ([`supervise`](crate::supervise)), remembering sets ([`cache`](crate::cache)).

use std::{collections::HashSet, time::Duration};

use futures_util::future::select_all;
use tokio::time::{Instant, sleep_until};

use crate::{
    Condition, Endpoint, Reader, Snapshot,
    belief::{Belief, Settle, is_usable},
};

/// A source of a service.
#[derive(Debug)]
pub struct Source {
    /// What it says.
    pub reader: Reader,
    /// Used only while the other sources have no active endpoint.
    pub fallback: bool,
    /// Its set from an earlier time, for as long as it does not answer.
    pub remembered: Option<Snapshot>,
}

/// The sources of a service as one.
#[derive(Debug)]
pub struct Merge {
    sources: Vec<Tracked>,
    ordinary: Settle,
    fallback: Settle,
    patience: Instant,
    merged: Option<Snapshot>,
}

#[derive(Debug)]
struct Tracked {
    reader: Reader,
    fallback: bool,
    remembered: Option<Snapshot>,
    belief: Belief,
    /// Its publisher is there.
    alive: bool,
}

// === impl Merge ===

impl Merge {
    /// The merge of `sources`, none of which is believed yet; `hold` is how long an unexplained "nothing" is not believed.
    pub fn new(sources: impl IntoIterator<Item = Source>, hold: Duration) -> Self {
        let track = |source: Source| Tracked {
            reader: source.reader,
            fallback: source.fallback,
            remembered: source.remembered,
            belief: Belief::new(hold),
            alive: true,
        };
        Self {
            sources: sources.into_iter().map(track).collect(),
            ordinary: Settle::default(),
            fallback: Settle::default(),
            patience: Instant::now() + PATIENCE,
            merged: None,
        }
    }

    /// The set to use; `None` while it is not known.
    pub fn merged(&self) -> Option<&Snapshot> {
        self.merged.as_ref()
    }

    /// What is believed of each source, in the order in which they were given; `None` while it is not known.
    pub fn believed(&self) -> impl Iterator<Item = Option<&Snapshot>> {
        self.sources.iter().map(|source| source.belief.believed())
    }

    /// Waits for the next sign of any source and takes it in; false when there will be none. May be dropped at any await
    /// without losing anything.
    pub async fn next(&mut self) -> bool {
        let deadline = self.deadline();
        let wait = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let alive = tokio::select! {
            alive = any_sign(&mut self.sources) => alive,
            () = wait => true,
        };
        self.take_in(Instant::now());
        alive
    }

    fn take_in(&mut self, now: Instant) {
        let late = now >= self.patience;
        for source in &mut self.sources {
            source.take_in(late, now);
        }
        if let Some(set) = self.decided(false, late).and_then(|()| self.union(false)) {
            self.ordinary.offer(&set, now);
        }
        if let Some(set) = self.decided(true, late).and_then(|()| self.union(true)) {
            self.fallback.offer(&set, now);
        }
        if let Some(merged) = self.choose(late) {
            self.merged = Some(merged);
        }
    }

    /// Whether the sources of one kind need not be waited for any longer.
    fn decided(&self, fallback: bool, late: bool) -> Option<()> {
        let mut sources = self.sources.iter().filter(|source| source.fallback == fallback);
        sources.all(|source| source.is_decided(late)).then_some(())
    }

    /// The union of the sources of one kind that are known, if any is.
    fn union(&self, fallback: bool) -> Option<Snapshot> {
        let sources = self.sources.iter().filter(|source| source.fallback == fallback);
        union(sources.filter_map(|source| source.belief.believed()))
    }

    fn choose(&self, late: bool) -> Option<Snapshot> {
        self.decided(false, late)?;
        let ordinary = self.ordinary.used();
        if ordinary.is_some_and(is_usable) {
            return ordinary.cloned();
        }
        self.decided(true, late)?;
        union([ordinary, self.fallback.used()].into_iter().flatten())
    }

    fn deadline(&self) -> Option<Instant> {
        let undecided = self.sources.iter().any(|source| !source.is_decided(false));
        let patience = (undecided && Instant::now() < self.patience).then_some(self.patience);
        let settling = [self.ordinary.deadline(), self.fallback.deadline(), patience];
        let doubted = self.sources.iter().map(|source| source.belief.deadline());
        doubted.chain(settling).flatten().min()
    }
}

// === impl Tracked ===

impl Tracked {
    fn take_in(&mut self, late: bool, now: Instant) {
        let condition = self.reader.status().condition;
        let answer = self.reader.answer();
        self.belief.hear(answer, condition, now);
        // An answer that is doubted is none yet.
        if self.is_decided(late)
            && let Some(remembered) = self.remembered.take()
        {
            self.belief.remember(remembered);
        }
    }

    fn is_decided(&self, late: bool) -> bool {
        late || self.belief.believed().is_some() || self.belief.doubts() || self.has_failed()
    }

    fn has_failed(&self) -> bool {
        matches!(
            self.reader.status().condition,
            Condition::Failing | Condition::Refused
        )
    }
}

/// Waits until any source that is alive says something; false if none is alive.
async fn any_sign(sources: &mut [Tracked]) -> bool {
    loop {
        let waits = sources.iter_mut().filter(|source| source.alive).map(|source| {
            Box::pin(async {
                source.alive = source.reader.changed().await;
                source.alive
            })
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return false;
        }
        if select_all(waits).await.0 {
            return true;
        }
    }
}

/// All endpoints of the sets, the first set's word on each.
fn union<'a>(sets: impl Iterator<Item = &'a Snapshot>) -> Option<Snapshot> {
    let sets: Vec<_> = sets.collect();
    match *sets.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => {
            let all = || sets.iter().rev().flat_map(|set| set.iter());
            let named: HashSet<_> = all()
                .filter(|endpoint| !is_unnamed(endpoint))
                .map(|endpoint| endpoint.address)
                .collect();
            let twice = |endpoint: &Endpoint| is_unnamed(endpoint) && named.contains(&endpoint.address);
            Some(all().filter(|endpoint| !twice(endpoint)).cloned().collect())
        }
    }
}

/// Whether an endpoint is known only by its address.
fn is_unnamed(endpoint: &Endpoint) -> bool {
    endpoint.identity.as_str().starts_with("addr:")
}

/// How long a source that says nothing is waited for: a registry that is there answers within this.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
