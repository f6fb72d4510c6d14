//! Handshakes that end without a session: whose fault it was decides the status.

use std::time::Duration;

use crate::support::*;

#[test]
fn a_backends_refusal_passes_and_the_client_may_try_again_on_the_same_connection() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        for (status, reason) in [
            (200, "OK"),
            (302, "Found"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (426, "Upgrade Required"),
            (500, "Internal Server Error"),
            (503, "Service Unavailable"),
        ] {
            let mut client = visitor.start(&Request::upgrade("/")).await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            let body = format!("the backend says {status}");
            let fields = "Location: /login?next=%2F\r\nWWW-Authenticate: Bearer realm=\"x\"\r\nRetry-After: 7\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: text/plain\r\n";
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} {reason}\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
            server.write(answer.as_bytes()).await;
            let response = client.response().await;
            if entry.door.is_http2() && status == 200 {
                // To an extended CONNECT it would say that the tunnel is open.
                assert_eq!(response.status(), 502);
                continue;
            }
            assert_eq!((response.status(), response.text()), (status, body));
            assert_eq!(
                response.head.value("location"),
                Some("/login?next=%2F"),
                "{status}"
            );
            assert_eq!(
                response.head.value("www-authenticate"),
                Some("Bearer realm=\"x\""),
                "{status}"
            );
            assert_eq!(response.head.value("retry-after"), Some("7"), "{status}");
            assert_eq!(response.head.values("set-cookie"), [b"a=1", b"b=2"], "{status}");
            assert_eq!(
                response.head.value("content-type"),
                Some("text/plain"),
                "{status}"
            );

            let mut client = visitor.again(client, &Request::upgrade("/again")).await;
            let mut server = backend.arrival().await;
            assert_eq!(server.accept_upgrade().await.target(), "/again");
            assert_eq!(
                client.head().await.expect("an answer").status(),
                entry.door.switched(),
                "after {status}"
            );
        }
    }));
}

#[test]
fn a_refusal_of_unknown_length_passes_too() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        let chunked = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        let until_end = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nhello world";
        for answer in [chunked, until_end] {
            let mut client = visitor.start(&Request::upgrade("/")).await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            server.write(answer.as_bytes()).await;
            drop(server);
            let response = client.response().await;
            assert_eq!(
                (response.status(), response.text().as_str()),
                (403, "hello world")
            );
        }
    }));
}

/// Header lines of a 101, each list wrong in one way.
fn invalid_101s(accept: &str) -> Vec<(&'static str, String)> {
    let (up, conn) = ("Upgrade: websocket\r\n", "Connection: Upgrade\r\n");
    let lower = accept.to_lowercase();
    let accept = format!("Sec-WebSocket-Accept: {accept}\r\n");
    vec![
        ("no Upgrade", format!("{conn}{accept}")),
        ("another protocol", format!("Upgrade: h2c\r\n{conn}{accept}")),
        (
            "two protocols",
            format!("Upgrade: websocket, h2c\r\n{conn}{accept}"),
        ),
        ("no Connection", format!("{up}{accept}")),
        (
            "a Connection without upgrade",
            format!("{up}Connection: keep-alive\r\n{accept}"),
        ),
        ("no Accept", format!("{up}{conn}")),
        (
            "the Accept of another key",
            format!("{up}{conn}Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"),
        ),
        (
            "a lower-case Accept",
            format!("{up}{conn}Sec-WebSocket-Accept: {lower}\r\n"),
        ),
        ("an empty Accept", format!("{up}{conn}Sec-WebSocket-Accept:\r\n")),
        (
            "two Accepts",
            format!("{up}{conn}{accept}Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"),
        ),
        (
            "a Content-Length",
            format!("{up}{conn}{accept}Content-Length: 5\r\n"),
        ),
        (
            "a Transfer-Encoding",
            format!("{up}{conn}{accept}Transfer-Encoding: chunked\r\n"),
        ),
    ]
}

