//! What every provider promises, tried on each of them with its own source.
//!
//! In: a [`suite::Rig`] per provider, which can make the source say something, say that there is nothing, and be away. Out:
//! the same tests for all of them.
//!
//! A new provider is one more module with a rig and one line in it: `contract!(MyRig);`.

#![allow(clippy::unwrap_used, reason = "a rig that cannot do its part fails the test")]

mod suite;

#[cfg(feature = "consul")]
mod consul;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "file")]
mod file;
mod fixed;
#[cfg(feature = "kubernetes")]
mod kubernetes;
