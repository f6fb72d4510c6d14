//! What operators are told is what happened, to the byte.

use serde_json::Value;

use crate::support::*;

/// What one end of a session counted, frame headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    up_bytes: u64,
    down_bytes: u64,
    up_messages: u64,
    down_messages: u64,
}

impl Counted {
    fn of(line: &Value) -> Self {
        let number = |field: &str| {
            line[field]
                .as_u64()
                .unwrap_or_else(|| panic!("{field} in {line}"))
        };
        Self {
            up_bytes: number("bytes_from_client"),
            down_bytes: number("bytes_to_client"),
            up_messages: number("messages_from_client"),
            down_messages: number("messages_to_client"),
        }
    }

    /// The totals of the metrics.
    fn by(metrics: &Metrics) -> Self {
        let sum = |name: &str, direction: &str| {
            metrics.sum(name, &[("service", "chat"), ("direction", direction)]) as u64
        };
        Self {
            up_bytes: sum("longhaul_bytes_total", "from_client"),
            down_bytes: sum("longhaul_bytes_total", "to_client"),
            up_messages: sum("longhaul_messages_total", "from_client"),
            down_messages: sum("longhaul_messages_total", "to_client"),
        }
    }

    fn add(&mut self, other: Self) {
        self.up_bytes += other.up_bytes;
        self.down_bytes += other.down_bytes;
        self.up_messages += other.up_messages;
        self.down_messages += other.down_messages;
    }
}

/// A session with random traffic against an echo backend, ended with `code`; what the client counted.
async fn converse(client: &mut Conn, seed: u64, code: u16) -> Counted {
    let mut pattern = Pattern::new(seed);
    let mut counted = Counted::default();
    for round in 0..pattern.rng().u64(..8) {
        let length = pattern.frame_length(70_000);
        let payload = pattern.bytes(length);
        let frames = match round % 4 {
            0 => vec![Frame::ping("control frames are no messages")],
            1 => vec![
                Frame::text("a").unfinished(),
                Frame::new(0, "b").unfinished(),
                Frame::new(0, "c"),
            ],
            _ => vec![Frame::binary(payload)],
        };
        for frame in frames {
            counted.up_messages += u64::from(frame.opcode < 8 && frame.fin);
            let bytes = client.encode(frame);
            counted.up_bytes += bytes.len() as u64;
            client.write(&bytes).await;
            let answer = client.frame().await;
            counted.down_messages += u64::from(answer.opcode < 8 && answer.fin);
            counted.down_bytes += answer.encode().len() as u64;
        }
    }
    let close = client.encode(Frame::close(code, "done"));
    counted.up_bytes += close.len() as u64;
    client.write(&close).await;
    counted.down_bytes += client.frame().await.encode().len() as u64;
    client.rest().await;
    counted
}

#[test]
fn the_lines_of_a_session_say_exactly_what_the_client_counted() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let router = Router::start(&Config::to(&[&backends[0], &backends[1]])).await;
        let mut total = Counted::default();
        for seed in 0..100 {
            let code = [1000, 1001, 3000, 4999][usize::try_from(seed % 4).unwrap()];
            let started = tokio::time::Instant::now();
            let (mut client, head) = Conn::upgrade(router.address(), &Request::upgrade("/room?x=1")).await;
            let address = client.tcp().local_addr().expect("a connected socket").to_string();
            let counted = converse(&mut client, seed, code).await;
            drop(client);
            total.add(counted);
            let ours = |message: &'static str, address: String| {
                move |line: &Value| line["message"] == message && line["client"] == address.as_str()
            };
            let line = router
                .log
                .wait("the ended line", 1, ours("session ended", address.clone()))
                .await
                .remove(0);
            let lived = started.elapsed().as_millis() as u64;
            assert_eq!(Counted::of(&line), counted, "session {seed}: {line}");
            assert_eq!(
                (&line["initiator"], &line["code"]),
                (&"client".into(), &code.into()),
                "{line}"
            );
            assert_eq!(line["endpoint"].as_str(), head.value("x-backend"), "{line}");
            assert_eq!(
                (&line["route"], &line["service"]),
                (&"*/{*rest}".into(), &"chat".into()),
                "{line}"
            );
            assert!(
                line["duration_ms"]
                    .as_u64()
                    .is_some_and(|duration| duration <= lived + 1),
                "{lived}: {line}"
            );
            let opened = router
                .log
                .wait("the opened line", 1, ours("session opened", address))
                .await
                .remove(0);
            for field in ["session", "route", "service", "endpoint", "client"] {
                assert_eq!(opened[field], line[field], "{field}");
            }
        }
        let metrics = router.metrics().await;
        let counted = Counted::by(&metrics);
        assert_eq!(counted, total, "{}", metrics.text);
    });
}

#[test]
fn figures_of_a_live_session_are_there_while_it_lives() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut client = open(&router).await;
        client.echoes("five!").await;
        let expected = Counted {
            up_bytes: 11,
            down_bytes: 7,
            up_messages: 1,
            down_messages: 1,
        };
        let view = eventually(SOON, "the figures in the API", || async {
            let view = router.get("/api/sessions").await.json()["sessions"][0].clone();
            (Counted::of(&view) == expected).then_some(view)
        })
        .await;
        let address = client.tcp().local_addr().expect("a connected socket").to_string();
        assert_eq!(view["client"], address.as_str());
        assert_eq!(view["endpoint"], backend.address.to_string().as_str());
        assert_eq!(
            (&view["route"], &view["service"]),
            (&"*/{*rest}".into(), &"chat".into())
        );
        let endpoint = backend.address.to_string();
        let labels = [
            ("route", "*/{*rest}"),
            ("service", "chat"),
            ("endpoint", endpoint.as_str()),
        ];
        router
            .metric_becomes("longhaul_sessions_active", &labels, 1.0)
            .await;
        router
            .metric_becomes("longhaul_bytes_total", &[("direction", "from_client")], 11.0)
            .await;
        let services = router.get("/api/services").await.json();
        let services = services["services"].as_array().expect("a list");
        assert_eq!((services.len(), services[0]["name"].as_str()), (1, Some("chat")));
        assert_eq!(services[0]["endpoints"][0]["address"], endpoint.as_str());
        drop(client);
        router.metric_becomes("longhaul_sessions_active", &[], 0.0).await;
        eventually(SOON, "no session in the API", || async {
            router.get("/api/sessions").await.json()["sessions"]
                .as_array()
                .is_some_and(Vec::is_empty)
                .then_some(())
        })
        .await;
    });
}

