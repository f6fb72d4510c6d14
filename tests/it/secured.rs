//! Requests that are no handshakes, to endpoints within TLS; and affinity with TLS on both sides.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::support::*;

const NAME: &str = "backend.test";
const TLS: &str = "tls: { ca: ca.pem, server_name: backend.test }";

/// Backends behind TLS, and routers before them.
struct Stage {
    authority: Authority,
    secured: Vec<TlsBackend>,
}

impl Stage {
    async fn before(backends: &[SocketAddr]) -> Self {
        let authority = Authority::new("authority");
        let own = authority.certify(&[NAME]);
        let mut secured = Vec::new();
        for backend in backends {
            secured.push(TlsBackend::before(*backend, authority.server(&own, false)).await);
        }
        Self { authority, secured }
    }

    async fn entry(&self, door: Door, service: &str) -> Entry {
        let addresses: Vec<_> = self.secured.iter().map(|backend| backend.address).collect();
        let config = Config::default()
            .service("chat", &addresses, service)
            .route(r#"path: "/{*rest}""#, "chat", "")
            .line("workers: 1")
            .line("affinity_secret_files: [tags.key]");
        let key = BASE64_STANDARD.encode([1; 32]);
        door.open_by(&self.authority, config, "", &[("tags.key", &key)])
            .await
    }
}

#[test]
fn connections_within_tls_to_an_endpoint_are_used_again_and_never_for_a_session() {
    run(async {
        for door in DOORS {
            println!("at {door:?}");
            let backend = Backend::echo().await;
            let stage = Stage::before(&[backend.address]).await;
            let entry = stage.entry(door, TLS).await;
            let mut visitor = entry.visitor().await;
            for _ in 0..20 {
                let response = visitor.ask(&Request::plain("/")).await.response().await;
                assert_eq!((response.status(), response.text().as_str()), (200, "plain\n"));
            }
            assert_eq!((backend.accepted(), backend.heads().len()), (1, 20));
            let mut session = visitor.start(&Request::upgrade("/")).await;
            assert_eq!(session.head().await.unwrap().status(), door.switched());
            session.echoes("on a connection of its own").await;
            assert_eq!(backend.accepted(), 2);
            let response = visitor.ask(&Request::plain("/")).await.response().await;
            assert_eq!((response.status(), backend.accepted()), (200, 2));
        }
    });
}

#[test]
fn a_connection_within_tls_that_the_backend_has_closed_is_replaced_unseen() {
    run(async {
        let backend = Backend::manual().await;
        let stage = Stage::before(&[backend.address]).await;
        let entry = stage.entry(Door::Http2Tls, TLS).await;
        let mut visitor = entry.visitor().await;
        for _ in 0..10 {
            let mut client = visitor.ask(&Request::plain("/")).await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            server
                .write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            assert_eq!(client.response().await.text(), "ok");
            drop(server);
        }
    });
}

#[test]
fn a_plain_request_to_an_endpoint_with_a_wrong_certificate_is_502_and_nothing_is_sent_there() {
    run(async {
        let backend = Backend::echo().await;
        let stage = Stage::before(&[backend.address]).await;
        for (door, service) in [
            (Door::Plain, "tls: { ca: ca.pem, server_name: other.test }"),
            (Door::Http2Tls, "tls: { ca: ca.pem, server_name: other.test }"),
            (Door::Http2Tls, "tls: {}"),
        ] {
            let entry = stage.entry(door, service).await;
            let mut visitor = entry.visitor().await;
            for line in ["GET / HTTP/1.1", "POST / HTTP/1.1"] {
                let request = Request::plain("/").line(line).field("Content-Length", "0");
                assert_eq!(
                    visitor.ask(&request).await.response().await.status(),
                    502,
                    "{line}"
                );
            }
        }
        assert_eq!(backend.heads().len(), 0);
        // One that speaks no TLS at all.
        let plain = Backend::manual().await;
        let config = Config::over(&[&plain], TLS, "");
        let entry = Door::Plain.open_by(&stage.authority, config, "", &[]).await;
        let mut visitor = entry.visitor().await;
        let mut client = visitor.ask(&Request::plain("/")).await;
        let mut server = plain.arrival().await;
        server.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert_eq!(client.response().await.status(), 502);
    });
}

#[test]
fn bodies_and_answers_stream_to_an_endpoint_within_tls() {
    run(async {
        for door in DOORS {
            println!("at {door:?}");
            let backend = Backend::manual().await;
            let stage = Stage::before(&[backend.address]).await;
            let entry = stage.entry(door, TLS).await;
            let request = Request::plain("/chat").line("POST /chat HTTP/1.1");
            let request = request.field("Transfer-Encoding", "chunked");
            let mut client = entry.visitor().await.start(&request).await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            server
                .write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            client.head().await.expect("an answer");
            let (up, down) = (door.framed("a"), door.framed("b"));
            for _ in 0..10 {
                client.write(&up).await;
                assert_eq!(server.take(6).await, b"1\r\na\r\n");
                server.write(b"1\r\nb\r\n").await;
                assert_eq!(client.take(down.len()).await, down);
            }
        }
    });
}

/// The id of a new connection and the hub that gave it out, by what that hub says of itself.
async fn negotiate(visitor: &mut Visitor<'_>) -> String {
    let line = "POST /hub/negotiate?negotiateVersion=1 HTTP/1.1";
    let request = Request::plain("/").line(line).field("Content-Length", "0");
    let response = visitor.ask(&request).await.response().await;
    assert_eq!(response.status(), 200, "{response:?}");
    response.json()["connectionToken"].as_str().unwrap().to_owned()
}

#[test]
fn signalr_stays_on_its_hub_with_tls_on_both_sides_through_two_replicas() {
    const RECORD: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
    run(async {
        let stage = Stage::before(&Hubs::ready().addresses).await;
        let service = format!("balance: round-robin, affinity: signalr, {TLS}");
        for door in [Door::Tls, Door::Http2Tls] {
            println!("at {door:?}");
            let entries = [
                stage.entry(door, &service).await,
                stage.entry(door, &service).await,
            ];
            let mut visitors = [entries[0].visitor().await, entries[1].visitor().await];
            for n in 0..12 {
                let id = negotiate(&mut visitors[n % 2]).await;
                let target = format!("/hub?id={id}");
                // The other replica, which has never heard of this id.
                let mut socket = visitors[(n + 1) % 2].start(&Request::upgrade(&target)).await;
                assert_eq!(socket.head().await.unwrap().status(), door.switched(), "{n}");
                socket.send(Frame::text(RECORD)).await;
                assert_eq!(socket.frame().await.string(), "{}\u{1e}");
            }
            for entry in &entries {
                let labels = [("method", "signalr"), ("result", "tied")];
                let tied = entry
                    .router
                    .metrics()
                    .await
                    .sum("longhaul_affinity_total", &labels);
                assert_eq!(tied, 6.0);
            }
        }
    });
}

#[test]
fn microsofts_client_in_chromium_stays_on_its_hub_on_every_transport_over_http2() {
    run(async {
        let stage = Stage::before(&Hubs::ready().addresses).await;
        let service = format!("balance: round-robin, affinity: signalr, {TLS}");
        let entry = stage.entry(Door::Http2Tls, &service).await;
        let url = format!("https://{}", entry.router.address());
        let seen = Tools::ready().output("signalr-browser.cjs", &url).await;
        let seen: serde_json::Value =
            serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
        assert_eq!(seen["problems"], json!([]));
        let used = seen["used"].as_array().expect("what each connection said");
        assert_eq!(used.len(), 9);
        for said in used {
            assert_eq!(
                (&said["stayed"], &said["items"]),
                (&json!(true), &json!([1, 2, 3]))
            );
        }
        let labels = [("result", "ok")];
        let metrics = entry.router.metrics().await;
        let connections = metrics.sum("longhaul_tls_handshakes_total", &labels);
        assert_eq!(connections, 1.0, "sessions, events and polls share a connection");
    });
}
