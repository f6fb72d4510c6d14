//! Requests that are no handshakes: every method, bodies that stream both ways, and backends that go away.
//!
//! Backends are played by hand: a test sees what has reached the backend before it lets the client go on, so nothing that
//! is buffered on the way goes unnoticed. Clients and servers that others wrote are in `plain_real`.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::support::*;

/// A request for `/`, sent to this router.
async fn sent(router: &Router, line: &str, more: &str) -> Conn {
    let mut client = Conn::connect(router.address()).await;
    client
        .write(format!("{line} HTTP/1.1\r\nHost: chat.example.com\r\n{more}\r\n").as_bytes())
        .await;
    client
}

async fn answer(server: &mut Conn, fields: &str, body: &str) {
    let length = body.len();
    server
        .write(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}").as_bytes())
        .await;
}

#[test]
fn every_method_reaches_the_backend_with_its_body_and_comes_back() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut client = Conn::connect(router.address()).await;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"] {
            let line = format!("{method} /a%20b?c=d&e HTTP/1.1");
            let request = Request::bare(&line).field("Host", "chat.example.com");
            let body = if method == "GET" { "" } else { "the body" };
            let request = request.field("Content-Length", body.len().to_string());
            client.write(&[&request.bytes(), body.as_bytes()].concat()).await;
            let mut server = backend.arrival().await;
            let head = server.head().await.expect("a request");
            assert_eq!(head.start, line);
            assert_eq!(server.body(&head).await, body.as_bytes(), "{method}");
            assert!(!head.has("upgrade") && !head.has("connection"), "{head:?}");
            let fields = "X-From: the backend\r\nConnection: close\r\n";
            answer(&mut server, fields, "hello").await;
            let response = client.response().await;
            assert_eq!((response.status(), response.text()), (200, "hello".to_owned()));
            assert_eq!(response.head.value("x-from"), Some("the backend"));
        }
        let seen = &[("code", "2xx"), ("service", "chat")];
        router.metric_becomes("longhaul_requests_total", seen, 7.0).await;
        let counted = [("outcome", "not_upgrade")];
        assert_eq!(
            router.metrics().await.sum("longhaul_handshakes_total", &counted),
            0.0
        );
    });
}

#[test]
fn answers_without_a_body_keep_what_they_say_of_it() {
    run(async {
        let (router, backend) = router_and_backend().await;
        for (line, answer, length) in [
            ("HEAD /", "200 OK\r\nContent-Length: 1234", Some("1234")),
            ("HEAD /", "200 OK\r\nTransfer-Encoding: chunked", None),
            ("GET /", "204 No Content", None),
            ("GET /", "304 Not Modified\r\nETag: \"a\"", None),
            ("GET /", "200 OK\r\nContent-Length: 0", Some("0")),
        ] {
            let mut client = sent(&router, line, "").await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            server
                .write(format!("HTTP/1.1 {answer}\r\nConnection: close\r\n\r\n").as_bytes())
                .await;
            let head = client.head().await.expect("an answer");
            assert!(answer.starts_with(&head.status().to_string()), "{head:?}");
            assert_eq!(head.value("content-length"), length, "{answer}");
            client
                .write(&Request::upgrade("/").with("Sec-WebSocket-Version", "8").bytes())
                .await;
            let next = client.head().await.expect("the next answer at once");
            assert_eq!(next.status(), 426, "{answer}");
        }
    });
}

#[test]
fn a_length_that_a_backend_says_twice_is_said_once() {
    run(async {
        let (router, backend) = router_and_backend().await;
        for twice in ["Content-Length: 4\r\nContent-Length: 4", "Content-Length: 4, 4"] {
            for line in ["GET /", "HEAD /"] {
                let mut client = sent(&router, line, "").await;
                let mut server = backend.arrival().await;
                server.head().await.expect("a request");
                let body = if line == "GET /" { "body" } else { "" };
                let answer = format!("HTTP/1.1 200 OK\r\n{twice}\r\nConnection: close\r\n\r\n{body}");
                server.write(answer.as_bytes()).await;
                let head = client.head().await.expect("an answer");
                assert_eq!(head.values("content-length"), [b"4"], "{line} {twice}");
            }
        }
    });
}

