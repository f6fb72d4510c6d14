//! What is refused, and that it costs nobody else anything.

use http::{Method, Request, Version};

use super::peer::{
    CONNECT, Client, DATA, HEADERS, Over, RST_STREAM, Raw, WHOLE, assert_no_connection_fields, extended,
    fields, frame, websocket,
};
use crate::support::*;

#[test]
fn what_is_no_request_for_a_websocket_is_refused_before_any_dial() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut client = Client::connect(router.address()).await;
        let mut session = client.open().await;
        let version = |request: http::request::Builder| request.header("sec-websocket-version", "13");
        let plain = Request::builder()
            .method(Method::CONNECT)
            .version(Version::HTTP_2)
            .uri("chat.example:443");
        for (request, status) in [
            (plain, 405),
            (version(extended("h2c", "/")), 501),
            (version(extended("connect-udp", "/")), 501),
            (extended("websocket", "/"), 426),
            (
                extended("websocket", "/").header("sec-websocket-version", "8"),
                426,
            ),
            (
                version(extended("websocket", "/")).header("content-length", "5"),
                400,
            ),
            (
                version(extended("websocket", "/")).header("host", "other.example"),
                400,
            ),
            (version(extended("websocket", "/a%2e%2e/%2f")), 400),
        ] {
            let request = request.body(()).unwrap();
            let what = format!("{request:?}");
            let (head, _) = client.refusal(request).await;
            assert_eq!(head.status, status, "{what}");
            assert_no_connection_fields(&head.headers);
            if status == 426 {
                assert_eq!(head.headers["sec-websocket-version"], "13");
            }
            session.echoes("not my fault").await;
        }
        assert_eq!(backend.accepted(), 1);
    });
}

#[test]
fn a_malformed_request_is_reset_and_the_connection_lives() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut raw = Raw::connect(router.address()).await;
        let with = |more: &[(&'static str, &'static str)]| [&CONNECT[..], more].concat();
        let without =
            |name: &str| -> Vec<_> { CONNECT.iter().filter(|field| field.0 != name).copied().collect() };
        let protocol_on_get = [&[(":method", "GET")][..], &CONNECT[1..]].concat();
        let heads = [
            with(&[("connection", "upgrade")]),
            with(&[("upgrade", "websocket")]),
            with(&[("transfer-encoding", "chunked")]),
            with(&[("keep-alive", "5")]),
            with(&[("te", "gzip")]),
            protocol_on_get,
            without(":scheme"),
            without(":path"),
        ];
        for (n, head) in (0..).zip(&heads) {
            let stream = 2 * n + 1;
            raw.0.write(&frame(HEADERS, WHOLE, stream, &fields(head))).await;
            let reset = raw.until(RST_STREAM, stream).await;
            assert_eq!(reset.payload, [0, 0, 0, 1], "{head:?}");
        }
        let last = 2 * u32::try_from(heads.len()).unwrap() + 1;
        raw.0.write(&frame(HEADERS, WHOLE, last, &fields(&CONNECT))).await;
        // The first of its fields is `:status: 200`.
        assert_eq!(raw.until(HEADERS, last).await.payload[0], 0x88);
        assert_eq!(backend.accepted(), 1);
    });
}

#[test]
fn a_backends_refusal_passes_with_its_body() {
    run(async {
        let answer = b"HTTP/1.1 403 Forbidden\r\nX-Why: not you\r\nConnection: close\r\nContent-Length: 9\r\n\r\nno entry\n";
        let backend = Backend::running(Script::Answer(answer.to_vec())).await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut client = Client::connect(router.address()).await;
        let (head, body) = client.refusal(websocket("/")).await;
        assert_eq!((head.status.as_u16(), body.as_str()), (403, "no entry\n"));
        assert_eq!(head.headers["x-why"], "not you");
        assert_no_connection_fields(&head.headers);
        backend.set(Script::Echo);
        client.open().await.echoes("and now").await;
    });
}

#[test]
fn a_101_that_answers_another_key_is_a_502() {
    run(async {
        let wrong = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        let backend = Backend::running(Script::Answer(wrong.to_vec())).await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut client = Client::connect(router.address()).await;
        let (head, _) = client.refusal(websocket("/")).await;
        assert_eq!(head.status, 502);
        assert_eq!(backend.accepted(), 1);
        backend.set(Script::Echo);
        client.open().await.echoes("and now").await;
    });
}

#[test]
fn a_backend_that_answers_without_upgrading_opens_nothing() {
    run(async {
        for status in ["200 OK", "204 No Content", "206 Partial Content"] {
            let answer = format!("HTTP/1.1 {status}\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n");
            let backend = Backend::running(Script::Answer(answer.into_bytes())).await;
            let router = Router::start(&Config::to(&[&backend])).await;
            let mut client = Client::connect(router.address()).await;
            // To an extended CONNECT every 2xx says that the tunnel is open.
            let (head, _) = client.refusal(websocket("/")).await;
            assert_eq!(head.status, 502, "{status}");
        }
    });
}

