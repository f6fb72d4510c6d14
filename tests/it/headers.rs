//! Header fields that name the client, and who may delete or invent them.

use crate::support::*;

/// The head that the backend got for this request, or the status of the refusal.
async fn at_backend(router: &Router, backend: &Backend, request: &Request) -> Result<Head, u16> {
    let (_client, head) = Conn::upgrade(router.address(), request).await;
    match head.status() {
        101 => Ok(backend.heads().pop().expect("a request")),
        status => Err(status),
    }
}

/// The head that the backend got for this request through a door.
async fn through(entry: &Entry, backend: &Backend, request: &Request) -> Head {
    let mut client = entry.visitor().await.start(request).await;
    let head = client.head().await.expect("an answer");
    assert_eq!(head.status(), entry.door.switched(), "{head:?}");
    backend.heads().pop().expect("a request")
}

/// Every name under which a backend may look for the client.
const SPOOFED: [(&str, &str); 12] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Port", "666"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("X_Forwarded_Host", "evil.example"),
    ("X-Forwarded_For", "6.6.6.6"),
    ("X_Real_IP", "6.6.6.6"),
    ("X-Request-Id", "evil"),
];

fn spoofing() -> Request {
    SPOOFED
        .iter()
        .fold(Request::upgrade("/"), |request, (name, value)| {
            request.field(name, *value)
        })
}

#[test]
fn a_stranger_cannot_say_who_the_client_is() {
    run(async {
        let cases = [
            ("x-forwarded", true, false),
            ("both", true, true),
            ("forwarded", false, true),
            ("none", false, false),
        ];
        for (door, (forwarded, x, rfc)) in DOORS.into_iter().flat_map(|door| cases.map(|case| (door, case))) {
            let backend = Backend::echo().await;
            let config = Config::over(&[&backend], "", &format!("forwarded: {forwarded}"));
            let entry = door.open(config).await;
            let (router, scheme) = (&entry.router, if door.is_tls() { "https" } else { "http" });
            let head = through(&entry, &backend, &spoofing()).await;
            let text = String::from_utf8_lossy(&head.raw).to_ascii_lowercase();
            let lies = ["6.6.6.6", "evil", "666"];
            // A kernel's choice of port may look like a lie, and one id in a hundred does.
            let text = text.replace(&router.address().port().to_string(), "PORT");
            let id = head.value("x-request-id").expect("an id of the router's own");
            assert!(
                id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
                "{id}"
            );
            let text = text.replace(id, "ID");
            for lie in lies {
                assert!(!text.contains(lie), "{door:?}, {forwarded}: {lie} in\n{text}");
            }
            assert!(
                !head.fields.iter().any(|(name, _)| name.contains('_')),
                "{head:?}"
            );
            let listener = router.address().port().to_string();
            let ours = [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-host", "chat.example.com"),
                ("x-forwarded-proto", scheme),
                ("x-forwarded-port", listener.as_str()),
            ];
            for (name, value) in ours {
                assert_eq!(
                    head.value(name),
                    x.then_some(value),
                    "{door:?}, {forwarded}: {name}"
                );
            }
            let value = head.value("forwarded").map(str::to_ascii_lowercase);
            assert_eq!(value.is_some(), rfc, "{forwarded}: {value:?}");
            if let Some(value) = value {
                assert!(
                    value.contains("for=127.0.0.1") && value.ends_with(&format!("proto={scheme}")),
                    "{value}"
                );
            }
            assert!(
                head.value("x-request-id").is_some_and(|id| id.len() >= 8),
                "{head:?}"
            );
        }
    });
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    run(async {
        for door in DOORS {
            let backend = Backend::echo().await;
            let config = Config::over(&[&backend], "", "forwarded: both");
            let entry = door.open_with(config, "trusted_proxies: [127.0.0.0/8]").await;
            let request = Request::upgrade("/")
                .field("X-Forwarded-For", "1.2.3.4, 5.6.7.8")
                .field("X-Forwarded-Host", "public.example")
                .field("X-Forwarded-Proto", "https")
                .field("X-Forwarded-Port", "443")
                .field("Forwarded", "for=1.2.3.4;proto=https")
                .field("X_Forwarded_For", "6.6.6.6")
                .field("X-Request-Id", "from-the-proxy-1");
            let head = through(&entry, &backend, &request).await;
            let chain: Vec<_> = head
                .values("x-forwarded-for")
                .iter()
                .map(|value| String::from_utf8_lossy(value))
                .collect();
            assert_eq!(chain.join(", "), "1.2.3.4, 5.6.7.8, 127.0.0.1");
            assert_eq!(head.value("x-forwarded-host"), Some("public.example"));
            assert_eq!(head.value("x-forwarded-proto"), Some("https"));
            assert_eq!(head.value("x-forwarded-port"), Some("443"));
            assert_eq!(head.value("x-request-id"), Some("from-the-proxy-1"));
            let forwarded: Vec<_> = head
                .values("forwarded")
                .iter()
                .map(|value| String::from_utf8_lossy(value))
                .collect();
            let forwarded = forwarded.join(", ").to_ascii_lowercase();
            assert!(
                forwarded.starts_with("for=1.2.3.4;proto=https,") && forwarded.contains("for=127.0.0.1"),
                "{forwarded}"
            );
            assert!(!head.has("x_forwarded_for"));
        }
    });
}

