//! The PROXY protocol: whose connection it is, who may say so, and what is no header.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

const TRUSTING: &str = "proxy_protocol: true, trusted_proxies: [127.0.0.0/8]";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

fn v2(command: u8, family: u8, fields: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fields.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, fields].concat()
}

async fn start(listener: &str) -> (Router, Backend) {
    let backend = Backend::echo().await;
    let config = Config::to(&[&backend])
        .listener(listener)
        .line("limits: { request_deadline: 1s }");
    (Router::start(&config).await, backend)
}

async fn refused(router: &Router, count: f64) {
    let labels = [("reason", "proxy_protocol")];
    router
        .metric_becomes("longhaul_connections_refused_total", &labels, count)
        .await;
}

#[test]
fn the_client_in_the_header_is_the_client_everywhere() {
    run(async {
        let (router, backend) = start(TRUSTING).await;
        let ipv6 = [
            &[0x20, 1, 0xd, 0xb8][..],
            &[0; 11],
            &[9],
            &[0; 16],
            &[0xc3, 0x50, 1, 0xbb],
        ]
        .concat();
        let with_extras = [&[192, 0, 2, 8, 10, 0, 0, 1, 0xc3, 0x51, 1, 0xbb][..], &[4; 700]].concat();
        let own = "127.0.0.1";
        let cases = [
            (V1.to_vec(), "192.0.2.7", "192.0.2.7:50000"),
            (v2(0x21, 0x21, &ipv6), "2001:db8::9", "[2001:db8::9]:50000"),
            (v2(0x21, 0x11, &with_extras), "192.0.2.8", "192.0.2.8:50001"),
            (v2(0x20, 0x00, &[]), own, ""),
            (b"PROXY UNKNOWN\r\n".to_vec(), own, ""),
            (v2(0x21, 0x31, &[0; 216]), own, ""),
        ];
        let mut conns = Vec::new();
        for (index, (header, address, client)) in cases.iter().enumerate() {
            let mut conn = Conn::connect(router.address()).await;
            // A header is cut anywhere, and what follows may come with it.
            let bytes = [&header[..], &Request::upgrade("/").bytes()].concat();
            match index {
                0 => conn.write_bytewise(&bytes).await,
                _ => conn.write(&bytes).await,
            }
            assert_eq!(
                conn.head().await.unwrap().status(),
                101,
                "{}",
                header.escape_ascii()
            );
            conn.echoes("through").await;
            let head = backend.heads().pop().unwrap();
            assert_eq!(head.value("x-forwarded-for"), Some(*address));
            assert_eq!(head.value("x-real-ip"), Some(*address));
            let opened = router
                .log
                .wait("a session", index + 1, |line| line["message"] == "session opened");
            let opened = opened.await.pop().unwrap();
            let client = match *client {
                "" => conn.tcp().local_addr().unwrap().to_string(),
                client => client.to_owned(),
            };
            assert_eq!(opened["client"], *client);
            conns.push(conn);
        }
        let sessions = router.get("/api/sessions").await.text();
        assert!(sessions.contains("192.0.2.7:50000"), "{sessions}");
    });
}

#[test]
fn a_client_behind_a_load_balancer_is_not_believed_what_the_load_balancer_is() {
    run(async {
        let (router, backend) = start(TRUSTING).await;
        let mut conn = Conn::connect(router.address()).await;
        let lie = Request::upgrade("/").field("X-Forwarded-For", "203.0.113.1");
        conn.write(&[V1, &lie.bytes()].concat()).await;
        assert_eq!(conn.head().await.unwrap().status(), 101);
        let head = backend.heads().pop().unwrap();
        assert_eq!(head.value("x-forwarded-for"), Some("192.0.2.7"));
    });
}

#[test]
fn from_others_and_without_a_header_connections_are_refused() {
    run(async {
        let (router, backend) = start("proxy_protocol: true, trusted_proxies: [192.0.2.0/24]").await;
        let mut stranger = Conn::connect(router.address()).await;
        stranger
            .try_write(&[V1, &Request::upgrade("/").bytes()].concat())
            .await
            .ok();
        assert_eq!(stranger.rest().await.0, b"");
        refused(&router, 1.0).await;
        let told = |line: &serde_json::Value| line["message"] == "connection refused";
        let told = router.log.wait("a line", 1, told).await.remove(0);
        assert_eq!(told["reason"], "the peer is none of the trusted proxies");
        drop(router);

        let (router, other) = start(TRUSTING).await;
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107));
        let bad: [&[u8]; 6] = [
            &Request::upgrade("/").bytes(),
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443 443\r\n",
            long.as_bytes(),
            &v2(0x21, 0x11, &[0; 11]),
            &[&v2(0x21, 0x11, &[0; 12])[..14], &[0xff; 2]].concat(),
        ];
        for (index, bytes) in bad.iter().enumerate() {
            let mut conn = Conn::connect(router.address()).await;
            conn.try_write(bytes).await.ok();
            assert_eq!(conn.rest().await.0, b"", "{}", bytes.escape_ascii());
            refused(&router, index as f64 + 1.0).await;
        }
        // Half a header has the time of a request, and no more.
        let mut slow = Conn::connect(router.address()).await;
        slow.write(&V1[..20]).await;
        assert_eq!(slow.rest().await.0, b"");
        refused(&router, 7.0).await;
        assert_eq!((backend.accepted(), other.accepted()), (0, 0));
        // One line in ten seconds, however many there are.
        let told = |line: &serde_json::Value| line["message"] == "connection refused";
        router.log.wait("a line", 1, told).await;
        assert_eq!(router.log.all("connection refused").len(), 1);
    });
}

#[test]
fn curl_says_who_it_is_and_so_does_a_client_within_tls() {
    run(async {
        let (router, backend) = start(TRUSTING).await;
        backend.set(Script::Answer(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ));
        let url = format!("http://{}/", router.address());
        let upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"];
        let key = format!("Sec-WebSocket-Key: {KEY}");
        let more = [
            "-H",
            "Sec-WebSocket-Version: 13",
            "-H",
            &key,
            "--haproxy-protocol",
            &url,
        ];
        let (status, text) = curl(&[&upgrade[..], &more].concat()).await;
        assert_eq!(status, "403 1.1", "{text}");
        let head = backend.heads().pop().unwrap();
        assert_eq!(head.value("x-forwarded-for"), Some("127.0.0.1"));

        let authority = Authority::new("authority");
        let own = authority.certify(&["chat.example.com"]);
        let backend = Backend::echo().await;
        let dir = Dir::new();
        dir.replace("tls.crt", &own.certificate);
        dir.replace("tls.key", &own.key);
        let both = format!("{TRUSTING}, tls: {{ certificate: tls.crt, key: tls.key }}");
        let path = dir.replace("longhaul.yaml", &Config::to(&[&backend]).listener(&both).text());
        let router = Router::start_at(dir, &path).await;
        let mut stream = tokio::net::TcpStream::connect(router.address()).await.unwrap();
        stream.write_all(V1).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(authority.client(None));
        let name = "chat.example.com".try_into().unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(&Request::upgrade("/").bytes()).await.unwrap();
        let mut answer = [0; 12];
        within(
            Duration::from_secs(10),
            "an answer",
            stream.read_exact(&mut answer),
        )
        .await
        .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        let head = backend.heads().pop().unwrap();
        assert_eq!(head.value("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(head.value("x-forwarded-proto"), Some("https"));
    });
}