#[test]
fn closes_are_counted_by_initiator_and_code_without_a_label_of_the_clients_choice() {
    run(async {
        let (router, backend) = router_and_backend().await;
        for (code, label) in [(1000, "1000"), (1011, "1011"), (3123, "3xxx"), (4321, "4xxx")] {
            let (mut client, mut server) = session(&router, &backend).await;
            client.send(Frame::close(code, "")).await;
            server.frame().await;
            server.send(Frame::close(code, "")).await;
            drop(server);
            client.rest().await;
            drop(client);
            let labels = [("initiator", "client"), ("code", label)];
            router
                .metric_becomes("longhaul_session_closes_total", &labels, 1.0)
                .await;
        }
        let (client, server) = session(&router, &backend).await;
        server.reset();
        drop(client);
        router.ended(5).await;
        let metrics = router.metrics().await;
        assert_eq!(
            metrics.sum("longhaul_session_closes_total", &[]),
            5.0,
            "{}",
            metrics.text
        );
        assert!(
            !metrics
                .label_values()
                .iter()
                .any(|value| value.contains("4321") || value.contains("3123"))
        );
    });
}

#[test]
fn every_handshake_is_counted_once_by_its_outcome() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::default()
            .service("chat", &[backend.address], "")
            .service("down", &[], "")
            .route("path: /chat", "chat", "")
            .route("path: /down", "down", "");
        let router = Router::start(&config).await;
        for (target, count) in [("/chat", 5), ("/down", 3), ("/nowhere", 2)] {
            for _ in 0..count {
                Conn::upgrade(router.address(), &Request::upgrade(target)).await;
            }
        }
        router
            .metric_becomes("longhaul_handshakes_total", &[], 10.0)
            .await;
        router
            .metric_becomes(
                "longhaul_handshakes_total",
                &[("route", "*/chat"), ("service", "chat")],
                5.0,
            )
            .await;
        router
            .metric_becomes("longhaul_handshakes_total", &[("service", "down")], 3.0)
            .await;
        let metrics = router.metrics().await;
        assert_eq!(
            metrics.sum("longhaul_handshake_seconds_count", &[("service", "chat")]),
            5.0,
            "{}",
            metrics.text
        );
        assert_eq!(metrics.text.lines().last(), Some("# EOF"));
        let counting = |line: &&str| line.starts_with("longhaul_handshakes_total{") && !line.ends_with(" 0");
        let series: Vec<_> = metrics.text.lines().filter(counting).collect();
        assert_eq!(series.len(), 3, "one outcome each: {series:?}");
    });
}

#[test]
fn session_lines_can_be_turned_off() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("log: { sessions: false }")).await;
        open(&router).await.echoes("unseen").await;
        router
            .metric_becomes("longhaul_session_closes_total", &[], 1.0)
            .await;
        assert!(!router.log.raw().contains("session opened") && !router.log.raw().contains("session ended"));
    });
}

#[test]
fn probes_answer_and_nothing_else_is_offered_to_the_world() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        for (path, status) in [
            ("/livez", 200),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/nothing", 404),
        ] {
            assert_eq!(router.get(path).await.status(), status, "{path}");
        }
        let router = Router::start(&Config::default().service("chat", &[backend.address], "").route(
            "path: /chat",
            "chat",
            "",
        ))
        .await;
        for path in ["/livez", "/readyz", "/metrics", "/api/sessions"] {
            let mut client = Conn::connect(router.address()).await;
            client.write(&Request::plain(path).bytes()).await;
            assert_eq!(
                client.response().await.status(),
                404,
                "{path} on the clients' address"
            );
        }
        assert_eq!(backend.accepted(), 0);
    });
}

#[test]
fn the_admin_address_refuses_other_hosts_and_changes_without_a_token() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut client = open(&router).await;
        client.echoes("registered").await;
        let id = router.get("/api/sessions").await.json()["sessions"][0]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let own = router.admin().to_string();
        let delete = format!("DELETE /api/sessions/{id} HTTP/1.1");
        for (name, request) in [
            (
                "another Host",
                Request::bare("GET /api/sessions HTTP/1.1").field("Host", "evil.example"),
            ),
            ("no token", Request::bare(&delete).field("Host", own.clone())),
            (
                "a wrong token",
                Request::bare(&delete)
                    .field("Host", own.clone())
                    .field("Authorization", "Bearer x"),
            ),
            (
                "another Origin",
                Request::bare(&delete)
                    .field("Host", own.clone())
                    .field("Origin", "https://evil.example"),
            ),
        ] {
            let mut conn = Conn::connect(router.admin()).await;
            conn.write(&request.field("Connection", "close").bytes()).await;
            let response = conn.response().await;
            assert!(
                matches!(response.status(), 401 | 403 | 421),
                "{name}: {response:?}"
            );
        }
        client.echoes("still here").await;
    });
}
