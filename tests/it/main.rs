//! The router under test: the real binary, real sockets, and peers that misbehave on purpose.
//!
//! Every test starts its own router on ports the kernel chose, drives both ends of a session by hand and reads what the
//! router says about it (log lines, metrics, admin answers). Nothing sleeps: a test waits for a state, within a deadline,
//! and the whole test is bounded by [`support::run`].
//!
//! Where to look: `handshake`, `refusals`, `tls`, `tls_backends`, `secured`, `proxy_protocol` (before the 101), `http2` (all of it over HTTP/2), `headers`, `smuggling` (what reaches a backend), `plain`, `plain_real`, `cors` (requests that are no handshakes), `routing`, `balance`, `affinity`,
//! `discovery`, `consul`, `kubernetes` (endpoints from files, name servers and registries), `relay`, `closing`, `pings`, `limits`, `sockets` (one session's life), `drain`, `reload`, `removals` (the process's life), `hostile`, `flood`, `isolation`, `scale` (misuse, defects and numbers),
//! `observe`, `secrets` (what operators see), `conformance`, `real_clients`, `browser`, `alpn`, `signalr`, `socketio`, `protocols` (peers that others wrote), `direct` (that the tools of
//! these tests work, without a router).

#![expect(
    clippy::unwrap_used,
    reason = "a test reports a broken assumption by panicking"
)]

mod support;

mod affinity;
mod alpn;
mod balance;
mod browser;
mod closing;
mod conformance;
mod consul;
mod cors;
mod direct;
mod discovery;
mod drain;
mod figures;
mod flood;
mod handshake;
mod headers;
mod hostile;
mod http2;
mod isolation;
mod kubernetes;
mod limits;
mod observe;
mod pings;
mod plain;
mod plain_real;
mod protocols;
mod proxy_protocol;
mod real_clients;
mod refusals;
mod relay;
mod reload;
mod removals;
mod routing;
mod scale;
mod secrets;
mod secured;
mod signalr;
mod smuggling;
mod socketio;
mod sockets;
mod tls;
mod tls_backends;
