//! A source of endpoints: what it is given, what it publishes and when it may stop.
//!
//! In: the settings of one source. Out: its answers, through a [`Publisher`], to any number of readers.
//!
//! Promises of every provider:
//! - It runs until its future is dropped, or until it fails; it publishes nothing after that.
//! - It publishes only what its source has answered in full, as a complete set. A failure publishes nothing: the last
//!   answer stays.
//! - It says which empty answers are explained ([`Publisher::publish`]) and which are not
//!   ([`Publisher::publish_nothing`]).
//! - It calls [`Publisher::confirm`] whenever its source has answered that nothing is new, so that a source that is
//!   there and a source that is gone can be told apart.
//! - What it has learned (an index, a version) it keeps in itself, for it may be run again after an error.
//!
//! Not here: what follows a failure. [`supervise`](crate::supervise) runs a provider again as [`Error`] allows.

#[cfg(feature = "consul")]
pub mod consul;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(feature = "file")]
pub mod file;
pub mod fixed;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;

use std::{convert::Infallible, fmt, pin::Pin};

pub use crate::publish::Publisher;

/// A source of endpoints.
pub trait Provider: fmt::Debug + Send {
    /// Publishes each answer until the future is dropped; ends only with the error that it cannot go on after.
    /// May be run again after an error.
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a>;
}

/// A provider at work. To stop it, drop it.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Infallible, Error>> + Send + 'a>>;

/// Why a provider stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its source could not be reached or gave a broken answer: it may work the next time.
    #[error("the source of endpoints did not answer")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its source refused the request: without another configuration or permission it will refuse the next one too.
    #[error("the source of endpoints refused the request")]
    Rejected(#[source] Box<dyn std::error::Error + Send + Sync>),
}
