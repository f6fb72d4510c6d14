//! An echo backend that says its name first.

use std::{io, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use super::page::greeting;

const NOT_PLAIN: &[u8] =
    b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\
    Content-Type: text/plain\r\nContent-Length: 29\r\n\r\nthis backend echoes messages\n";

/// Starts a backend of this name on a port that the kernel chooses.
pub(super) async fn spawn(name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream, name));
        }
    });
    Ok(address)
}

/// Serves one session until it ends, however it does. Who asks for none is told so: a backend that hangs up is left out.
async fn echo(mut stream: TcpStream, name: &str) -> Option<()> {
    let Ok(mut session) = accept_async(&mut stream).await else {
        return stream.write_all(NOT_PLAIN).await.ok();
    };
    session.send(Message::text(greeting(name))).await.ok()?;
    while let Some(Ok(message)) = session.next().await {
        if message.is_text() || message.is_binary() {
            session.send(message).await.ok()?;
        }
    }
    Some(())
}