#[test]
fn a_101_that_is_not_fully_valid_is_502_and_opens_nothing() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        for case in 0..invalid_101s("").len() {
            let mut client = visitor.start(&Request::upgrade("/")).await;
            let mut server = backend.arrival().await;
            let request = server.head().await.expect("a request");
            let (name, fields) = invalid_101s(&accept_of(&request)).swap_remove(case);
            let leak = "LEAKED-BY-THE-BACKEND";
            server
                .write(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n{leak}").as_bytes())
                .await;
            let response = client.response().await;
            assert_eq!(response.status(), 502, "{name}");
            assert!(
                !format!("{:?}{}", response.head, response.text()).contains(leak),
                "{name}"
            );
            server.try_write(leak.as_bytes()).await.ok();
            let mut client = visitor.again(client, &no_version_that_is_known()).await;
            assert_eq!(
                client.response().await.status(),
                426,
                "{name}: the client's connection is still HTTP"
            );
        }
        assert!(entry.router.log.all("session opened").is_empty());
    }));
}

#[test]
fn a_200_that_looks_like_a_switch_opens_no_tunnel() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        let mut client = visitor.start(&Request::upgrade("/")).await;
        let mut server = backend.arrival().await;
        let accept = accept_of(&server.head().await.expect("a request"));
        let fields =
            format!("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n");
        server
            .write(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nokLEAKED").as_bytes())
            .await;
        let response = client.response().await;
        assert!(matches!(response.status(), 200 | 502), "{response:?}");
        let mut client = visitor.again(client, &no_version_that_is_known()).await;
        assert_eq!(
            client.response().await.status(),
            426,
            "the client's connection is still HTTP"
        );
        assert_eq!(
            server.arrivals(Duration::from_millis(200)).await,
            b"",
            "bytes through a tunnel that nobody opened"
        );
    }));
}

/// A request that the router answers by itself, on a connection that stays.
fn no_version_that_is_known() -> Request {
    Request::upgrade("/").with("Sec-WebSocket-Version", "8")
}

/// Requests that may not be upgraded, and the status that says why.
fn bad_handshakes() -> Vec<(&'static str, Request, u16)> {
    let good = Request::upgrade("/");
    vec![
        (
            "another version",
            good.clone().with("Sec-WebSocket-Version", "8"),
            426,
        ),
        (
            "a version out of range",
            good.clone().with("Sec-WebSocket-Version", "1337"),
            426,
        ),
        ("no version", good.clone().without("Sec-WebSocket-Version"), 426),
        ("no key", good.clone().without("Sec-WebSocket-Key"), 400),
        (
            "a key of 15 bytes",
            good.clone().with("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAA"),
            400,
        ),
        (
            "a key of 17 bytes",
            good.clone().with("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAAA="),
            400,
        ),
        (
            "a key that is not base64",
            good.clone().with("Sec-WebSocket-Key", "!!!!!!!!!!!!!!!!!!!!!!=="),
            400,
        ),
        (
            "two keys",
            good.clone()
                .field("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA=="),
            400,
        ),
        ("a POST", good.clone().line("POST / HTTP/1.1"), 400),
        ("no Host", good.clone().without("Host"), 400),
        (
            "CONNECT",
            Request::bare("CONNECT chat.example.com:80 HTTP/1.1").field("Host", "chat.example.com:80"),
            405,
        ),
    ]
}

#[test]
fn a_request_that_is_no_good_handshake_is_refused_before_any_dial() {
    run(async {
        let (router, backend) = router_and_backend().await;
        for (name, request, status) in bad_handshakes() {
            let (_client, head) = Conn::upgrade(router.address(), &request).await;
            let near = |class| status == class && head.status() / 100 == 4;
            // A version that is missing, and a method that cannot upgrade, may be called either wrong or plain.
            let fits = head.status() == status
                || (near(426) || near(400)) && matches!(name, "no version" | "a POST");
            assert!(fits, "{name}: {head:?}");
            if head.status() == 426 {
                assert_eq!(
                    head.value("sec-websocket-version"),
                    Some("13"),
                    "{name}: {head:?}"
                );
            }
        }
        assert!(
            !backend.arrives_within(Duration::from_millis(100)).await,
            "a refused request reached the backend"
        );
    });
}

