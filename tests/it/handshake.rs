//! What passes through a handshake, and when bytes begin to flow.

use std::time::Duration;

use futures_util::future::join_all;

use crate::support::*;

/// Fields that belong to the two ends; the router has no say in them.
const END_TO_END: [(&str, &str); 12] = [
    ("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA=="),
    ("Sec-WebSocket-Version", "13"),
    (
        "Sec-WebSocket-Protocol",
        "graphql-transport-ws,  v2.chat ,bearer.abc",
    ),
    (
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_max_window_bits; server_no_context_takeover",
    ),
    ("Sec-WebSocket-Extensions", "x-webkit-deflate-frame"),
    ("Origin", "https://App.Example.com:8443"),
    ("Cookie", "a=1; b=\"two words\"; c=%7B%22x%22%3A1%7D"),
    ("Authorization", "Bearer abc.def.ghi"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)  two  spaces"),
    ("Accept-Language", "de-CH,de;q=0.9"),
    ("X-Empty", ""),
    (
        "X-Long",
        "................................................................................................",
    ),
];

#[test]
fn every_end_to_end_field_and_the_raw_target_reach_the_backend_byte_for_byte() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let target = "/room/a%20b%7e~!$&'()*+,;=:@/%E4%B8%96//x?q=%2F&empty=&flag&utf=%c3%bc&a=1&a=2;b?c/d";
        let mut request = Request::bare(&format!("GET {target} HTTP/1.1"))
            .field("Host", "chat.example.com:8443")
            .field("upgrade", "WebSocket")
            .field("connection", "keep-alive, Upgrade");
        for (name, value) in END_TO_END {
            request = request.field(name, value);
        }
        request = request.field("X-Bytes", b"caf\xe9 \xfc".to_vec());
        let mut client = Conn::connect(router.address()).await;
        client.write(&request.bytes()).await;
        let head = backend.arrival().await.accept_upgrade().await;

        assert_eq!(head.start, format!("GET {target} HTTP/1.1"));
        assert_eq!(head.value("host"), Some("chat.example.com:8443"));
        for (name, _) in END_TO_END {
            let sent = END_TO_END
                .iter()
                .filter(|(other, _)| other == &name)
                .map(|(_, value)| value.as_bytes());
            assert_eq!(head.values(name), sent.collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(head.values("x-bytes"), [b"caf\xe9 \xfc"]);
        assert!(
            head.value("upgrade")
                .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        );
        assert!(
            head.value("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
        );
        assert!(
            !head.has("content-length") && !head.has("transfer-encoding"),
            "{head:?}"
        );
        assert_eq!(client.head().await.expect("an answer").status(), 101);
    });
}

#[test]
fn the_backends_101_reaches_the_client_byte_for_byte() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let fields = [
            ("Sec-WebSocket-Protocol", "v2.chat"),
            (
                "Sec-WebSocket-Extensions",
                "permessage-deflate; server_max_window_bits=10",
            ),
            ("Set-Cookie", "sid=1; Path=/; HttpOnly"),
            ("Set-Cookie", "lb=\"x, y\"; Max-Age=3"),
            ("X-Server", "one  two"),
        ];
        let lines: String = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let mut server = backend.arrival().await;
        let request = server.head().await.expect("a request");
        server.write(&accept_bytes(&request, &lines)).await;
        let head = client.head().await.expect("an answer");

        assert_eq!(head.status(), 101);
        for (name, _) in fields {
            let sent = fields
                .iter()
                .filter(|(other, _)| other == &name)
                .map(|(_, value)| value.as_bytes());
            assert_eq!(head.values(name), sent.collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(
            head.value("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert!(
            head.value("upgrade")
                .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        );
        assert!(
            head.value("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
        );
        assert!(
            !head.has("content-length") && !head.has("transfer-encoding"),
            "{head:?}"
        );
    });
}

#[test]
fn bytes_sent_early_wait_for_the_101_and_arrive_in_order() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        let early = Frame::binary(Pattern::new(7).bytes(64 * 1024 - 14))
            .masked([1, 2, 3, 4])
            .encode();
        let mut client = visitor.start(&Request::upgrade("/")).await;
        client.write(&early).await;
        let mut server = backend.arrival().await;
        let request = server.head().await.expect("a request");
        assert_eq!(
            server.arrivals(Duration::from_millis(400)).await,
            b"",
            "bytes before the 101"
        );

        server.write(&accept_bytes(&request, "")).await;
        assert_eq!(server.take(early.len()).await, early);
        client.send(Frame::text("later")).await;
        assert_eq!(server.frame().await.string(), "later");
        assert_eq!(
            client.head().await.expect("an answer").status(),
            entry.door.switched()
        );
    }));
}