#[test]
fn a_post_without_a_body_says_so() {
    run(async {
        let (router, backend) = router_and_backend().await;
        for more in ["Content-Length: 0\r\n", ""] {
            let mut client = sent(
                &router,
                "POST /negotiate",
                &format!("{more}Connection: close\r\n"),
            )
            .await;
            let mut server = backend.arrival().await;
            let head = server.head().await.expect("a request");
            // Kestrel answers 411 to one that does not.
            assert_eq!(head.value("content-length"), Some("0"), "{more:?}");
            server
                .write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await;
            assert_eq!(client.response().await.status(), 200);
        }
    });
}

#[test]
fn events_pass_one_by_one_as_they_come() {
    run(at_every_door(async |entry, backend| {
        let router = &entry.router;
        let request = Request::plain("/events").field("Accept", "text/event-stream");
        let mut client = entry.visitor().await.ask(&request).await;
        let mut server = backend.arrival().await;
        let head = server.head().await.expect("a request");
        assert!(!head.has("accept-encoding"));
        server
            .write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
            .await;
        let head = client.head().await.expect("an answer before any event");
        let chunked = (!entry.door.is_http2()).then_some("chunked");
        assert_eq!(head.value("transfer-encoding"), chunked);
        assert!(!head.has("content-encoding"));
        for n in 0..100 {
            let event = format!("data: {n:03}\n\n");
            server.write(format!("b\r\n{event}\r\n").as_bytes()).await;
            // The next is not sent before this one is here.
            let framed = entry.door.framed(&event);
            assert_eq!(client.take(framed.len()).await, framed);
        }
        assert_eq!(router.metrics().await.sum("longhaul_sessions_active", &[]), 0.0);
        let services = router.get("/api/services").await.json();
        assert_eq!(services["services"][0]["endpoints"][0]["sessions"], 1);
        drop(server);
        // The answer was not whole, and the client is not told that it was.
        let (rest, end) = client.rest().await;
        assert_eq!(rest, b"");
        if entry.door.is_http2() {
            assert_eq!(end, End::Reset);
        }
        eventually(SOON, "the endpoint has no load any more", || async {
            let services = router.get("/api/services").await.json();
            (services["services"][0]["endpoints"][0]["sessions"] == 0).then_some(())
        })
        .await;
    }));
}

#[test]
fn a_poll_that_is_long_is_answered_and_one_that_is_taken_back_ends_at_the_backend() {
    run(at_every_door(async |entry, backend| {
        let mut visitor = entry.visitor().await;
        let mut client = visitor.ask(&Request::plain("/poll")).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        // Longer than any interval of the router's but its deadlines.
        assert_eq!(client.arrivals(Duration::from_millis(1500)).await, b"");
        answer(&mut server, "Connection: close\r\n", "at last").await;
        assert_eq!(client.response().await.text(), "at last");

        let client = visitor.ask(&Request::plain("/poll")).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        client.reset();
        assert_eq!(server.rest().await.0, b"");
        entry
            .router
            .metric_becomes("longhaul_sessions_active", &[], 0.0)
            .await;
        // On HTTP/2 the connection of both is still there.
        let (mut client, mut server) = visitor.session(backend).await;
        client.send(Frame::text("next")).await;
        assert_eq!(server.frame().await.string(), "next");
    }));
}

