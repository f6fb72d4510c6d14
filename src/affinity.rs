//! Affinity: why a request must go to a given endpoint, and how it says so.
//!
//! In: a request whose route is known. Out: a [`Tie`] that travels with it to the dial, or an answer; and on the way back
//! the answers that give out ids, with a tag on each.
//!
//! - Nothing is kept of clients: what a request needs is in its id, cookie, path, field or address. Any replica with the
//!   same secret and the same endpoints serves any request, in any order.
//! - The methods of a service are tried in order; the first that knows where to go decides. Without any the strategy does.
//! - What is not authentic counts as absent, and passes on as it came.
//! - Nothing that a client was given is ever logged.
//!
//! Not here: which endpoint a hash leads to, and what a bound request may do ([`crate::balance`]).

mod cookie;
mod directory;
mod hash;
mod judge;
mod layer;
mod mint;
mod query;
mod secrets;
mod signalr;
mod socketio;
mod tag;
mod tie;

pub use self::{
    directory::Directory,
    layer::Ties,
    secrets::{Keyring, SecretError},
    tie::{Tie, is_unable},
};
