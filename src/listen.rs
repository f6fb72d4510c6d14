//! (to come)

pub mod handshake;
