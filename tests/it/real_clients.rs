//! Clients and servers that others wrote talk through the router as they talk to each other.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::support::*;

/// What every client prints against every server, with nothing in between.
const EXPECTED: &str = include_str!("../real/expected.txt");

const CLIENTS: [&str; 2] = ["client.cjs", "client.py"];
const SERVERS: [&str; 2] = ["server.cjs", "server.py"];

async fn router_to(server: &Process) -> Router {
    let config =
        Config::default()
            .service("chat", &[server.address], "")
            .route(r#"path: "/{*rest}""#, "chat", "");
    Router::start(&config).await
}

#[test]
fn npm_ws_and_python_websockets_exchange_the_same_as_without_a_router() {
    run(async {
        let tools = Tools::ready();
        for script in SERVERS {
            let server = tools.server(script).await;
            let router = router_to(&server).await;
            for client in CLIENTS {
                let direct = tools.output(client, &format!("ws://{}/", server.address)).await;
                assert_eq!(direct, EXPECTED, "{client} to {script} without a router");
                let through = tools.output(client, &format!("ws://{}/", router.address())).await;
                assert_eq!(through, EXPECTED, "{client} through the router to {script}");
            }
        }
    });
}

#[test]
fn within_tls_both_clients_exchange_the_same_as_without() {
    run(async {
        let tools = Tools::ready();
        let server = tools.server("server.py").await;
        let authority = Authority::new("authority");
        let own = authority.certify(&["127.0.0.1"]);
        let config = Config::default()
            .service("chat", &[server.address], "")
            .route(r#"path: "/{*rest}""#, "chat", "")
            .listener("tls: { certificate: tls.crt, key: tls.key }");
        let dir = Dir::new();
        dir.replace("tls.crt", &own.certificate);
        dir.replace("tls.key", &own.key);
        let ca = dir.replace("ca.pem", &authority.pem);
        let path = dir.replace("longhaul.yaml", &config.text());
        let router = Router::start_at(dir, &path).await;
        for client in CLIENTS {
            let url = format!("wss://{}/", router.address());
            let through = tools.output_believing(client, &url, ca.to_str().unwrap()).await;
            assert_eq!(through, EXPECTED, "{client}");
        }
    });
}

#[test]
fn tokio_tungstenite_exchanges_messages_with_both_servers() {
    run(async {
        for script in SERVERS {
            let server = Tools::ready().server(script).await;
            let router = router_to(&server).await;
            let stream = tokio::net::TcpStream::connect(router.address())
                .await
                .expect("a router");
            let url = format!("ws://{}/chat?x=1", router.address());
            let (mut socket, _) = tokio_tungstenite::client_async(url, stream)
                .await
                .expect("a handshake");
            let large = Pattern::new(31).bytes(1 << 20);
            for message in [
                Message::text("grüße"),
                Message::text(""),
                Message::binary(vec![0, 255, 128]),
                Message::binary(large),
            ] {
                socket.send(message.clone()).await.expect("an open session");
                assert!(
                    socket.next().await.expect("an answer").expect("a message") == message,
                    "{script}"
                );
            }
            socket
                .send(Message::text("close 4001 by the server"))
                .await
                .expect("an open session");
            let close = socket.next().await.expect("a Close").expect("a message");
            let frame = CloseFrame {
                code: 4001.into(),
                reason: "by the server".into(),
            };
            assert_eq!(close, Message::Close(Some(frame)), "{script}");
        }
    });
}

#[test]
fn a_tungstenite_server_serves_npm_ws_and_python_websockets() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tungstenite_echo(stream));
            }
        });
        let config =
            Config::default()
                .service("chat", &[address], "")
                .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        // This server neither compresses nor chooses a subprotocol.
        let expected: Vec<_> = EXPECTED
            .lines()
            .filter(|line| !line.contains("compressed"))
            .collect();
        for client in CLIENTS {
            let through = Tools::ready()
                .output(client, &format!("ws://{}/", router.address()))
                .await;
            let lines: Vec<_> = through
                .lines()
                .filter(|line| !line.starts_with("compressed"))
                .collect();
            assert_eq!(lines, expected, "{client}");
        }
        serving.abort();
    });
}

async fn tungstenite_echo(stream: tokio::net::TcpStream) {
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let choose = |request: &Request, mut response: Response| {
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            let last = offered
                .to_str()
                .expect("ASCII")
                .rsplit(',')
                .next()
                .expect("one at least")
                .trim()
                .to_owned();
            response
                .headers_mut()
                .insert("sec-websocket-protocol", last.parse().expect("a token"));
        }
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, choose).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        let text = message.to_text().unwrap_or_default().to_owned();
        if let Some((code, reason)) = text.strip_prefix("close ").and_then(|rest| rest.split_once(' ')) {
            let code = code.parse::<u16>().expect("a code").into();
            socket
                .close(Some(CloseFrame {
                    code,
                    reason: reason.into(),
                }))
                .await
                .ok();
        } else if message.is_text() || message.is_binary() {
            socket.send(message).await.ok();
        }
    }
}