#[test]
fn connection_cannot_delete_a_managed_field_in_any_case() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::over(&[&backend], "", "forwarded: both")).await;
        let managed = [
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "Forwarded",
            "X-Request-Id",
            "Host",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
            "Upgrade",
        ];
        for name in managed {
            for spelling in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                let request = spoofing().with("Connection", format!("Upgrade, {spelling}"));
                match at_backend(&router, &backend, &request).await {
                    Ok(head) => {
                        for other in managed {
                            assert!(
                                head.value(other).is_some_and(|value| !value.is_empty()),
                                "{spelling} deleted {other}"
                            );
                        }
                        assert_eq!(head.value("x-forwarded-for"), Some("127.0.0.1"));
                        assert_eq!(
                            head.value("connection").map(str::to_ascii_lowercase).as_deref(),
                            Some("upgrade")
                        );
                    }
                    Err(status) => assert_eq!(status, 400, "{spelling}"),
                }
            }
        }
    });
}

#[test]
fn hop_by_hop_and_nominated_fields_end_at_the_router() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let request = Request::upgrade("/")
            .with("Connection", "keep-alive, X-Private, UPGRADE")
            .field("Connection", "x-OTHER")
            .field("X-Private", "1")
            .field("X-Other", "2")
            .field("Keep-Alive", "timeout=5")
            .field("Proxy-Connection", "keep-alive")
            .field("Proxy-Authorization", "Basic eDp5")
            .field("TE", "trailers")
            .field("Trailer", "X-End")
            .field("X-Public", "3");
        let head = at_backend(&router, &backend, &request).await.expect("a session");
        for name in [
            "x-private",
            "x-other",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "te",
            "trailer",
        ] {
            assert!(!head.has(name), "{name}: {head:?}");
        }
        assert_eq!(head.value("x-public"), Some("3"));
        assert_eq!(
            head.value("connection").map(str::to_ascii_lowercase).as_deref(),
            Some("upgrade")
        );
    });
}

#[test]
fn the_backends_hop_by_hop_fields_end_at_the_router_too() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        let fields = "Connection: X-Inner\r\nX-Inner: secret\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nX-Outer: 1\r\n";
        server
            .write(format!("HTTP/1.1 403 Forbidden\r\n{fields}Content-Length: 0\r\n\r\n").as_bytes())
            .await;
        let head = client.response().await.head;
        assert_eq!((head.status(), head.value("x-outer")), (403, Some("1")));
        assert!(!head.has("x-inner") && !head.has("keep-alive"), "{head:?}");
    });
}

#[test]
fn every_request_without_an_id_gets_one_of_its_own() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let head = at_backend(&router, &backend, &Request::upgrade("/"))
                .await
                .expect("a session");
            ids.insert(head.value("x-request-id").expect("an id").to_owned());
        }
        assert_eq!(ids.len(), 20);
    });
}
