use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use discovery::Endpoint;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    config::SessionLimits,
    relay::{Ends, Initiator, Outcome, Reason, outbox::on_worker, run},
    session::{Cause, NewSession, Registered, Sessions},
};

/// A session between two sockets, and the other ends of both.
struct Joined {
    client: TcpStream,
    backend: TcpStream,
    registered: Registered,
    task: JoinHandle<Outcome>,
}

const SOON: Duration = Duration::from_secs(20);

impl Joined {
    async fn start() -> Self {
        let (client, client_end) = sockets().await;
        let (backend, backend_end) = sockets().await;
        let registered = Sessions::new(1).open(
            0,
            NewSession {
                route: "r".into(),
                service: "s".into(),
                endpoint: Arc::new(Endpoint::at(([127, 0, 0, 1], 9001).into())),
                client: ([127, 0, 0, 1], 40_000).into(),
            },
        );
        let ends = Ends {
            client: client_end,
            early_client: Vec::new(),
            backend: backend_end,
            early_backend: Vec::new(),
        };
        let limits = SessionLimits {
            idle_timeout: SOON,
            max_lifetime: None,
            ping_interval: None,
            ping_timeout: SOON,
        };
        let task = tokio::spawn(run(ends, Arc::clone(registered.session()), &limits));
        Self {
            client,
            backend,
            registered,
            task,
        }
    }

    /// Sends both ways at once and reads both whole.
    async fn carries(&mut self, up: &[u8], down: &[u8]) {
        let (mut client_reads, mut client_writes) = self.client.split();
        let (mut backend_reads, mut backend_writes) = self.backend.split();
        let (mut at_client, mut at_backend) = (vec![0; down.len()], vec![0; up.len()]);
        let all = async {
            tokio::try_join!(
                client_writes.write_all(up),
                backend_writes.write_all(down),
                client_reads.read_exact(&mut at_client),
                backend_reads.read_exact(&mut at_backend),
            )
        };
        timeout(SOON, all)
            .await
            .expect("all of it passes")
            .expect("no socket fails");
        assert!(at_client == down && at_backend == up, "every byte as it was");
    }
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// Whole binary messages of these sizes; those of a client are masked, with a key of zeros.
fn messages(sizes: &[usize], masked: bool) -> Vec<u8> {
    let (mask, key): (u8, &[u8]) = if masked { (0x80, &[0; 4]) } else { (0, &[]) };
    let mut bytes = Vec::new();
    for &size in sizes {
        match size {
            0..126 => bytes.extend([0x82, mask | size as u8]),
            126..0x1_0000 => {
                bytes.extend([0x82, mask | 126]);
                bytes.extend((size as u16).to_be_bytes());
            }
            _ => {
                bytes.extend([0x82, mask | 127]);
                bytes.extend((size as u64).to_be_bytes());
            }
        }
        bytes.extend(key);
        bytes.extend((0..size).map(|at| (at * 31 + at / 251 + size) as u8));
    }
    bytes
}

/// Sizes around every threshold, with small messages between them.
const SIZES: [usize; 16] = [
    70_000, 70_000, 3, 24_575, 24_576, 24_577, 0, 65_536, 65_522, 125, 126, 500_000, 1, 200_000, 65_536, 7,
];

fn pipes() -> (usize, usize) {
    POOL.with_borrow(|pool| (pool.free.len(), pool.lent))
}

async fn messages_of_all_sizes() {
    let mut joined = Joined::start().await;
    let (up, down) = (messages(&SIZES, true), messages(&SIZES, false));
    for _ in 0..5 {
        joined.carries(&up, &down).await;
    }
    let (free, lent) = pipes();
    assert!(free > 0, "something was spliced");
    assert_eq!(lent, 0, "a session at rest has no pipe");
    let carried = joined.registered.session().carried.read();
    assert_eq!(carried.bytes_from_client, 5 * up.len() as u64);
    assert_eq!(carried.bytes_to_client, 5 * down.len() as u64);
    assert_eq!(carried.messages_from_client, 5 * SIZES.len() as u64);
    assert_eq!(carried.messages_to_client, 5 * SIZES.len() as u64);
}

#[tokio::test]
async fn messages_of_all_sizes_pass_whole_and_are_counted() {
    messages_of_all_sizes().await;
}

#[test]
fn messages_of_all_sizes_pass_whole_where_small_ones_wait_for_the_turn_to_end() {
    on_worker(messages_of_all_sizes);
}

#[tokio::test]
async fn peers_that_do_not_read_take_no_pipe_from_others_for_good() {
    // More than any socket's buffers hold.
    let flood = messages(&[30_000_000], true);
    let mut stalled = Vec::new();
    for _ in 0..PIPES + 2 {
        let joined = Joined::start().await;
        let (mut reads, mut writes) = joined.client.into_split();
        let flood = flood.clone();
        let sender = tokio::spawn(async move { writes.write_all(&flood).await.map(|()| writes) });
        stalled.push((joined.backend, sender, joined.registered, joined.task));
        drop(tokio::spawn(async move { reads.read_u8().await }));
    }
    let mut other = Joined::start().await;
    let (up, down) = (messages(&SIZES, true), messages(&SIZES, false));
    other.carries(&up, &down).await;
    assert!(pipes().1 <= PIPES);
    for (mut backend, sender, _registered, _task) in stalled {
        let mut got = vec![0; flood.len()];
        timeout(SOON, backend.read_exact(&mut got))
            .await
            .expect("in time")
            .unwrap();
        assert!(got == flood);
        sender.await.unwrap().unwrap();
    }
    other.carries(&up, &down).await;
    assert_eq!(pipes().1, 0);
}

#[tokio::test]
async fn a_close_of_ours_waits_for_the_end_of_a_spliced_payload() {
    let mut joined = Joined::start().await;
    let large = messages(&[300_000], false);
    joined.carries(&[], &large).await;
    let (first, rest) = large.split_at(200_000);
    joined.carries(&[], first).await;
    joined.registered.session().close(1001, Cause::Drain);
    joined.carries(&[], rest).await;
    let mut close = [0; 4];
    timeout(SOON, joined.client.read_exact(&mut close))
        .await
        .expect("in time")
        .unwrap();
    assert_eq!(close[0], 0x88);
    assert_eq!(close[2..], 1001_u16.to_be_bytes());
}

#[tokio::test]
async fn a_backend_that_dies_inside_a_spliced_payload_has_ended_the_session() {
    let mut joined = Joined::start().await;
    let large = messages(&[300_000], false);
    joined.carries(&[], &large).await;
    joined.carries(&[], &large[..100_000]).await;
    drop(joined.backend);
    let mut rest = Vec::new();
    timeout(SOON, joined.client.read_to_end(&mut rest))
        .await
        .expect("in time")
        .unwrap();
    assert!(rest.is_empty(), "no frame of ours inside another");
    drop(joined.client);
    let outcome = timeout(SOON, joined.task).await.expect("in time").unwrap();
    assert_eq!(
        (outcome.initiator, outcome.reason),
        (Initiator::Backend, Reason::Eof)
    );
    assert_eq!(pipes().1, 0);
}
