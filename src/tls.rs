//! TLS on either side: with clients ([`Server`]) and with endpoints ([`Client`]).
//!
//! In: the files that a configuration names. Out: what a worker needs to speak TLS on a socket, immutable, so that it can
//! be swapped as a whole while connections of before go on with what they have.
//!
//! - TLS 1.2 and 1.3, never 0-RTT: what a replayed first flight asks for would be done twice.
//! - What is loaded fits: a certificate and the key of another, half a file, or a CA file without a certificate is a
//!   [`BadFile`] and never in use.
//! - Nothing here waits for a file while a connection waits for it.
//!
//! Not here: when files are read again ([`crate::app`]), the moment in a connection's life ([`crate::listen`],
//! [`crate::dial`]).

mod client;
mod files;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) use self::{client::refuses_our_certificate, server::ServerStream};
pub use self::{
    client::{Client, Target},
    files::BadFile,
    server::{Certificate, Server},
};

/// The one implementation of the algorithms, also where another crate of the process has brought a second one.
fn provider() -> Arc<CryptoProvider> {
    let chosen = CryptoProvider::get_default().cloned();
    chosen.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}
