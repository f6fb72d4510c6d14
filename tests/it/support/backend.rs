//! Backends that do what a test says, and addresses where nobody answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{Conn, Frame, Head, SOON, within};

/// What a backend that runs by itself does with each connection.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// A correct 101, then every message goes back and a Close is answered; what is no upgrade gets a 200.
    Echo,
    /// Resets the connection once the request head is there.
    Reset,
    /// Never answers.
    Silent,
    /// A correct 101 and at once a FIN, without a Close.
    Leave,
    /// These bytes in answer to every request head.
    Answer(Vec<u8>),
}

/// A listening backend; dropping it ends what it runs.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    name: String,
    script: Mutex<Script>,
    heads: Mutex<Vec<Head>>,
    /// Connections accepted, whatever came over them.
    accepted: Mutex<usize>,
}

impl Backend {
    /// A backend whose connections the test takes by hand, with [`Self::arrival`].
    pub(crate) async fn manual() -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            name: address.to_string(),
            script: Mutex::new(Script::Echo),
            heads: Mutex::default(),
            accepted: Mutex::default(),
        });
        Self {
            address,
            listener,
            shared,
            task: None,
        }
    }

    /// A backend that runs by itself and says its address in `X-Backend`.
    pub(crate) async fn running(script: Script) -> Self {
        let mut backend = Self::manual().await;
        backend.set(script);
        let (listener, shared) = (Arc::clone(&backend.listener), Arc::clone(&backend.shared));
        backend.task = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *shared.accepted.lock().unwrap() += 1;
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        }));
        backend
    }

    pub(crate) async fn echo() -> Self {
        Self::running(Script::Echo).await
    }

    /// From now on, new connections meet this script.
    pub(crate) fn set(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// The next connection.
    pub(crate) async fn arrival(&self) -> Conn {
        let (stream, _) = within(SOON, "a connection at the backend", self.listener.accept())
            .await
            .expect("an accept");
        Conn::server(stream)
    }

    /// Whether a connection is waiting to be taken, or comes within `window`.
    pub(crate) async fn arrives_within(&self, window: std::time::Duration) -> bool {
        tokio::time::timeout(window, self.listener.accept()).await.is_ok()
    }

    /// The request heads that came, in order.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.shared.heads.lock().unwrap().clone()
    }

    pub(crate) fn accepted(&self) -> usize {
        *self.shared.accepted.lock().unwrap()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut conn = Conn::server(stream);
    let script = shared.script.lock().unwrap().clone();
    loop {
        let Some(head) = conn.head().await else { return };
        shared.heads.lock().unwrap().push(head.clone());
        if matches!(script, Script::Echo) && !head.has("upgrade") {
            if conn.try_body(&head).await.is_err() {
                return;
            }
            if conn
                .try_write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nplain\n")
                .await
                .is_err()
            {
                return;
            }
            continue;
        }
        let named = || accept_bytes(&head, &format!("X-Backend: {}\r\n", shared.name));
        match &script {
            Script::Echo => {
                if conn.try_write(&named()).await.is_ok() {
                    echo(&mut conn).await;
                }
                return;
            }
            Script::Reset => return conn.reset(),
            Script::Silent => while conn.next().await.is_ok() {},
            Script::Leave => {
                conn.try_write(&named()).await.ok();
                return;
            }
            Script::Answer(bytes) => {
                if conn.try_write(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn echo(conn: &mut Conn) {
    while let Ok(frame) = conn.next().await {
        let answer = match frame.opcode {
            9 => Frame::pong(frame.payload),
            10 => continue,
            _ => Frame { mask: None, ..frame },
        };
        let closing = answer.is_close();
        if conn.try_write(&answer.encode()).await.is_err() || closing {
            return;
        }
    }
}

/// A correct 101 to this request, with more header lines if any.
pub(crate) fn accept_bytes(head: &Head, more: &str) -> Vec<u8> {
    let accept = accept_of(head);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// The Accept that belongs to this request's key.
pub(crate) fn accept_of(head: &Head) -> String {
    let key = head.value("sec-websocket-key").expect("a key");
    BASE64_STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// An address where every connect is refused: bound, so nobody else gets it, but not listening.
pub(crate) struct Refusing {
    pub(crate) address: SocketAddr,
    _socket: socket2::Socket,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let (socket, address) = bound();
        Self {
            address,
            _socket: socket,
        }
    }
}

/// An address where a connect is neither accepted nor refused: its accept queue is full, so the kernel drops the SYN.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: socket2::Socket,
    _queued: Vec<socket2::Socket>,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        let (listener, address) = bound();
        listener.listen(0).expect("a listener");
        let queued = (0..4).map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("a socket option");
            // In progress for ever is what this socket is for.
            socket.connect(&address.into()).ok();
            socket
        });
        Self {
            address,
            _queued: queued.collect(),
            _listener: listener,
        }
    }
}

fn bound() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("a free port");
    let address = socket
        .local_addr()
        .expect("a bound socket")
        .as_socket()
        .expect("an IP socket");
    (socket, address)
}
