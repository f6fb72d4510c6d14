//! Backends for the walkthroughs: each sends its address first, and then everything back as it came.
//!
//! ```sh
//! cargo run --example echo_backend -- 127.0.0.1:9001 127.0.0.1:9002
//! ```

use std::{env, io};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut backends = JoinSet::new();
    for address in env::args().skip(1) {
        backends.spawn(serve(TcpListener::bind(&address).await?));
        println!("listening on {address}");
    }
    if backends.is_empty() {
        println!("usage: echo_backend ADDRESS...");
    }
    while backends.join_next().await.is_some() {}
    Ok(())
}

/// Serves every session on this socket, until dropped.
pub(crate) async fn serve(listener: TcpListener) {
    let mut sessions = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        sessions.spawn(echo(stream));
        while sessions.try_join_next().is_some() {}
    }
}

/// Serves one session until it ends, however it does.
async fn echo(stream: TcpStream) -> Option<()> {
    let name = stream.local_addr().ok()?.to_string();
    let mut session = accept_async(stream).await.ok()?;
    session.send(Message::text(name)).await.ok()?;
    while let Some(Ok(message)) = session.next().await {
        if message.is_text() || message.is_binary() {
            session.send(message).await.ok()?;
        }
    }
    Some(())
}