#[test]
fn bytes_sent_early_never_reach_a_backend_that_refuses() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        let early = Frame::text("GET /admin HTTP/1.1\r\n")
            .masked([1, 2, 3, 4])
            .encode();
        let mut client = visitor.start(&Request::upgrade("/")).await;
        client.write(&early).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        server
            .write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .await;
        let response = client.response().await;

        assert_eq!((response.status(), response.text().as_str()), (403, "no"));
        assert_eq!(server.arrivals(Duration::from_millis(400)).await, b"");
        assert!(
            !backend.arrives_within(Duration::from_millis(100)).await,
            "the early bytes were taken for a request"
        );
    }));
}

#[test]
fn a_client_that_floods_before_the_101_is_held_at_64_kib() {
    run(at_every_door(async |entry, backend| {
        let (router, mut visitor) = (&entry.router, entry.visitor().await);
        let (mut held, mut before) = (Vec::new(), 0);
        for n in 0..25 {
            // What the first clients take (code, buffers of the workers) is not what one more takes.
            if n == 5 {
                before = router.memory();
            }
            let mut client = visitor.start(&Request::upgrade("/")).await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            let flood = tokio::spawn(async move {
                let chunk = vec![0x82; 64 * 1024];
                for _ in 0..256 {
                    client.try_write(&chunk).await.ok();
                }
            });
            held.push((server, flood));
        }
        join_all(held.iter_mut().map(async |(server, _)| {
            assert_eq!(server.arrivals(Duration::from_millis(400)).await, b"");
        }))
        .await;
        assert!(
            held.iter().all(|(_, flood)| !flood.is_finished()),
            "16 MiB were taken before the 101"
        );
        let grown = router.memory().saturating_sub(before) / 20;
        println!("{grown} bytes for each client");
        assert!(grown <= 256 * 1024, "{grown} bytes for each client");
    }));
}

#[test]
fn frames_in_the_same_segment_as_the_101_reach_the_client() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let mut server = backend.arrival().await;
        let request = server.head().await.expect("a request");
        let large = Pattern::new(3).bytes(100_000);
        let mut bytes = accept_bytes(&request, "");
        bytes.extend(Frame::text("hello").encode());
        bytes.extend(Frame::binary(large.clone()).encode());
        server.write(&bytes).await;

        assert_eq!(client.head().await.expect("an answer").status(), 101);
        assert_eq!(client.frame().await.string(), "hello");
        assert_eq!(client.frame().await.payload, large);
    });
}

#[test]
fn a_session_works_when_every_byte_comes_alone() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut client = Conn::connect(router.address()).await;
        client.write_bytewise(&Request::upgrade("/alone").bytes()).await;
        let mut server = backend.arrival().await;
        let request = server.head().await.expect("a request");
        server.write_bytewise(&accept_bytes(&request, "")).await;
        server
            .write_bytewise(&Frame::text("from the backend").encode())
            .await;
        assert_eq!(client.head().await.expect("an answer").status(), 101);
        assert_eq!(client.frame().await.string(), "from the backend");
        let frame = client.encode(Frame::binary(vec![9; 300]));
        client.write_bytewise(&frame).await;
        assert_eq!(server.frame().await.payload, [9; 300]);
    });
}

#[test]
fn each_upgrade_gets_a_backend_connection_of_its_own() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        let mut client = Conn::connect(router.address()).await;
        let mut kept = Vec::new();
        for _ in 0..3 {
            client.write(&Request::upgrade("/").bytes()).await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            server.write(refusal).await;
            assert_eq!(client.response().await.status(), 403);
            kept.push(server);
        }
        for mut server in kept {
            assert_eq!(
                server.rest().await.0,
                b"",
                "a second request on the same backend connection"
            );
        }
    });
}

#[test]
fn a_client_that_leaves_before_the_101_frees_the_backend() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        client.reset();
        assert_eq!(
            within(SOON, "the backend's connection ends", server.rest())
                .await
                .0,
            b""
        );
    });
}

/// With Nagle's algorithm a backend sends what follows its 101 only when that has been acknowledged, which a kernel may put
/// off by 40 ms or more.
#[test]
fn a_backend_with_nagles_algorithm_is_heard_at_once() {
    run(async {
        let backend = Backend::manual().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut fastest = Duration::MAX;
        for _ in 0..10 {
            let mut client = Conn::connect(router.address()).await;
            let started = tokio::time::Instant::now();
            client.write(&Request::upgrade("/").bytes()).await;
            let mut server = backend.arrival().await;
            server.tcp().set_nodelay(false).expect("a socket");
            server.accept_upgrade().await;
            server.send(Frame::text("first")).await;
            assert_eq!(client.head().await.expect("an answer").status(), 101);
            assert_eq!(client.frame().await, Frame::text("first"));
            fastest = fastest.min(started.elapsed());
        }
        // One in ten is fast on the busiest machine; where acknowledgements are late none is.
        assert!(fastest < Duration::from_millis(35), "{fastest:?}");
    });
}