#[test]
fn an_empty_body_announced_on_an_upgrade_is_fine() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let request = Request::upgrade("/").field("Content-Length", "0");
        let (mut client, head) = Conn::upgrade(router.address(), &request).await;
        assert_eq!(head.status(), 101);
        client.echoes("fine").await;
    });
}

#[test]
fn no_usable_endpoint_is_503_at_once_with_retry_after() {
    run(async {
        let config = Config::default()
            .service("chat", &[], "")
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        let started = tokio::time::Instant::now();
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let response = client.response().await;
        assert_eq!(response.status(), 503);
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        let wait = response
            .head
            .value("retry-after")
            .and_then(|value| value.parse::<u32>().ok());
        assert!(
            wait.is_some_and(|seconds| (1..=60).contains(&seconds)),
            "{:?}",
            response.head
        );
        assert_eq!(response.head.value("cache-control"), Some("no-store"));
    });
}

#[test]
fn endpoints_that_all_refuse_are_502() {
    run(async {
        let refusing = [Refusing::new(), Refusing::new(), Refusing::new()];
        let addresses = refusing.each_ref().map(|endpoint| endpoint.address);
        let config =
            Config::default()
                .service("chat", &addresses, "")
                .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        assert_eq!(head.status(), 502);
    });
}

#[test]
fn a_dial_into_a_black_hole_is_504_after_the_connect_timeout() {
    run(async {
        let hole = BlackHole::new();
        let keys = "connect_timeout: 300ms, handshake_timeout: 3s";
        let config =
            Config::default()
                .service("chat", &[hole.address], keys)
                .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        let started = tokio::time::Instant::now();
        let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        let took = started.elapsed();
        assert_eq!(head.status(), 504);
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_secs(5),
            "{took:?}"
        );
    });
}

#[test]
fn a_backend_that_never_answers_is_504_after_the_handshake_timeout() {
    run(async {
        let backend = Backend::running(Script::Silent).await;
        let router = Router::start(&Config::over(&[&backend], "handshake_timeout: 500ms", "")).await;
        let started = tokio::time::Instant::now();
        let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        let took = started.elapsed();
        assert_eq!(head.status(), 504);
        assert!(
            took >= Duration::from_millis(400) && took < Duration::from_secs(5),
            "{took:?}"
        );
    });
}

#[test]
fn an_unknown_path_is_404_and_dials_nobody() {
    run(async {
        let backend = Backend::echo().await;
        let config =
            Config::default()
                .service("chat", &[backend.address], "")
                .route(r#"path: "/chat""#, "chat", "");
        let router = Router::start(&config).await;
        let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/other")).await;
        assert_eq!((head.status(), backend.accepted()), (404, 0));
    });
}

/// The time that the answer took is not the client's.
#[test]
fn after_a_slow_refusal_the_client_has_all_its_time_to_try_again() {
    run(async {
        let backend = Backend::manual().await;
        let router = Router::start(&Config::to(&[&backend]).line("limits: { request_deadline: 1s }")).await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        assert_eq!(client.arrivals(Duration::from_millis(1200)).await, b"");
        server
            .write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            .await;
        assert_eq!(client.response().await.status(), 401);
        assert_eq!(client.arrivals(Duration::from_millis(300)).await, b"");
        client.write(&Request::upgrade("/again").bytes()).await;
        let mut server = backend.arrival().await;
        assert_eq!(server.accept_upgrade().await.target(), "/again");
        assert_eq!(client.head().await.expect("an answer").status(), 101);
    });
}