#[test]
fn a_body_streams_to_the_backend_and_trailers_pass_both_ways() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let fields = "Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum, X-Real-IP\r\n";
        let mut client = sent(&router, "POST /up", fields).await;
        let mut server = backend.arrival().await;
        let head = server.head().await.expect("a request before its body");
        assert_eq!(head.value("transfer-encoding"), Some("chunked"));
        assert_eq!(head.value("te"), Some("trailers"));
        for n in 0..20 {
            client.write(format!("4\r\n{n:04}\r\n").as_bytes()).await;
            assert_eq!(server.take(9).await, format!("4\r\n{n:04}\r\n").as_bytes());
        }
        client
            .write(b"0\r\nX-Sum: 20\r\nX-Real-IP: 6.6.6.6\r\n\r\n")
            .await;
        let end = server.take(b"0\r\nx-sum: 20\r\n\r\n".len()).await;
        assert_eq!(String::from_utf8_lossy(&end), "0\r\nx-sum: 20\r\n\r\n");
        server
            .write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Done\r\n\r\n2\r\nok\r\n0\r\nX-Done: yes\r\n\r\n")
            .await;
        let head = client.head().await.expect("an answer");
        assert_eq!(head.value("trailer"), Some("X-Done"));
        let body = b"2\r\nok\r\n0\r\nx-done: yes\r\n\r\n";
        assert_eq!(client.take(body.len()).await, body);
    });
}

#[test]
fn an_answer_may_begin_before_the_request_has_ended() {
    run(at_every_door(async |entry, backend| {
        let request = Request::plain("/chat").line("POST /chat HTTP/1.1");
        let request = request.field("Transfer-Encoding", "chunked");
        let mut client = entry.visitor().await.start(&request).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        server
            .write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        client.head().await.expect("an answer");
        let (up, down) = (entry.door.framed("a"), entry.door.framed("b"));
        for _ in 0..10 {
            client.write(&up).await;
            assert_eq!(server.take(6).await, b"1\r\na\r\n");
            server.write(b"1\r\nb\r\n").await;
            assert_eq!(client.take(down.len()).await, down);
        }
    }));
}

#[test]
fn a_body_that_waits_for_100_is_sent_when_the_backend_says_so() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let fields = "Content-Length: 4\r\nExpect: 100-continue\r\n";
        let mut client = sent(&router, "PUT /file", fields).await;
        let mut server = backend.arrival().await;
        let head = server.head().await.expect("a request");
        assert_eq!(head.value("expect"), Some("100-continue"));
        server
            .write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .await;
        assert_eq!(client.head().await.expect("a 100").status(), 100);
        client.write(b"body").await;
        assert_eq!(server.take(4).await, b"body");
        answer(&mut server, "", "stored").await;
        assert_eq!(client.response().await.text(), "stored");
    });
}

#[test]
fn a_backend_that_refuses_at_once_gets_no_body_and_asks_for_none() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let fields = "Content-Length: 4\r\nExpect: 100-continue\r\n";
        let mut client = sent(&router, "PUT /file", fields).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        server
            .write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
            .await;
        let head = client.head().await.expect("an answer");
        assert_eq!(head.status(), 413, "no 100 before it");
        // Neither connection can be used again: nobody knows whether the body will follow.
        assert_eq!(client.rest().await.0, b"");
        assert_eq!(server.rest().await.0, b"");
    });
}

#[test]
fn a_backend_that_knows_no_100_gets_the_body_all_the_same() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let fields = "Content-Length: 4\r\nExpect: 100-continue\r\n";
        let mut client = sent(&router, "PUT /file", fields).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        assert_eq!(client.head().await.expect("a 100 of the router's").status(), 100);
        client.write(b"body").await;
        assert_eq!(server.take(4).await, b"body");
    });
}

#[test]
fn connections_to_a_backend_are_used_again_and_never_for_a_session() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("workers: 1")).await;
        let mut client = Conn::connect(router.address()).await;
        for _ in 0..20 {
            client.write(&Request::plain("/").bytes()).await;
            assert_eq!(client.response().await.status(), 200);
        }
        assert_eq!((backend.accepted(), backend.heads().len()), (1, 20));
        open(&router).await.echoes("on a connection of its own").await;
        assert_eq!(backend.accepted(), 2);
        client.write(&Request::plain("/").bytes()).await;
        assert_eq!(client.response().await.status(), 200);
        assert_eq!(backend.accepted(), 2);
    });
}

