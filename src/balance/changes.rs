//! Snapshots in, changes out: what keeps the balance layer's endpoint set equal to discovery's.
//!
//! In: a `watch` channel of snapshots, `None` while they are not known yet. Out: [`Change`]s.
//!
//! Promises:
//! - Inserts come before removes, so that the set is never empty in the middle of a full replacement.
//! - An equal snapshot changes nothing; an unchanged endpoint is not mentioned.
//! - "Not known" after a snapshot keeps the snapshot.
//! - A reader that falls behind goes straight to the latest snapshot.

use std::convert::Infallible;

use discovery::{Diff, Endpoint, Identity, Snapshot, diff};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tower::discover::Change;

use super::Balance;

/// The changes that lead from one snapshot to the next.
#[derive(Debug)]
pub struct Changes {
    snapshots: watch::Receiver<Option<Snapshot>>,
    current: Snapshot,
}

impl Changes {
    /// The changes from `current` on. The first batch leads to what the channel holds, if it holds a snapshot.
    pub fn new(mut snapshots: watch::Receiver<Option<Snapshot>>, current: Snapshot) -> Self {
        snapshots.mark_changed();
        Self { snapshots, current }
    }

    /// Waits for the next snapshot: the changes that lead to it (none if it is equal), or `None` when there will be no
    /// more. May be dropped at any await without losing a change.
    pub async fn next(&mut self) -> Option<Vec<Change<Identity, Endpoint>>> {
        loop {
            self.snapshots.changed().await.ok()?;
            let Some(next) = self.snapshots.borrow_and_update().clone() else {
                continue;
            };
            let changes = between(&self.current, &next);
            self.current = next;
            return Some(changes);
        }
    }

    /// The changes one by one, as [`tower::discover::Discover`] wants them.
    pub fn into_stream(self) -> impl Stream<Item = Result<Change<Identity, Endpoint>, Infallible>> {
        stream::unfold(self, |mut changes| async {
            let batch = changes.next().await?;
            Some((stream::iter(batch.into_iter().map(Ok)), changes))
        })
        .flatten()
    }
}

/// Keeps `balance` equal to the snapshots until no more can come; marks it known after the first one.
///
/// Starts from what `balance` holds: endpoints of an earlier source stay until this one has answered.
pub async fn feed(balance: Balance, snapshots: watch::Receiver<Option<Snapshot>>) {
    let mut changes = Changes::new(snapshots, balance.snapshot());
    while let Some(batch) = changes.next().await {
        batch.into_iter().for_each(|change| balance.apply(change));
        balance.mark_known();
    }
}

fn between(old: &Snapshot, new: &Snapshot) -> Vec<Change<Identity, Endpoint>> {
    let mut changes = Vec::new();
    let mut removes = Vec::new();
    for difference in diff(old, new) {
        match difference {
            Diff::Added(e) | Diff::Changed(e) => changes.push(Change::Insert(e.identity.clone(), e.clone())),
            Diff::Removed(identity) => removes.push(Change::Remove(identity.clone())),
        }
    }
    changes.append(&mut removes);
    changes
}

#[cfg(test)]
mod tests;