#[test]
fn what_comes_before_the_101_is_held_and_what_leaves_is_cancelled() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut raw = Raw::connect(router.address()).await;
        let early = Frame::text("early").masked([1, 1, 1, 1]).encode();
        raw.0.write(&frame(HEADERS, WHOLE, 1, &fields(&CONNECT))).await;
        raw.0.write(&frame(0, 0, 1, &early)).await;
        let mut server = backend.arrival().await;
        let head = server.head().await.unwrap();
        assert_eq!(server.arrivals(std::time::Duration::from_millis(200)).await, b"");
        server.write(&accept_bytes(&head, "")).await;
        assert_eq!(server.next().await.unwrap().string(), "early");

        // A request that is taken back takes its dial with it.
        raw.0.write(&frame(HEADERS, WHOLE, 3, &fields(&CONNECT))).await;
        let mut server = backend.arrival().await;
        server.head().await.unwrap();
        raw.0.write(&frame(RST_STREAM, 0, 3, &[0, 0, 0, 8])).await;
        assert_eq!(server.rest().await.0, b"");
        router
            .metric_becomes("longhaul_handshakes_total", &[("outcome", "client_gone")], 1.0)
            .await;
    });
}

#[test]
fn a_client_that_vanishes_ends_all_its_sessions() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut client = Client::connect(router.address()).await;
        let mut servers = Vec::new();
        let mut sessions = Vec::new();
        for _ in 0..5 {
            let (session, server) = super::session(&mut client, &backend).await;
            sessions.push(session);
            servers.push(server);
        }
        client.connection.abort();
        for server in &mut servers {
            server.rest().await;
        }
        drop(servers);
        for ended in router.ended(5).await {
            assert_eq!(ended["initiator"], "client");
        }
        for session in &mut sessions {
            assert!(matches!(session.next().await, Err(Over::Reset(_) | Over::Ended)));
        }
    });
}

/// Heads that could be read in two ways once they are written as HTTP/1.1.
fn ambiguous() -> Vec<Vec<(&'static str, &'static str)>> {
    let post = |path, authority| {
        vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", authority),
        ]
    };
    let with = |name, value| [post("/", "chat.example"), vec![(name, value)]].concat();
    let method = |method| [&[(":method", method)][..], &post("/", "chat.example")[1..]].concat();
    vec![
        post("upload", "chat.example"),
        post("*", "chat.example"),
        post("http://other.example/", "chat.example"),
        post("/ HTTP/1.1\r\nx: y", "chat.example"),
        post("/a b", "chat.example"),
        post("/\0", "chat.example"),
        post("/", "user@chat.example"),
        post("/", "chat.example\r\nx: y"),
        post("/", "chat.example/x"),
        post("/", ""),
        method("GET / HTTP/1.1\r\nx: y"),
        method(""),
        with("host", "other.example"),
        with("host", "chat.example:81"),
        with("x", "a\r\nb: c"),
        with("x", "a\nb: c"),
        with("x", "a\0"),
        with("x:y", "a"),
        with("x y", "a"),
        with("X", "a"),
        with("", "a"),
        with("content-length", "+1"),
        with("content-length", "1, 1"),
        with("content-length", "-1"),
        with("transfer-encoding", "chunked"),
        with("Transfer-Encoding", "chunked"),
        with("te", "chunked"),
        with("proxy-connection", "keep-alive"),
        with(":path", "/other"),
        with(":status", "200"),
        [with("content-length", "1"), vec![("content-length", "1")]].concat(),
        [with("host", "chat.example"), vec![("host", "chat.example")]].concat(),
        [vec![("x", "y")], post("/", "chat.example")].concat(),
    ]
}

#[test]
fn no_request_becomes_another_one_on_its_way_to_the_backend() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        for head in &ambiguous() {
            // What cannot even be decoded ends a connection.
            let mut raw = Raw::connect(router.address()).await;
            raw.0.write(&frame(HEADERS, WHOLE, 1, &fields(head))).await;
            let refused = raw.outcome(1).await;
            let code = |at: usize| refused.payload.get(at..at + 4);
            let is_refusal = match refused.kind {
                // `:status: 400`
                HEADERS => refused.payload[0] == 0x8c,
                // PROTOCOL_ERROR
                RST_STREAM => code(0) == Some(&[0, 0, 0, 1]),
                // The same, or COMPRESSION_ERROR
                _ => matches!(code(4), Some(&[0, 0, 0, 1 | 9])),
            };
            assert!(is_refusal, "{head:?}: {refused:?}");
        }
        assert_eq!(backend.accepted(), 0);
        let mut client = Client::connect(router.address()).await;
        client.open().await.echoes("as usual").await;
    });
}

/// A body is as long as it was said to be, or there is none.
#[test]
fn a_body_of_another_length_than_announced_is_no_request() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut raw = Raw::connect(router.address()).await;
        let head = fields(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "chat.example"),
            ("content-length", "5"),
        ]);
        const END: u8 = 1;
        raw.0.write(&frame(HEADERS, WHOLE | END, 1, &head)).await;
        assert_eq!(raw.outcome(1).await.payload, [0, 0, 0, 1]);
        for (n, body) in [(1, &b"four"[..]), (2, b"123456")] {
            let stream = 2 * n + 1;
            raw.0.write(&frame(HEADERS, WHOLE, stream, &head)).await;
            raw.0.write(&frame(DATA, END, stream, body)).await;
            assert_eq!(raw.until(RST_STREAM, stream).await.payload, [0, 0, 0, 1]);
        }
        let mut client = Client::connect(router.address()).await;
        client.open().await.echoes("as usual").await;
    });
}