#[test]
fn a_connection_that_the_backend_has_closed_is_replaced_unseen() {
    run(async {
        let (router, backend) = router_and_backend().await;
        for round in 0..20 {
            let mut client = sent(&router, "GET /", "").await;
            // The one of the round before was closed when the next request may already have been on its way.
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            answer(&mut server, "", "ok").await;
            assert_eq!(client.response().await.text(), "ok", "{round}");
            drop(server);
        }
        let failed = &[("code", "5xx")];
        assert_eq!(router.metrics().await.sum("longhaul_requests_total", failed), 0.0);
    });
}

#[test]
fn polls_that_end_all_at_once_find_their_connections_again() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut clients = Vec::new();
        let mut servers = Vec::new();
        for _ in 0..100 {
            clients.push(sent(&router, "GET /poll", "").await);
            servers.push(backend.arrival().await);
        }
        for again in [true, false] {
            for server in &mut servers {
                server.head().await.expect("a poll on every connection");
                answer(server, "", "news").await;
            }
            for client in &mut clients {
                assert_eq!(client.response().await.status(), 200);
                if again {
                    client
                        .write(b"GET /poll HTTP/1.1\r\nHost: chat.example.com\r\n\r\n")
                        .await;
                }
            }
        }
        // Nobody polls any more: most of the connections go, one after the other.
        let mut ended: FuturesUnordered<_> = servers.iter_mut().map(Conn::head).collect();
        for _ in 0..30 {
            assert!(ended.next().await.expect("one of a hundred").is_none());
        }
    });
}

#[test]
fn a_backend_says_how_long_it_keeps_a_connection_and_is_believed() {
    run(async {
        let backend = Backend::manual().await;
        let router = Router::start(&Config::to(&[&backend]).line("workers: 1")).await;
        let mut client = Conn::connect(router.address()).await;
        for (announced, again) in [("timeout=1", false), ("timeout=3, max=9", true)] {
            client.write(&Request::plain("/").bytes()).await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            answer(&mut server, &format!("Keep-Alive: {announced}\r\n"), "ok").await;
            assert_eq!(client.response().await.text(), "ok");
            if again {
                client.write(&Request::plain("/").bytes()).await;
                server.head().await.expect("the next request");
                answer(&mut server, &format!("Keep-Alive: {announced}\r\n"), "ok").await;
                assert_eq!(client.response().await.text(), "ok");
            }
            assert_eq!(server.rest().await, (Vec::new(), End::Finished), "{announced}");
        }
    });
}

#[test]
fn what_cannot_be_sent_twice_takes_no_connection_that_was_idle() {
    run(async {
        let backend = Backend::manual().await;
        let router = Router::start(&Config::to(&[&backend]).line("workers: 1")).await;
        let mut client = sent(&router, "GET /", "").await;
        let mut first = backend.arrival().await;
        first.head().await.expect("a request");
        answer(&mut first, "", "ok").await;
        assert_eq!(client.response().await.text(), "ok");
        measure_for(Duration::from_millis(1100)).await;
        let mut client = sent(&router, "POST /", "").await;
        let mut second = backend.arrival().await;
        second.head().await.expect("a request on a connection of its own");
        answer(&mut second, "", "ok").await;
        assert_eq!(client.response().await.text(), "ok");
        let _client = sent(&router, "POST /", "").await;
        second.head().await.expect("a request right after the one before");
    });
}

#[test]
fn an_endpoint_that_refuses_is_left_for_another_whatever_the_method() {
    run(async {
        let (dead, alive) = (Refusing::new(), Backend::echo().await);
        let config = Config::default()
            .service("chat", &[dead.address, alive.address], "balance: round-robin")
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        for method in ["GET", "POST", "DELETE", "PATCH"] {
            let mut client = sent(&router, &format!("{method} /"), "Content-Length: 4\r\n").await;
            client.write(b"body").await;
            assert_eq!(client.response().await.status(), 200, "{method}");
        }
        router
            .metric_becomes("longhaul_endpoints", &[("state", "ejected")], 1.0)
            .await;
    });
}

