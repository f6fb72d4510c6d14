//! HTTP/2 behind what comes before it on the wire: a PROXY header, and TLS.

use std::sync::Arc;

use h2::ext::Protocol;
use http::{Method, Request, Version};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsConnector;

use super::peer::{Client, Over};
use crate::support::*;

const LISTENER: &str =
    "proxy_protocol: true, trusted_proxies: [127.0.0.0/8], tls: { certificate: tls.crt, key: tls.key }";
const PROXY: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

/// A request for a WebSocket at this host.
fn at(host: &str) -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri(format!("https://{host}/"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("x-forwarded-for", "198.51.100.99")
        .header("x-forwarded-proto", "http")
        .body(())
        .expect("a request")
}

async fn connect(router: &Router, authority: &Authority, name: &'static str) -> Client {
    let mut stream = TcpStream::connect(router.address()).await.unwrap();
    stream.write_all(PROXY).await.unwrap();
    let mut config = Arc::unwrap_or_clone(authority.client(None));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connecting = TlsConnector::from(Arc::new(config)).connect(name.try_into().unwrap(), stream);
    Client::over(within(SOON, "TLS", connecting).await.unwrap()).await
}

#[test]
fn the_client_is_known_by_its_header_and_the_hosts_by_the_certificate() {
    run(async {
        let authority = Authority::new("authority");
        let own = authority.certify(&["a.example", "b.example"]);
        let new = authority.certify(&["c.example"]);
        let backend = Backend::echo().await;
        let dir = Dir::new();
        dir.replace("tls.crt", &own.certificate);
        dir.replace("tls.key", &own.key);
        let config = |more: &str| Config::to(&[&backend]).listener(&format!("{LISTENER}{more}"));
        let path = dir.replace("longhaul.yaml", &config("").text());
        let router = Router::start_at(dir, &path).await;
        let mut client = connect(&router, &authority, "a.example").await;
        let mut first = client.open_as(at("a.example")).await;
        // Browsers take the connection for the other name of its certificate as well.
        let mut second = client.open_as(at("b.example")).await;
        let (refused, _) = client.refusal(at("c.example")).await;
        assert_eq!(refused.status, 421);
        let heads = backend.heads();
        assert_eq!(heads.len(), 2);
        for (head, host) in heads.iter().zip(["a.example", "b.example"]) {
            assert_eq!(head.value("host"), Some(host));
            assert_eq!(head.value("x-forwarded-host"), Some(host));
            assert_eq!(head.value("x-forwarded-for"), Some("192.0.2.7"));
            assert_eq!(head.value("x-real-ip"), Some("192.0.2.7"));
            assert_eq!(head.value("x-forwarded-proto"), Some("https"));
        }

        // Another certificate, and no HTTP/2: for those who come after.
        router.dir.replace("tls.crt", &new.certificate);
        router.dir.replace("tls.key", &new.key);
        router.reload(&config(", http2: false")).await;
        first.echoes("first").await;
        second.echoes("second").await;
        client.open_as(at("b.example")).await.echoes("third").await;
        let (refused, _) = client.refusal(at("c.example")).await;
        assert_eq!(refused.status, 421, "it has not been shown that certificate");

        first.send(Frame::close(1000, "")).await;
        assert!(first.next().await.expect("a Close").is_close());
        assert_eq!(first.next().await, Err(Over::Ended));
        first.finish();
        drop((first, second, client));
        for ended in router.ended(3).await {
            assert_eq!(ended["client"], "192.0.2.7:50000", "{ended}");
        }
        router.metric_becomes("longhaul_connections", &[], 0.0).await;
    });
}
