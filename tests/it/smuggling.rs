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
            if head.status() == 100 {
                continue;
            }
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
    let upgrade = [
        "upgrade",
        "connection",
        "sec-websocket-key",
        "sec-websocket-version",
        "host",
    ];
    // A request of HTTP/1.0 asks for no upgrade, whatever it says.
    let once = if head.has("upgrade") {
        &upgrade[..]
    } else {
        &upgrade[4..]
    };
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
            let accepted = matches!(first, Some(101 | 200)) && seen.len() == 1;
            let accepted = accepted && (first == Some(101)) == seen[0].has("upgrade");
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

#[test]
fn every_ambiguous_body_of_a_plain_request_is_refused_or_ends_where_the_backend_is_told() {
    run_within(Duration::from_mins(3), async {
        let backend = Backend::echo().await;
        let config = Config::default()
            .service("chat", &[backend.address], "")
            .route(r#"path: "/upload/{payload}""#, "chat", "")
            .line("limits: { request_deadline: 1s }");
        let router = Router::start(&config).await;
        let mut passed = 0;
        for (name, line, bytes) in payloads::plain() {
            let answers = send(&router, &bytes).await;
            // By its own line: the backend may be told late of one whose client was refused meanwhile.
            let mut seen = backend.heads();
            assert!(
                seen.iter().all(|head| head.start.starts_with("POST /upload/")),
                "{name}: {seen:?}"
            );
            seen.retain(|head| head.start == line);
            let first = answers.statuses.first().copied();
            // What follows has no route, whoever reads it as a request.
            let later = answers.statuses.iter().skip(1).all(|status| status / 100 == 4);
            let canonical = seen.iter().all(|head| {
                let lengths = head.values("content-length").len() + head.values("transfer-encoding").len();
                lengths == 1
            });
            let refused = first.is_none_or(|status| status / 100 == 4) && answers.closed;
            // A body that is not whole yet is waited for.
            let fits = refused || (matches!(first, None | Some(200)) && seen.len() == 1);
            assert!(
                fits && later && canonical,
                "{name}: {:?}, closed {}, {seen:?}",
                answers.statuses,
                answers.closed
            );
            passed += usize::from(first == Some(200));
        }
        assert!((5..30).contains(&passed), "{passed} passed");
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
            // These ask for no WebSocket, and are answered without one.
            let plain = ["HTTP/1.0", "h2c", "another protocol"].contains(&name);
            assert_eq!(
                first.status() / 100,
                if plain { 2 } else { 4 },
                "{name}: {first:?}"
            );
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
            for seen in public.heads().iter().filter(|head| head.has("upgrade")) {
                assert_eq!(oddity(seen), None, "{name}");
            }
        }
        assert!(admin.heads().is_empty(), "{:?}", admin.heads());
        assert!(public.heads().iter().all(|head| head.target() == "/chat"));
        // What was no upgrade here is none behind.
        let plain = public.heads().into_iter().filter(|head| !head.has("upgrade"));
        assert_eq!(plain.filter(|head| !head.has("http2-settings")).count(), 3);
    });
}
