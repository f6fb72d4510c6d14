//! Longhaul: a load-balancing router for WebSocket sessions.
//!
//! ```text
//! client -> listen -> route -> policy -> balance -> dial -> relay      discovery: provider -> supervise -> snapshot
//!                                  ^                  |                                            |
//!                                  +------ endpoints (identity-keyed, counts survive) <-- changes -+
//!           drain watches listen, balance and relay;  admin reads all of it
//! ```
//!
//! The modules below are declared in the order in which a connection meets them.

pub mod balance;
pub mod dial;
pub mod drain;
pub mod listen;
pub mod policy;
pub mod relay;
pub mod route;

pub mod admin;
pub mod app;
pub mod config;
pub mod demo;
pub mod session;
pub mod stack;
pub mod telemetry;
