//! Where the endpoints of a service come from.
//!
//! In: lists, files, and registries that [`Provider`]s watch. Out: for each service a `watch` channel of complete
//! [`Snapshot`]s, and the [`Status`] of its sources.
//!
//! Promises:
//! - A snapshot is complete: what is not in it is gone. A provider never publishes half an answer.
//! - "Not known yet" (`None`) and "known to be empty" (an empty snapshot) are different values, and nothing goes back to
//!   "not known yet": when a registry cannot be reached, the last snapshot stays.
//! - What a registry says without saying why ("nothing") is not believed at once.
//! - An endpoint is the same as before if its [`Identity`] is; its address, weight, zone and state may change under it.
//! - Equal snapshots are equal values, and publishing one again wakes nobody.
//! - Readers that fall behind see the latest snapshot, never a queue of old ones.
//!
//! ```text
//! provider -> Publisher -> Reader --+
//!    ^           (allow)            +--> merge (belief) --> Snapshots to use
//!    +-- supervise    cache --------+                       Status of each source
//! ```
//!
//! [`follow`] does all of that for a service; each part can be used alone.
//!
//! | provider | module | an empty answer |
//! |---|---|---|
//! | a list that never changes | [`provider::fixed`] | is what was written |
//! | a file (feature `file`, a default) | `provider::file` | is what was written |
//! | DNS (feature `dns`) | `provider::dns` | is doubted |
//! | Consul (feature `consul`) | `provider::consul` | is doubted |
//! | Kubernetes (feature `kubernetes`) | `provider::kubernetes` | is believed if there is an EndpointSlice |
//!
//! ```
//! use discovery::{Endpoint, Service, Supply, follow, provider::fixed::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let list = Fixed::new([Endpoint::at(([10, 0, 0, 1], 9001).into())]);
//! let (chat, work) = follow(Service::new("chat", vec![Supply::new("a list", list)]));
//! let mut snapshots = chat.snapshots();
//! tokio::select! {
//!     () = work => unreachable!("it works for as long as somebody reads"),
//!     known = snapshots.wait_for(Option::is_some) => {
//!         assert_eq!(known.unwrap().as_ref().unwrap().len(), 1);
//!     }
//! }
//! # }
//! ```
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
