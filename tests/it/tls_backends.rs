//! TLS with endpoints, and sessions that are within TLS on one side or on both.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::support::*;

const NAME: &str = "chat.example.com";
const LISTENER: &str = "tls: { certificate: tls.crt, key: tls.key }";

/// A router with TLS for [`NAME`] before these endpoints, and who believes it. `ca.pem` is the authority of both sides.
struct Stage {
    authority: Authority,
    client: Arc<ClientConfig>,
    own: Certified,
}

impl Stage {
    fn new() -> Self {
        let authority = Authority::new("authority");
        Self {
            client: authority.client(None),
            own: authority.certify(&[NAME, "127.0.0.1"]),
            authority,
        }
    }

    async fn router(&self, endpoint: std::net::SocketAddr, service: &str) -> Router {
        let config =
            Config::default()
                .service("chat", &[endpoint], service)
                .route(r#"path: "/{*rest}""#, "chat", "");
        self.router_of(config).await
    }

    async fn router_of(&self, config: Config) -> Router {
        let dir = Dir::new();
        dir.replace("tls.crt", &self.own.certificate);
        dir.replace("tls.key", &self.own.key);
        dir.replace("ca.pem", &self.authority.pem);
        let path = dir.replace("longhaul.yaml", &config.listener(LISTENER).text());
        Router::start_at(dir, &path).await
    }

    async fn backend(&self) -> TlsBackend {
        TlsBackend::echo(self.authority.server(&self.own, false)).await
    }

    /// Opens a session and closes it.
    async fn works(&self, router: &Router) {
        let mut socket = wss(router.address(), NAME, &self.client).await;
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    }

    /// The status of an upgrade that does not come about.
    async fn status(&self, router: &Router) -> u16 {
        use tokio_tungstenite::tungstenite::Error;
        match try_wss(router.address(), NAME, &self.client).await {
            Err(Error::Http(answer)) => answer.status().as_u16(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_byte_arrives_whichever_side_is_within_tls() {
    run(async {
        let stage = Stage::new();
        let (secured, plain) = (stage.backend().await, Backend::echo().await);
        for (endpoint, service) in [(secured.address, "tls: { ca: ca.pem }"), (plain.address, "")] {
            let router = stage.router(endpoint, service).await;
            let mut socket = wss(router.address(), NAME, &stage.client).await;
            let mut pattern = Pattern::new(7);
            for size in [0, 1, 125, 126, 16 * 1024, 65_535, 65_536, 1 << 20, 3 << 20] {
                let message = Message::binary(pattern.bytes(size));
                socket.send(message.clone()).await.unwrap();
                let back = within(SOON, size, socket.next()).await.unwrap().unwrap();
                assert!(back == message, "{size} bytes came back otherwise");
            }
            // Many at once, both ways, more than any buffer on the way holds.
            let (mut sink, mut stream) = socket.split();
            let sending = async {
                for n in 0..40_u8 {
                    sink.send(Message::binary(vec![n; 200_000])).await.unwrap();
                }
            };
            let receiving = async {
                for n in 0..40_u8 {
                    let message = stream.next().await.unwrap().unwrap();
                    assert!(message == Message::binary(vec![n; 200_000]), "message {n}");
                }
            };
            within(SOON, "all messages", async { tokio::join!(sending, receiving) }).await;
        }
    });
}

#[test]
fn a_plain_client_reaches_an_endpoint_within_tls() {
    run(async {
        let stage = Stage::new();
        let backend = stage.backend().await;
        let dir = Dir::new();
        dir.replace("ca.pem", &stage.authority.pem);
        let config = Config::default()
            .service(
                "chat",
                &[backend.address],
                "tls: { ca: ca.pem, server_name: chat.example.com }",
            )
            .route(r#"path: "/{*rest}""#, "chat", "");
        let path = dir.replace("longhaul.yaml", &config.text());
        let router = Router::start_at(dir, &path).await;
        let (mut client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        assert_eq!(head.status(), 101);
        client.send(Frame::binary(vec![5; 1 << 20])).await;
        assert_eq!(client.frame().await.payload, vec![5; 1 << 20]);
    });
}

#[test]
fn close_codes_and_reasons_pass_both_ways() {
    run(async {
        let stage = Stage::new();
        let reason = "r".repeat(123);
        for (code, reason) in [
            (1000, ""),
            (1001, "bye"),
            (1009, &*reason),
            (3000, "x"),
            (4999, &*reason),
        ] {
            let frame = CloseFrame {
                code: CloseCode::from(code),
                reason: reason.into(),
            };
            // The client's own comes back from the other end.
            let backend = stage.backend().await;
            let router = stage.router(backend.address, "tls: { ca: ca.pem }").await;
            let mut socket = wss(router.address(), NAME, &stage.client).await;
            socket.close(Some(frame.clone())).await.unwrap();
            let answer = within(SOON, code, socket.next()).await.unwrap().unwrap();
            assert_eq!(answer, Message::Close(Some(frame.clone())));
            assert!(within(SOON, "the end", socket.next()).await.is_none());
            let ended = router.ended(1).await.remove(0);
            assert_eq!(ended["initiator"], "client");
            assert_eq!(ended["code"], code);

            // A backend's.
            let backend = Backend::manual().await;
            let router = stage.router(backend.address, "").await;
            let (socket, server) = tokio::join!(wss(router.address(), NAME, &stage.client), async {
                let mut server = backend.arrival().await;
                server.accept_upgrade().await;
                server
            });
            let (mut socket, mut server) = (socket, server);
            server.send(Frame::close(code, reason)).await;
            let told = within(SOON, code, socket.next()).await.unwrap().unwrap();
            assert_eq!(told, Message::Close(Some(frame)));
            assert!(within(SOON, "the end", socket.next()).await.is_none());
            assert!(server.frame().await.is_close());
            let ended = router.ended(1).await.remove(0);
            assert_eq!(ended["initiator"], "backend");
            assert_eq!(ended["code"], code);
        }
    });
}

#[test]
fn what_was_sent_before_an_abrupt_end_arrives_and_nothing_is_invented() {
    run(async {
        let stage = Stage::new();
        let backend = Backend::manual().await;
        let router = stage.router(backend.address, "").await;
        let connect = async || {
            tokio::join!(wss(router.address(), NAME, &stage.client), async {
                let mut server = backend.arrival().await;
                server.accept_upgrade().await;
                server
            })
        };
        // The backend goes away behind a message.
        let (mut socket, mut server) = connect().await;
        server.send(Frame::text("last words")).await;
        drop(server);
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("last words"));
        let told = within(SOON, "a Close", socket.next()).await.unwrap().unwrap();
        assert!(
            matches!(&told, Message::Close(Some(frame)) if frame.code == CloseCode::Away),
            "{told:?}"
        );

        drop(socket);
        router.ended(1).await;

        // The client does, without a word of TLS.
        let (mut socket, mut server) = connect().await;
        socket.send(Message::text("last words")).await.unwrap();
        drop(socket);
        assert_eq!(server.frame().await.string(), "last words");
        let (rest, _) = server.rest().await;
        assert_eq!(rest, b"", "no Close is made up");
        drop(server);
        let ended = router.ended(2).await.pop().unwrap();
        assert_eq!(ended["initiator"], "client");
        assert!(ended["code"].is_null());
    });
}

#[test]
fn an_endpoint_is_taken_for_what_its_certificate_says() {
    run(async {
        let stage = Stage::new();
        let backend = stage.backend().await;
        for service in [
            // The Host that the client sends, and that is passed on.
            "tls: { ca: ca.pem }",
            "tls: { ca: ca.pem, server_name: chat.example.com }",
            "tls: { ca: ca.pem, server_name: 127.0.0.1 }",
        ] {
            stage.works(&stage.router(backend.address, service).await).await;
        }
        // By its address where the Host is none.
        let config = Config::default()
            .service("chat", &[backend.address], "tls: { ca: ca.pem }")
            .route(r#"path: "/{*rest}""#, "chat", r#"host: "192.0.2.1:80""#);
        stage.works(&stage.router_of(config).await).await;

        let log = "handshake failed";
        let wrong = "tls: { ca: ca.pem, server_name: other.example.com }";
        let router = stage.router(backend.address, wrong).await;
        assert_eq!(stage.status(&router).await, 502);
        let reason = router.log.wait(log, 1, |line| line["message"] == log).await[0]["reason"].to_string();
        assert!(reason.contains("no TLS"), "{reason}");
        let labels = [("outcome", "connect_failed"), ("service", "chat")];
        router
            .metric_becomes("longhaul_handshakes_total", &labels, 1.0)
            .await;

        // Signed by nobody whom the system trusts.
        let router = stage.router(backend.address, "tls: {}").await;
        assert_eq!(stage.status(&router).await, 502);
        // Not TLS at all.
        let plain = Backend::manual().await;
        let router = stage.router(plain.address, "tls: { ca: ca.pem }").await;
        let answering = async {
            let mut conn = plain.arrival().await;
            conn.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            conn
        };
        let (status, _conn) = tokio::join!(stage.status(&router), answering);
        assert_eq!(status, 502);
    });
}

#[test]
fn another_authority_is_a_502_and_skipping_the_check_is_said_at_every_start_and_reload() {
    run(async {
        let stage = Stage::new();
        let strangers = Authority::new("strangers");
        let theirs = strangers.certify(&["elsewhere.test"]);
        let backend = TlsBackend::echo(strangers.server(&theirs, false)).await;
        let router = stage.router(backend.address, "tls: { ca: ca.pem }").await;
        assert_eq!(stage.status(&router).await, 502);

        let skipping = || {
            Config::default()
                .service("chat", &[backend.address], "tls: { insecure_skip_verify: true }")
                .route(r#"path: "/{*rest}""#, "chat", "")
        };
        let router = stage.router_of(skipping()).await;
        stage.works(&router).await;
        let warning = "insecure_skip_verify: anyone can pretend to be an endpoint";
        assert_eq!(router.log.all(warning).len(), 1);
        assert_eq!(router.log.all(warning)[0]["level"], "WARN");
        router.reload(&skipping().listener(LISTENER)).await;
        router
            .log
            .wait("a second warning", 2, |line| line["message"] == warning)
            .await;
    });
}

#[test]
fn an_endpoint_that_wants_a_certificate_gets_ours_and_is_not_blamed_for_wanting_another() {
    run(async {
        let stage = Stage::new();
        let backend = TlsBackend::echo(stage.authority.server(&stage.own, true)).await;
        let service = "tls: { ca: ca.pem, client_certificate: tls.crt, client_key: tls.key }";
        stage.works(&stage.router(backend.address, service).await).await;

        let router = stage.router(backend.address, "tls: { ca: ca.pem }").await;
        for _ in 0..3 {
            assert_eq!(stage.status(&router).await, 502);
        }
        let services = router.get("/api/services").await.json();
        assert_eq!(
            services["services"][0]["endpoints"][0]["ejected"], false,
            "{services}"
        );
        let log = "handshake failed";
        let reason = router.log.wait(log, 1, |line| line["message"] == log).await[0]["reason"].to_string();
        assert!(reason.contains("does not take our certificate"), "{reason}");
    });
}

#[test]
fn an_endpoint_with_a_wrong_certificate_is_left_out_and_another_one_tried() {
    run(async {
        let stage = Stage::new();
        let strangers = Authority::new("strangers");
        let bad = TlsBackend::echo(strangers.server(&strangers.certify(&[NAME]), false)).await;
        let good = stage.backend().await;
        let keys = "balance: round-robin, tls: { ca: ca.pem, server_name: chat.example.com }";
        let config = Config::default()
            .service("chat", &[bad.address, good.address], keys)
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = stage.router_of(config).await;
        for _ in 0..4 {
            stage.works(&router).await;
        }
        let ejection = |line: &serde_json::Value| line["message"] == "endpoint ejected";
        router.log.wait("an ejection", 1, ejection).await;
        let ejected = router.log.all("endpoint ejected");
        let address = bad.address.to_string();
        assert!(
            ejected.iter().all(|line| line["address"] == address),
            "{ejected:?}"
        );
    });
}

#[test]
fn names_that_clients_make_up_do_not_make_an_endpoint_look_broken() {
    run(async {
        let authority = Authority::new("authority");
        let own = authority.certify(&[NAME]);
        let backend = TlsBackend::echo(authority.server(&own, false)).await;
        let dir = Dir::new();
        dir.replace("ca.pem", &authority.pem);
        let config = Config::default()
            .service("chat", &[backend.address], "tls: { ca: ca.pem }")
            .route(r#"path: "/{*rest}""#, "chat", "");
        let path = dir.replace("longhaul.yaml", &config.text());
        let router = Router::start_at(dir, &path).await;
        for n in 0..5 {
            let request = Request::upgrade("/").with("Host", format!("evil{n}.test"));
            let (_, head) = Conn::upgrade(router.address(), &request).await;
            assert_eq!(head.status(), 502);
        }
        let services = router.get("/api/services").await.json();
        assert_eq!(
            services["services"][0]["endpoints"][0]["ejected"], false,
            "{services}"
        );
        let (_, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        assert_eq!(head.status(), 101);
    });
}

#[test]
fn an_endpoint_that_is_silent_within_tls_has_the_time_of_a_handshake() {
    run(async {
        let stage = Stage::new();
        let silent = Backend::manual().await;
        let router = stage
            .router(silent.address, "handshake_timeout: 500ms, tls: { ca: ca.pem }")
            .await;
        let started = tokio::time::Instant::now();
        assert_eq!(stage.status(&router).await, 504);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

#[test]
fn the_authority_of_endpoints_is_replaced_without_a_reload() {
    run(async {
        let stage = Stage::new();
        let strangers = Authority::new("strangers");
        let backend = TlsBackend::echo(strangers.server(&strangers.certify(&[NAME]), false)).await;
        let config = Config::default()
            .service("chat", &[backend.address], "tls: { ca: ca.pem }")
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = stage.router_of(config).await;
        assert_eq!(stage.status(&router).await, 502);
        router.dir.replace("ca.pem", &strangers.pem);
        let read = "TLS files read again";
        router
            .log
            .wait(read, 1, |line| {
                line["message"] == read && line["of"] == "service chat"
            })
            .await;
        stage.works(&router).await;
    });
}

#[test]
fn an_idle_session_within_tls_takes_little_memory() {
    run_within(Duration::from_mins(5), async {
        let stage = Stage::new();
        let (secured, plain) = (stage.backend().await, Backend::echo().await);
        for (what, endpoint, service) in [
            ("TLS with the client", plain.address, ""),
            ("TLS on both sides", secured.address, "tls: { ca: ca.pem }"),
        ] {
            let router = stage.router(endpoint, service).await;
            let mut sockets = Vec::new();
            let count = std::env::var("LONGHAUL_SESSIONS").map_or(Ok(500), |text| text.parse());
            let count: u64 = count.expect("a number");
            let (warm, more) = (count / 5, count - count / 5);
            let mut before = 0;
            for n in 0..warm + more {
                if n == warm {
                    before = router.memory();
                }
                let mut socket = wss(router.address(), NAME, &stage.client).await;
                socket.send(Message::text("warm")).await.unwrap();
                socket.next().await.unwrap().unwrap();
                sockets.push(socket);
            }
            let each = router.memory().saturating_sub(before) / more;
            println!("{what}: {each} bytes for each of {more} idle sessions");
            assert!(each <= 24 * 1024, "{what}: {each} bytes");
        }
    });
}
