use std::{
    future::poll_fn,
    io::{ErrorKind, Read},
    net::TcpListener,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
    task::yield_now,
};

use super::*;
use crate::relay::outbox::{counted, on_worker};

/// Bytes that fit between a socket and its peer, about.
const NARROW: usize = 16 * 1024;

/// A busy socket, and its peer, which gives what is there and never waits.
fn connected() -> (Socket, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_recv_buffer_size(NARROW).unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    SockRef::from(&ours).set_send_buffer_size(NARROW).unwrap();
    let (peer, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    ours.set_nodelay(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut socket = Socket::new(TcpStream::from_std(ours).unwrap(), Leg::Client);
    while matches!(socket.state, State::Quiet(_)) {
        socket.count();
    }
    (socket, peer)
}

/// What has come to the peer; `None` at the end of the stream.
fn there(peer: &mut std::net::TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    match peer.read_to_end(&mut all) {
        Ok(0) => None,
        Ok(_) => Some(all),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(all),
        Err(error) => panic!("{error}"),
    }
}

/// What comes to the peer, so many bytes; the end of a batch is not waited for.
async fn coming(peer: &mut std::net::TcpStream, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        all.extend(there(peer).expect("more is to come"));
        yield_now().await;
    }
    all
}

/// What comes to the peer until the end of the stream.
async fn rest(peer: &mut std::net::TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(some) = there(peer) {
        all.extend(some);
        yield_now().await;
    }
    all
}

impl Socket {
    fn owes(&self) -> bool {
        matches!(&self.state, State::Busy(busy) if !busy.wire.is_even())
    }
}

/// Writes until the kernel takes no more, and a part of the last piece is owed.
async fn overfill(socket: &mut Socket) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut piece = 0_u8;
    while !socket.owes() {
        let bytes = [piece; 4000];
        socket.write_all(&bytes).await.unwrap();
        sent.extend_from_slice(&bytes);
        outbox::send();
        piece = piece.wrapping_add(1);
    }
    sent
}

/// Has the peer reset the connection, and a piece that has waited meet that.
async fn refused(socket: &mut Socket, peer: std::net::TcpStream) {
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    while !socket.owes() {
        socket.write_all(b"to nobody").await.unwrap();
        outbox::send();
        yield_now().await;
    }
}

#[test]
fn what_is_written_waits_until_there_is_nothing_else_to_do() {
    on_worker(|| async {
        let (mut socket, mut peer) = connected();
        socket.write_all(b"one ").await.unwrap();
        socket.write_all(b"two").await.unwrap();
        assert_eq!(there(&mut peer).unwrap(), b"");
        let mut peer = TcpStream::from_std(peer).unwrap();
        let mut got = [0; 7];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one two");
    });
}

#[test]
fn where_there_is_no_outbox_nothing_waits() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut socket, mut peer) = connected();
        socket.write_all(b"at once").await.unwrap();
        assert_eq!(coming(&mut peer, 7).await, b"at once");
    });
}

#[test]
fn so_many_pieces_do_not_wait_for_more() {
    on_worker(|| async {
        let (mut socket, mut peer) = connected();
        for _ in 0..100 {
            socket.write_all(b"x").await.unwrap();
        }
        assert_eq!(coming(&mut peer, 64).await.len(), 64);
    });
}

#[test]
fn a_neighbour_that_never_rests_does_not_keep_it_waiting() {
    on_worker(|| async {
        let (mut socket, mut peer) = connected();
        let restless = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        drop(tokio::spawn(counted(Box::pin(restless))));
        socket.write_all(b"x").await.unwrap();
        // Its runtime is never idle, so nothing else sends it.
        assert_eq!(coming(&mut peer, 1).await, b"x");
    });
}

#[test]
fn whatever_else_is_sent_goes_behind_what_waits() {
    on_worker(|| async {
        let (mut socket, mut peer) = connected();
        socket.write_all(b"first").await.unwrap();
        socket.write_all(&[7; 5000]).await.unwrap();
        let both = [&b"first"[..], &[7; 5000]].concat();
        assert_eq!(coming(&mut peer, both.len()).await, both);
        socket.write_all(b"flushed").await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(coming(&mut peer, 7).await, b"flushed");
        socket.write_all(b"seen").await.unwrap();
        assert!(socket.socket().is_some());
        assert_eq!(coming(&mut peer, 4).await, b"seen");
        socket.write_all(b"then the last").await.unwrap();
        let last = poll_fn(|cx| socket.poll_write_last(cx, b" and the end")).await;
        assert_eq!(last.unwrap(), 12);
        socket.shutdown().await.unwrap();
        assert_eq!(rest(&mut peer).await, b"then the last and the end");
    });
}