#[test]
fn only_what_may_be_repeated_is_sent_twice() {
    run(async {
        for (line, fields, body, status) in [
            ("GET /", "", "", 200),
            ("DELETE /", "", "", 200),
            ("POST /", "Content-Length: 0\r\n", "", 502),
            ("POST /", "Content-Length: 4\r\n", "body", 502),
            ("PUT /", "Content-Length: 4\r\n", "body", 502),
        ] {
            let backends = [
                Backend::running(Script::Reset).await,
                Backend::running(Script::Reset).await,
                Backend::echo().await,
            ];
            let config = Config::over(&backends.each_ref(), "balance: round-robin", "");
            let router = Router::start(&config).await;
            // Round-robin may begin anywhere, but three requests begin everywhere.
            let mut statuses = Vec::new();
            for _ in 0..3 {
                let mut client = sent(&router, line, fields).await;
                client.write(body.as_bytes()).await;
                statuses.push(client.response().await.status());
            }
            let seen: usize = backends.iter().map(|backend| backend.heads().len()).sum();
            statuses.sort_unstable();
            match status {
                200 => assert_eq!(statuses, [200, 200, 200], "{line}"),
                // Each was sent once, whatever became of it.
                _ => assert_eq!((statuses, seen), (vec![200, 502, 502], 3), "{line} {fields}"),
            }
        }
    });
}

#[test]
fn answers_that_make_no_sense_are_502_and_go_no_further() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "a".repeat(10 << 20));
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (name, bytes) in [
            ("garbage", "LEAK is no answer\r\n\r\n".to_owned()),
            ("a head without end", long),
            (
                "both lengths",
                format!("HTTP/1.1 200 OK\r\n{chunked}Content-Length: 4\r\n\r\n0\r\n\r\nLEAK"),
            ),
            (
                "both lengths, the other way round",
                format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{chunked}\r\n0\r\n\r\nLEAK"),
            ),
            (
                "two lengths",
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nLEAKS".to_owned(),
            ),
            (
                "another coding",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nLEAK\r\n0\r\n\r\n"
                    .to_owned(),
            ),
            (
                "a switch that nobody asked for",
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nLEAK"
                    .to_owned(),
            ),
            (
                "a control character",
                "HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: 4\r\n\r\nLEAK".to_owned(),
            ),
        ] {
            let mut client = sent(&router, "GET /", "").await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            server.try_write(bytes.as_bytes()).await.ok();
            let response = client.response().await;
            assert_eq!(response.status(), 502, "{name}");
            assert!(!response.text().contains("LEAK"), "{name}");
        }
        assert!(router.memory() < 200 << 20, "{}", router.memory());
    });
}

#[test]
fn a_backend_that_is_silent_is_504_and_one_that_takes_its_time_is_not() {
    run(async {
        let backend = Backend::manual().await;
        let keys = "handshake_timeout: 100ms, connect_timeout: 100ms, response_timeout: 1s";
        let limits = "limits: { request_deadline: 200ms }";
        let router = Router::start(&Config::over(&[&backend], keys, "").line(limits)).await;
        let mut client = sent(&router, "GET /poll", "").await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        // A long poll: later than a handshake could be.
        measure_for(Duration::from_millis(300)).await;
        answer(&mut server, "Connection: close\r\n", "late").await;
        assert_eq!(client.response().await.text(), "late");
        let mut client = sent(&router, "GET /poll", "").await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        assert_eq!(client.response().await.status(), 504);
        assert_eq!(server.rest().await.0, b"");
    });
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    run(async {
        let (router, backend) = router_and_backend().await;
        for begun in [false, true] {
            let mut client = sent(&router, "GET /poll", "").await;
            let mut server = backend.arrival().await;
            server.head().await.expect("a request");
            if begun {
                server
                    .write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
                    .await;
                client.head().await.expect("an answer");
            }
            drop(client);
            assert_eq!(server.rest().await.0, b"", "begun: {begun}");
        }
        let left = &[("code", "none")];
        router.metric_becomes("longhaul_requests_total", left, 1.0).await;
    });
}

