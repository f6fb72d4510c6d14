//! How sessions spread over endpoints, and what a dead endpoint costs: nothing.

use std::time::Duration;

use crate::support::*;

async fn echoes(count: usize) -> Vec<Backend> {
    let mut backends = Vec::new();
    for _ in 0..count {
        backends.push(Backend::echo().await);
    }
    backends
}

fn all(backends: &[Backend]) -> Vec<&Backend> {
    backends.iter().collect()
}

/// Opens so many sessions, one after the other.
async fn open_many(router: &Router, count: usize) -> Vec<Conn> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(open(router).await);
    }
    clients
}

/// The largest share over the mean one.
fn unevenness(counts: &[usize]) -> f64 {
    let (most, total) = (
        counts.iter().max().copied().unwrap_or(0),
        counts.iter().sum::<usize>(),
    );
    (most * counts.len()) as f64 / total as f64
}

const EJECTED: [(&str, &str); 2] = [("service", "chat"), ("state", "ejected")];

/// How many endpoints are ejected right now.
async fn ejected(router: &Router) -> usize {
    let services = router.get("/api/services").await.json();
    let endpoints = services["services"][0]["endpoints"]
        .as_array()
        .expect("a list of endpoints");
    endpoints
        .iter()
        .filter(|endpoint| endpoint["ejected"].as_bool().expect("a truth"))
        .count()
}

#[test]
fn each_strategy_spreads_sessions_evenly() {
    run(async {
        for (strategy, most) in [
            ("round-robin", 1.02),
            ("least-connection", 1.02),
            ("power-of-two", 1.10),
        ] {
            let backends = echoes(4).await;
            let router = Router::start(&Config::over(
                &all(&backends),
                &format!("balance: {strategy}"),
                "",
            ))
            .await;
            let clients = open_many(&router, 400).await;
            let counts: Vec<_> = backends.iter().map(Backend::accepted).collect();
            assert!(unevenness(&counts) <= most, "{strategy}: {counts:?}");
            drop(clients);
        }
    });
}

#[test]
fn sessions_opened_at_the_same_moment_spread_evenly_too() {
    run(async {
        for strategy in ["round-robin", "least-connection"] {
            let backends = echoes(4).await;
            let router = Router::start(&Config::over(
                &all(&backends),
                &format!("balance: {strategy}"),
                "",
            ))
            .await;
            let opening = (0..200).map(|_| Conn::upgrade_owned(router.address()));
            let clients = futures_util::future::join_all(opening).await;
            let counts: Vec<_> = backends.iter().map(Backend::accepted).collect();
            assert!(unevenness(&counts) <= 1.02, "{strategy}: {counts:?}");
            drop(clients);
        }
    });
}