#[test]
fn a_socket_that_is_dropped_is_closed_behind_what_waits() {
    on_worker(|| async {
        let (mut socket, mut peer) = connected();
        socket.write_all(b"last words").await.unwrap();
        drop(socket);
        outbox::send();
        assert_eq!(rest(&mut peer).await, b"last words");
    });
}

#[test]
fn what_the_kernel_does_not_take_goes_first_and_holds_up_the_rest() {
    on_worker(|| async {
        let (mut socket, mut peer) = connected();
        let mut sent = overfill(&mut socket).await;
        assert!(socket.socket().is_none(), "nobody may write around it");
        let reader = tokio::spawn(async move { rest(&mut peer).await });
        socket.write_all(b"behind it").await.unwrap();
        sent.extend_from_slice(b"behind it");
        socket.shutdown().await.unwrap();
        assert!(reader.await.unwrap() == sent);
    });
}

/// It sleeps with its flow, which waits for the other peer to say something.
#[test]
fn a_task_is_woken_when_not_all_could_be_sent() {
    on_worker(|| async {
        let (mut socket, mut peer) = connected();
        let woken = Arc::new(Woken::default());
        let task = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&task);
        while !socket.owes() {
            assert!(!woken.0.load(Relaxed));
            let piece = [1; 4000];
            assert!(Pin::new(&mut socket).poll_write(&mut cx, &piece).is_ready());
            assert!(socket.poll_settle(&mut cx).is_pending());
            outbox::send();
        }
        assert!(woken.0.load(Relaxed));
        drop(tokio::spawn(async move {
            rest(&mut peer).await;
        }));
        poll_fn(|cx| socket.poll_settle(cx)).await.unwrap();
    });
}

#[test]
fn a_failure_is_told_whenever_it_is_asked_for() {
    on_worker(|| async {
        let (mut socket, peer) = connected();
        refused(&mut socket, peer).await;
        for _ in 0..2 {
            poll_fn(|cx| socket.poll_settle(cx)).await.unwrap_err();
            socket.write(b"more").await.unwrap_err();
        }
    });
}

/// The kernel tells of a reset once, and to a write if that comes first.
#[test]
fn a_reset_that_a_write_has_met_is_no_end_to_who_reads() {
    on_worker(|| async {
        let (mut socket, peer) = connected();
        refused(&mut socket, peer).await;
        let error = socket.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// What is done with a socket.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Flush,
    Send,
    Read,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_arrives_in_order(steps in vec(step(), 0..200)) {
        on_worker(move || async move {
            let (mut socket, mut peer) = connected();
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Write(length) => {
                        let piece: Vec<u8> = (sent.len()..sent.len() + length).map(|at| at as u8).collect();
                        let written = tokio::select! {
                            biased;
                            written = socket.write(&piece) => written.unwrap(),
                            () = yield_now() => 0,
                        };
                        sent.extend_from_slice(&piece[..written]);
                    }
                    Step::Flush => tokio::select! {
                        biased;
                        flushed = socket.flush() => flushed.unwrap(),
                        () = yield_now() => {}
                    },
                    Step::Send => outbox::send(),
                    Step::Read => got.extend(there(&mut peer).unwrap()),
                }
            }
            let end = tokio::spawn(async move { socket.shutdown().await });
            got.extend(rest(&mut peer).await);
            end.await.unwrap().unwrap();
            assert!(got == sent);
        });
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..200_usize).prop_map(Step::Write),
        2 => (3_000..6_000_usize).prop_map(Step::Write),
        2 => (10_000..100_000_usize).prop_map(Step::Write),
        1 => Just(Step::Flush),
        3 => Just(Step::Send),
        2 => Just(Step::Read),
    ]
}

#[derive(Default)]
struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}
