//! A name server that does what a real one cannot be made to do.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

/// The server; ends with this.
pub(crate) struct Scripted {
    address: SocketAddr,
    script: Arc<Script>,
    _work: JoinSet<()>,
}

/// How it is broken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Break {
    ServerFailure,
    Refused,
    /// Bytes that are no message, under the right number.
    Garbage,
    /// It says "too long for a datagram", also where there is none.
    Truncated,
}

/// The IPv4 addresses of a round.
type ByRound = Box<dyn Fn(usize) -> Vec<[u8; 4]> + Send>;

struct Script {
    v4: Mutex<ByRound>,
    /// The IPv6 addresses; `None` is a failure.
    v6: Mutex<Option<Vec<Ipv6Addr>>>,
    broken: Mutex<Option<Break>>,
    rounds: AtomicUsize,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let (datagrams, connections) = loop {
            let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(connections) = TcpListener::bind(datagrams.local_addr().unwrap()).await {
                break (datagrams, connections);
            }
        };
        let script = Arc::new(Script {
            v4: Mutex::new(Box::new(|_| Vec::new())),
            v6: Mutex::new(Some(Vec::new())),
            broken: Mutex::default(),
            rounds: AtomicUsize::new(0),
        });
        let address = datagrams.local_addr().unwrap();
        let mut work = JoinSet::new();
        work.spawn(serve_datagrams(datagrams, Arc::clone(&script)));
        work.spawn(serve_connections(connections, Arc::clone(&script)));
        Self {
            address,
            script,
            _work: work,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn answer(&self, addresses: impl Fn(usize) -> Vec<[u8; 4]> + Send + 'static) {
        *self.script.v4.lock().unwrap() = Box::new(addresses);
    }

    pub(crate) fn answer_v6(&self, addresses: Option<Vec<Ipv6Addr>>) {
        *self.script.v6.lock().unwrap() = addresses;
    }

    pub(crate) fn broken(&self, how: Option<Break>) {
        *self.script.broken.lock().unwrap() = how;
    }

    /// How often it was asked for IPv4 addresses.
    pub(crate) fn rounds(&self) -> usize {
        self.script.rounds.load(Ordering::SeqCst)
    }
}

async fn serve_datagrams(socket: UdpSocket, script: Arc<Script>) {
    let mut question = [0; 512];
    while let Ok((size, from)) = socket.recv_from(&mut question).await {
        let answer = script.answer_to(&question[..size]);
        let _ = socket.send_to(&answer, from).await;
    }
}

async fn serve_connections(listener: TcpListener, script: Arc<Script>) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        open.spawn(async move {
            let _ = serve_connection(stream, &script).await;
        });
    }
}

async fn serve_connection(mut stream: TcpStream, script: &Script) -> io::Result<()> {
    loop {
        let size = stream.read_u16().await?;
        let mut question = vec![0; size.into()];
        stream.read_exact(&mut question).await?;
        let answer = script.answer_to(&question);
        let size = u16::try_from(answer.len()).unwrap();
        stream
            .write_all(&[&size.to_be_bytes()[..], &answer].concat())
            .await?;
    }
}

impl Script {
    /// The answer to a question without compression, as clients send it.
    fn answer_to(&self, message: &[u8]) -> Vec<u8> {
        let end = 12 + message[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let question = &message[12..end + 4];
        let kind = u16::from_be_bytes([message[end], message[end + 1]]);
        let round = match kind {
            A => self.rounds.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        let (flags, data): (u16, Vec<Vec<u8>>) = match (*self.broken.lock().unwrap(), kind) {
            (Some(Break::Garbage), _) => return [&message[..2], &[0xff; 40]].concat(),
            (Some(Break::ServerFailure), _) => (0x8002, Vec::new()),
            (Some(Break::Refused), _) => (0x8005, Vec::new()),
            (Some(Break::Truncated), _) => (0x8600, Vec::new()),
            (None, A) => {
                let addresses = (self.v4.lock().unwrap())(round);
                (0x8400, addresses.into_iter().map(Vec::from).collect())
            }
            (None, AAAA) => match &*self.v6.lock().unwrap() {
                Some(addresses) => (0x8400, addresses.iter().map(|ip| ip.octets().to_vec()).collect()),
                None => (0x8002, Vec::new()),
            },
            (None, _) => (0x8400, Vec::new()),
        };
        let count = u16::try_from(data.len()).unwrap();
        let mut answer = message[..2].to_vec();
        for number in [flags, 1, count, 0, 0] {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(question);
        for data in data {
            // The name by reference, class IN, no time to live.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0]);
            answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            answer.extend(data);
        }
        answer
    }
}

const A: u16 = 1;
const AAAA: u16 = 28;