#[test]
fn a_client_of_http_1_0_gets_an_answer_that_it_can_read() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let mut client = Conn::connect(router.address()).await;
        client.write(b"GET /old HTTP/1.0\r\n\r\n").await;
        let mut server = backend.arrival().await;
        let head = server.head().await.expect("a request");
        assert_eq!(head.start, "GET /old HTTP/1.1");
        assert_eq!(head.value("host"), Some(&*backend.address.to_string()));
        server
            .write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n")
            .await;
        let (bytes, _) = client.rest().await;
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.starts_with("HTTP/1.0 200") && text.ends_with("\r\n\r\nold"),
            "{text}"
        );
        assert!(!text.contains("chunked"), "{text}");
    });
}

#[test]
fn what_belongs_to_a_connection_and_what_a_client_claims_does_not_reach_the_backend() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let fields = "Connection: keep-alive, X-Private, X-Forwarded-For\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n\
                      Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\n\
                      X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                      X-Real-IP: 6.6.6.6\r\nUpgrade: h2c\r\nX-Public: 3\r\n";
        let mut client = sent(&router, "GET /", fields).await;
        let mut server = backend.arrival().await;
        let head = server.head().await.expect("a request");
        for name in [
            "connection",
            "x-private",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "te",
            "upgrade",
            "forwarded",
            "x_forwarded_for",
        ] {
            assert!(!head.has(name), "{name}: {head:?}");
        }
        assert_eq!(head.value("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(head.value("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(head.value("x-public"), Some("3"));
        let fields = "Connection: X-Inner\r\nX-Inner: secret\r\nKeep-Alive: timeout=9\r\nX-Outer: 1\r\n";
        answer(&mut server, fields, "").await;
        let head = client.response().await.head;
        assert!(!head.has("x-inner") && !head.has("keep-alive"), "{head:?}");
        assert_eq!(head.value("x-outer"), Some("1"));
    });
}

#[test]
fn at_shutdown_a_running_request_ends_and_no_other_begins() {
    run(async {
        let (mut router, backend) = router_and_backend().await;
        let mut idle = Conn::connect(router.address()).await;
        idle.write(&Request::upgrade("/").with("Sec-WebSocket-Version", "8").bytes())
            .await;
        assert_eq!(idle.response().await.status(), 426);
        let mut client = sent(&router, "GET /poll", "").await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        router.signal(rustix::process::Signal::TERM);
        router
            .log
            .wait("a shutdown", 1, |line| line["message"] == "shutting down")
            .await;
        eventually(SOON, "requests are turned away", || async {
            (router.get("/readyz").await.status() == 503).then_some(())
        })
        .await;
        idle.write(&Request::plain("/").bytes()).await;
        let response = idle.response().await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.head.value("connection"), Some("close"));
        answer(&mut server, "", "the last").await;
        let response = client.response().await;
        assert_eq!(response.text(), "the last");
        assert_eq!(response.head.value("connection"), Some("close"));
        assert!(router.exit(SOON).await.success());
    });
}

#[test]
fn large_bodies_pass_both_ways_in_little_memory() {
    run(async {
        let (router, backend) = router_and_backend().await;
        const SIZE: usize = 64 << 20;
        let mut client = sent(&router, "POST /big", &format!("Content-Length: {SIZE}\r\n")).await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a request");
        let before = router.memory();
        let chunk = Pattern::new(7).bytes(1 << 20);
        let mut most = 0;
        for _ in 0..SIZE >> 20 {
            let (_, came) = tokio::join!(client.write(&chunk), server.take(1 << 20));
            assert!(came == chunk);
            most = most.max(router.memory());
        }
        server
            .write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
            .await;
        client.head().await.expect("an answer");
        for _ in 0..SIZE >> 20 {
            let (_, came) = tokio::join!(server.write(&chunk), client.take(1 << 20));
            assert!(came == chunk);
            most = most.max(router.memory());
        }
        assert!(most < before + (16 << 20), "{before} to {most}");
    });
}
