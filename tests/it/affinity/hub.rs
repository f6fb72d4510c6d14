//! A backend that knows only the ids it gave out, as SignalR and engine.io servers do.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::*;

/// What a hub answers to a negotiate.
#[derive(Clone, Debug)]
pub(super) enum Negotiate {
    /// A new id, as version 1 has it.
    Token,
    /// These bytes, head and all.
    Bytes(Vec<u8>),
    /// So many bytes of JSON.
    Long(usize),
    /// Nothing at all.
    Silence,
}

/// A hub; dropping it ends it.
pub(super) struct Hub {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    name: String,
    negotiate: Mutex<Negotiate>,
    ids: Mutex<HashSet<String>>,
    heads: Mutex<Vec<Head>>,
}

impl Hub {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            name: address.to_string(),
            negotiate: Mutex::new(Negotiate::Token),
            ids: Mutex::default(),
            heads: Mutex::default(),
        });
        let hub = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Conn::server(stream), Arc::clone(&hub)));
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(super) fn answers(&self, negotiate: Negotiate) {
        *self.shared.negotiate.lock().unwrap() = negotiate;
    }

    /// The heads of the requests that came, in order.
    pub(super) fn heads(&self) -> Vec<Head> {
        self.shared.heads.lock().unwrap().clone()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn new_id(&self) -> String {
        let id = format!("{:x}==", fastrand::u128(..));
        self.ids.lock().unwrap().insert(id.clone());
        id
    }

    fn knows(&self, id: &str) -> bool {
        let id = id.replace("%3D", "=");
        self.ids.lock().unwrap().contains(&id)
    }

    fn answer(&self, status: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        let name = &self.name;
        format!("HTTP/1.1 {status}\r\nX-Backend: {name}\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }
}

fn parameter<'h>(head: &'h Head, name: &str) -> Option<&'h str> {
    let (_, query) = head.target().split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

async fn serve(mut conn: Conn, shared: Arc<Shared>) {
    while let Some(head) = conn.head().await {
        if conn.try_body(&head).await.is_err() {
            return;
        }
        shared.heads.lock().unwrap().push(head.clone());
        let id = parameter(&head, "id").or(parameter(&head, "sid"));
        let answer = match id {
            Some(id) if !shared.knows(id) => shared.answer("404 Not Found", "No Connection with that ID"),
            _ if head.has("sec-websocket-key") => {
                let named = format!("X-Backend: {}\r\n", shared.name);
                conn.try_write(&accept_bytes(&head, &named)).await.ok();
                while conn.next().await.is_ok() {}
                return;
            }
            Some(_) => shared.answer("200 OK", "known"),
            None if head.target().contains("/negotiate") => match shared.negotiate() {
                Negotiate::Bytes(bytes) => bytes,
                Negotiate::Long(length) => {
                    if long(&mut conn, length).await.is_err() {
                        return;
                    }
                    continue;
                }
                Negotiate::Silence => std::future::pending().await,
                Negotiate::Token => {
                    let id = shared.new_id();
                    let body = format!(
                        "{{\"negotiateVersion\":1,\"connectionId\":\"public\",\"connectionToken\":\"{id}\"}}"
                    );
                    shared.answer("200 OK", &body)
                }
            },
            None if head.target().contains("transport=polling") => {
                let id = shared.new_id();
                shared.answer(
                    "200 OK",
                    &format!("0{{\"sid\":\"{id}\",\"upgrades\":[\"websocket\"]}}"),
                )
            }
            None => shared.answer("200 OK", "plain"),
        };
        if conn.try_write(&answer).await.is_err() {
            return;
        }
    }
}

impl Shared {
    fn negotiate(&self) -> Negotiate {
        self.negotiate.lock().unwrap().clone()
    }
}

async fn long(conn: &mut Conn, length: usize) -> std::io::Result<()> {
    let start = "{\"negotiateVersion\":1,\"connectionToken\":\"";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{start}");
    conn.try_write(head.as_bytes()).await?;
    let piece = [b'x'; 64 * 1024];
    let mut left = length - start.len() - 2;
    while left > 0 {
        let now = left.min(piece.len());
        conn.try_write(&piece[..now]).await?;
        left -= now;
    }
    conn.try_write(b"\"}").await
}