#[test]
fn weights_decide_the_shares() {
    run(async {
        for strategy in ["round-robin", "least-connection"] {
            let backends = echoes(2).await;
            let endpoints = [
                format!("\"{}\"", backends[0].address),
                format!("{{ address: \"{}\", weight: 3 }}", backends[1].address),
            ];
            let config = Config::default()
                .service_of("chat", &endpoints, &format!("balance: {strategy}"))
                .route(r#"path: "/{*rest}""#, "chat", "");
            let router = Router::start(&config).await;
            let _clients = open_many(&router, 100).await;
            assert_eq!(
                (backends[0].accepted(), backends[1].accepted()),
                (25, 75),
                "{strategy}"
            );
        }
    });
}

#[test]
fn least_connection_refills_the_endpoint_whose_sessions_ended() {
    run(async {
        let backends = echoes(2).await;
        let router = Router::start(&Config::over(&all(&backends), "balance: least-connection", "")).await;
        let clients = open_many(&router, 40).await;
        let lines = router
            .log
            .wait("opened lines", 40, |line| line["message"] == "session opened")
            .await;
        let second = backends[1].address.to_string();
        let (mut ended, mut kept) = (0, Vec::new());
        for client in clients {
            let local = client.tcp().local_addr().expect("a connected socket").to_string();
            let line = lines
                .iter()
                .find(|line| line["client"] == local.as_str())
                .expect("a line for each client");
            if line["endpoint"]
                .as_str()
                .is_some_and(|endpoint| endpoint.ends_with(&second))
            {
                ended += 1;
            } else {
                kept.push(client);
            }
        }
        assert_eq!(ended, 20);
        router.ended(20).await;
        let _more = open_many(&router, 20).await;
        assert_eq!(
            backends.iter().map(Backend::accepted).collect::<Vec<_>>(),
            [20, 40]
        );
    });
}

#[test]
fn a_client_never_sees_an_endpoint_that_refuses_connections() {
    run(async {
        let backends = echoes(2).await;
        let dead = Refusing::new();
        for strategy in ["round-robin", "least-connection", "power-of-two"] {
            let addresses = [dead.address, backends[0].address, backends[1].address];
            let config = Config::default()
                .service("chat", &addresses, &format!("balance: {strategy}"))
                .route(r#"path: "/{*rest}""#, "chat", "");
            let router = Router::start(&config).await;
            for mut client in open_many(&router, 60).await {
                client.echoes("alive").await;
            }
        }
    });
}

#[test]
fn an_endpoint_that_resets_before_its_answer_is_ejected_and_tried_again_later() {
    run(async {
        let backends = [Backend::running(Script::Reset).await, Backend::echo().await];
        let config = Config::over(&[&backends[0], &backends[1]], "balance: least-connection", "");
        let router = Router::start(&config).await;
        let _clients = open_many(&router, 60).await;
        let dials = backends[0].accepted();
        assert!(
            (1..=4).contains(&dials),
            "{dials} dials to the dead endpoint for 60 sessions"
        );

        backends[0].set(Script::Echo);
        eventually(SOON, "a trial session brings the endpoint back", || async {
            let _client = open(&router).await;
            (backends[0].accepted() > dials + 2).then_some(())
        })
        .await;
    });
}

#[test]
fn an_endpoint_that_drops_three_sessions_at_once_is_ejected() {
    run(async {
        let backends = [Backend::running(Script::Leave).await, Backend::echo().await];
        let config = Config::over(&[&backends[0], &backends[1]], "balance: least-connection", "");
        let router = Router::start(&config).await;
        let mut kept = Vec::new();
        for _ in 0..60 {
            let (mut client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            assert_eq!(head.status(), 101);
            if head.value("x-backend") == Some(&backends[0].address.to_string()) {
                client.frames_to_end().await;
                // The session's end, and with it the verdict, waits for the client's.
                drop(client);
                if backends[0].accepted() == 3 {
                    router.metric_becomes("longhaul_endpoints", &EJECTED, 1.0).await;
                }
            } else {
                kept.push(client);
            }
        }
        let dropped = backends[0].accepted();
        assert!(
            (3..=8).contains(&dropped),
            "{dropped} of 60 sessions went to an endpoint that drops them"
        );
    });
}

#[test]
fn an_endpoint_that_is_silent_is_left_for_another_within_the_budget() {
    run(async {
        let backends = [Backend::running(Script::Silent).await, Backend::echo().await];
        let keys = "balance: round-robin, handshake_timeout: 2s";
        let router = Router::start(&Config::over(&[&backends[0], &backends[1]], keys, "")).await;
        let mut statuses = Vec::new();
        for _ in 0..10 {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            statuses.push(head.status());
        }
        let failed = statuses.iter().filter(|status| **status != 101).count();
        assert!(
            failed <= 1 && statuses.iter().all(|status| [101, 504].contains(status)),
            "{statuses:?}"
        );
        assert!(
            backends[0].accepted() <= 3,
            "{} dials to a silent endpoint",
            backends[0].accepted()
        );
    });
}

#[test]
fn a_silent_endpoint_beside_a_healthy_one_costs_no_client_its_session_and_is_ejected() {
    run(async {
        let (hung, healthy) = (Backend::running(Script::Silent).await, Backend::echo().await);
        let keys = "balance: round-robin, handshake_timeout: 4s";
        let router = Router::start(&Config::over(&[&hung, &healthy], keys, "")).await;
        for _ in 0..2 {
            let started = tokio::time::Instant::now();
            open(&router).await.echoes("alive").await;
            assert!(
                started.elapsed() < Duration::from_secs(4),
                "{:?}",
                started.elapsed()
            );
            if hung.accepted() == 1 {
                assert_eq!(ejected(&router).await, 1);
                return;
            }
        }
        panic!("the silent endpoint was never tried");
    });
}

#[test]
fn an_endpoint_that_is_slow_still_gives_its_answer_and_nobody_is_ejected() {
    run(async {
        let backends = [Backend::manual().await, Backend::manual().await];
        let keys = "balance: round-robin, handshake_timeout: 4s";
        let router = Router::start(&Config::over(&[&backends[0], &backends[1]], keys, "")).await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let (mut first, other) = tokio::select! {
            first = backends[0].arrival() => (first, &backends[1]),
            first = backends[1].arrival() => (first, &backends[0]),
        };
        // The other one is asked when half of the time is over; until then the first was silent.
        let _second = other.arrival().await;
        first.accept_upgrade().await;
        assert_eq!(client.head().await.expect("an answer").status(), 101);
        assert_eq!(ejected(&router).await, 0);
        client.send(Frame::text("to the first")).await;
        assert_eq!(first.frame().await.string(), "to the first");
    });
}

#[test]
fn hanging_up_before_an_answer_ejects_only_the_third_time_in_a_row() {
    run(async {
        let backend = Backend::running(Script::Reset).await;
        let router = Router::start(&Config::to(&[&backend])).await;
        for out in [0, 0, 1] {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            assert_eq!(head.status(), 502);
            assert_eq!(ejected(&router).await, out);
        }
        assert_eq!(backend.accepted(), 3);
    });
}

#[test]
fn when_every_endpoint_is_ejected_all_are_candidates_again() {
    run(async {
        let backend = Backend::running(Script::Reset).await;
        let router = Router::start(&Config::to(&[&backend])).await;
        for _ in 0..5 {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            assert_eq!(head.status(), 502);
        }
        backend.set(Script::Echo);
        open(&router).await.echoes("at once").await;
    });
}

#[test]
fn retries_are_only_for_what_the_config_names() {
    run(async {
        let backends = [
            Backend::running(Script::Reset).await,
            Backend::running(Script::Reset).await,
        ];
        let router = Router::start(&Config::over(
            &[&backends[0], &backends[1]],
            "retry: { attempts: 3, on: [connect] }",
            "",
        ))
        .await;
        let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        assert_eq!(head.status(), 502);
        assert_eq!(backends[0].accepted() + backends[1].accepted(), 1);
    });
}

#[test]
fn a_refusal_is_an_answer_and_no_other_endpoint_is_asked() {
    run(async {
        let refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec();
        let backends = [
            Backend::running(Script::Answer(refusal.clone())).await,
            Backend::running(Script::Answer(refusal)).await,
        ];
        let router = Router::start(&Config::over(&[&backends[0], &backends[1]], "", "")).await;
        for _ in 0..10 {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            assert_eq!(head.status(), 503);
        }
        assert_eq!(backends[0].accepted() + backends[1].accepted(), 10);
    });
}

#[test]
fn two_black_holes_cost_at_most_the_budget_and_the_third_endpoint_answers() {
    run(async {
        let (holes, backend) = ([BlackHole::new(), BlackHole::new()], Backend::echo().await);
        let addresses = [holes[0].address, holes[1].address, backend.address];
        let config = Config::default()
            .service("chat", &addresses, "connect_timeout: 300ms, balance: round-robin")
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        let started = tokio::time::Instant::now();
        let mut clients = open_many(&router, 30).await;
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        for client in &mut clients {
            client.echoes("alive").await;
        }
    });
}
