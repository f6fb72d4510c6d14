//! Where the endpoints of a service come from.
//!
//! In: a list, or a registry that a [`Provider`] watches. Out: a `watch` channel of complete [`Snapshot`]s.
//!
//! Promises:
//! - A snapshot is complete: what is not in it is gone. A provider never publishes half an answer.
//! - "Not known yet" (`None`) and "known to be empty" (an empty snapshot) are different values, and a provider never
//!   goes back to "not known yet": when its registry cannot be reached, the last snapshot stays.
//! - An endpoint is the same as before if its [`Identity`] is; its address, weight, zone and state may change under it.
//! - Equal snapshots are equal values, and publishing one again wakes nobody.
//! - Readers that fall behind see the latest snapshot, never a queue of old ones.
//!
//! | provider | module |
//! |---|---|
//! | a list that never changes | [`provider::fixed`] |
//!
//! Not here: what a router does with a change. Longhaul turns the difference of two snapshots ([`diff`]) into the
//! changes that feed its balance layer.

pub mod allow;
pub mod backoff;
mod belief;
pub mod cache;
mod endpoint;
#[cfg(feature = "file")]
pub mod files;
mod follow;
pub mod merge;
pub mod provider;
mod publish;
mod snapshot;
mod supervise;

pub use endpoint::{Endpoint, Identity, State};
pub use follow::{Followed, Service, SourceStatus, Supply, follow};
pub use provider::Provider;
pub use publish::{Answer, Condition, Publisher, Reader, Status};
pub use snapshot::{Diff, Snapshot, diff};
pub use supervise::supervise;
