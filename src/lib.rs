//! Longhaul: a load-balancing router for WebSocket sessions.
//!
//! ```text
//! client -> listen -> route -> policy -> balance -> dial -> relay      discovery: provider -> supervise -> snapshot
//!                                  ^                  |                                            |
//!                                  +------ endpoints (identity-keyed, counts survive) <-- changes -+
//!           drain watches listen, balance and relay;  admin reads all of it
//! ```
//!
//! The first seven modules are the steps, in the order in which a connection meets them; then comes what joins the
//! steps, what surrounds them, and what runs it all.

pub mod listen;
pub mod route;
pub mod policy;
pub mod affinity;
pub mod balance;
pub mod dial;
pub mod relay;
pub mod drain;

pub mod stack;
pub mod router;
pub mod session;
pub mod worker;
mod timers;
mod head;
pub mod answer;
pub mod tls;

pub mod config;
pub mod telemetry;
pub mod admin;

pub mod app;
pub mod process;
pub mod demo;
