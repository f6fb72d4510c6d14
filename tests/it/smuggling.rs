//! Requests that two readers would cut differently: refused, or exactly one canonical request at the backend.
//!
//! In: the table of [`payloads`], each followed by a second request that must never be taken for a part of the first.
//! A payload is judged by what the backend saw, byte for byte, and by how the client's connection ended.

mod payloads;

use std::time::Duration;

use crate::support::*;
use payloads::{Payload, Verdict};

/// What the client got: the statuses in order, and whether the connection was closed by the router.
struct Answers {
    statuses: Vec<u16>,
    closed: bool,
}

async fn send(router: &Router, bytes: &[u8]) -> Answers {
    let mut client = Conn::connect(router.address()).await;
    client.try_write(bytes).await.ok();
    let mut answers = Answers {
        statuses: Vec::new(),
        closed: false,
    };
    // Longer than the request deadline, after which the router gives up on a request that never ends.
    let collecting = async {
        loop {
            let Some(head) = client.head().await else {
                return true;
            };
            answers.statuses.push(head.status());
            if head.status() == 101 {
                return false;
            }
            let length = head
                .value("content-length")
                .and_then(|value| value.parse().ok())
                .unwrap_or(0);
            client.take(length).await;
        }
    };
    let closed = tokio::time::timeout(Duration::from_secs(4), collecting).await;
    answers.closed = closed.unwrap_or(false);
    answers
}

/// What is wrong with a request that can be read in one way only; `None` if nothing is.
fn oddity(head: &Head) -> Option<String> {
    let raw = String::from_utf8_lossy(&head.raw);
    if raw.contains("smuggled") || raw.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Some(format!("{raw:?}"));
    }
    let words: Vec<_> = head.start.split(' ').collect();
    if !matches!(words[..], ["GET", target, "HTTP/1.1"] if target.starts_with('/')) {
        return Some(head.start.clone());
    }
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    for (name, value) in &head.fields {
        if name.is_empty() || !name.bytes().all(token) || !value.iter().copied().all(text) {
            return Some(format!("{name:?}: {value:?}"));
        }
    }
    let once = [
        "host",
        "upgrade",
        "connection",
        "sec-websocket-key",
        "sec-websocket-version",
    ];
    let never = ["content-length", "transfer-encoding", "trailer", "te", "expect"];
    let wrong = once.iter().find(|name| head.values(name).len() != 1);
    wrong
        .or(never.iter().find(|name| head.has(name)))
        .map(|name| format!("{name} in\n{raw}"))
}

#[test]
fn every_ambiguous_request_is_refused_or_reaches_the_backend_once_and_canonical() {
    run_within(Duration::from_mins(3), async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("limits: { request_deadline: 1s }")).await;
        let table = payloads::all();
        assert!(table.len() >= 100, "{} payloads", table.len());
        let mut wrong = Vec::new();
        for Payload { name, bytes, verdict } in table {
            let before = backend.heads().len();
            let answers = send(&router, &bytes).await;
            let seen = backend.heads().split_off(before);
            let oddities: Vec<_> = seen.iter().filter_map(oddity).collect();
            let first = answers.statuses.first().copied();
            let refused = first.is_none_or(|status| status / 100 == 4) && seen.is_empty() && answers.closed;
            let accepted = first == Some(101) && seen.len() == 1;
            let fits = match verdict {
                Verdict::Refused => first == Some(400) && refused,
                Verdict::Accepted => accepted,
                Verdict::Either => refused || accepted,
            };
            if !fits || !oddities.is_empty() {
                let Answers { statuses, closed } = answers;
                wrong.push(format!(
                    "{name}: {statuses:?}, closed {closed}, {verdict:?} {oddities:?}"
                ));
            }
        }
        assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
        open(&router).await.echoes("none the worse").await;
    });
}

/// Requests for `/chat` that look like upgrades and are none.
fn no_upgrades() -> Vec<(&'static str, Request)> {
    let good = Request::upgrade("/chat");
    vec![
        (
            "another version",
            good.clone().with("Sec-WebSocket-Version", "1337"),
        ),
        (
            "a POST",
            good.clone()
                .line("POST /chat HTTP/1.1")
                .field("Content-Length", "0"),
        ),
        (
            "a PUT",
            good.clone()
                .line("PUT /chat HTTP/1.1")
                .field("Content-Length", "0"),
        ),
        ("a HEAD", good.clone().line("HEAD /chat HTTP/1.1")),
        (
            "HTTP/1.0",
            good.clone()
                .line("GET /chat HTTP/1.0")
                .field("Connection", "keep-alive"),
        ),
        (
            "h2c",
            good.clone()
                .with("Upgrade", "h2c")
                .field("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ),
        ("another protocol", good.clone().with("Upgrade", "tcp")),
        ("no Connection", good.clone().with("Connection", "keep-alive")),
    ]
}

#[test]
fn after_a_refused_upgrade_the_next_request_is_routed_on_its_own() {
    run(async {
        let (public, admin) = (Backend::echo().await, Backend::echo().await);
        let config = Config::default()
            .service("public", &[public.address], "")
            .service("admin", &[admin.address], "")
            .route(r#"path: "/chat""#, "public", "")
            .route(r#"host: admin.internal, path: "/admin""#, "admin", "");
        let router = Router::start(&config).await;
        let good = Request::upgrade("/chat");
        for (name, request) in no_upgrades() {
            let mut client = Conn::connect(router.address()).await;
            let second = Request::upgrade("/admin").bytes();
            client.try_write(&[request.bytes(), second].concat()).await.ok();
            let first = client.head().await.unwrap_or_else(|| panic!("{name}: no answer"));
            assert_eq!(first.status() / 100, 4, "{name}: {first:?}");
            if name != "a HEAD" {
                let length = first
                    .value("content-length")
                    .and_then(|value| value.parse().ok())
                    .unwrap_or(0);
                client.take(length).await;
            }
            if let Some(second) = client.head().await {
                assert_eq!(second.status(), 404, "{name}: {second:?}");
            }
        }
        for (name, request) in [
            ("two protocols", good.clone().with("Upgrade", "h2c, websocket")),
            ("two Upgrade fields", good.clone().field("Upgrade", "h2c")),
            (
                "two equal Upgrade fields",
                good.clone().field("Upgrade", "websocket"),
            ),
            ("a body", good.clone().field("Content-Length", "5")),
            ("a chunked body", good.field("Transfer-Encoding", "chunked")),
        ] {
            let (_client, head) = Conn::upgrade(router.address(), &request).await;
            assert!(
                head.status() / 100 == 4 || head.status() == 101,
                "{name}: {head:?}"
            );
            for seen in public.heads() {
                assert_eq!(oddity(&seen), None, "{name}");
            }
        }
        assert!(admin.heads().is_empty(), "{:?}", admin.heads());
        assert!(public.heads().iter().all(|head| head.target() == "/chat"));
    });
}
