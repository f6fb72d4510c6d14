//! Endpoints that come and go by what a file or a name server says, while sessions live.

#[path = "../../discovery/tests/contract/dns/knot.rs"]
mod knot;

use std::time::Duration;

use serde_json::Value;

use self::knot::Knot;
use crate::support::*;

fn everything_to_chat(discovery: &str, more: &str) -> Config {
    Config::default()
        .service_from("chat", discovery, more)
        .route(r#"path: "/{*rest}""#, "chat", "")
}

/// The list of a file, as under `static`.
fn list(backends: &[&Backend]) -> String {
    let lines = backends.iter().map(|backend| format!("- {}\n", backend.address));
    if backends.is_empty() {
        return "[]\n".to_owned();
    }
    lines.collect()
}

/// SRV records that lead to these backends.
fn records(backends: &[&Backend]) -> String {
    let port = |backend: &&Backend| format!("_ws._tcp 0 SRV 0 1 {} here\n", backend.address.port());
    let lines: String = backends.iter().map(port).collect();
    format!("{lines}here 0 A 127.0.0.1\n")
}

/// A config whose only source is this name server.
fn by_name(server: &Knot, more: &str) -> Config {
    let discovery = format!(
        "{{ dns: {{ srv: _ws._tcp.internal, server: \"{}\" }} }}",
        server.address()
    );
    everything_to_chat(&discovery, more).line("providers: { dns: { allow: [127.0.0.1] } }")
}

async fn backend_of(router: &Router) -> Option<String> {
    let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
    head.value("x-backend").map(str::to_owned)
}

async fn reaches(router: &Router, backend: &Backend) {
    let wanted = backend.address.to_string();
    eventually(SOON, "a session on the endpoint", || async {
        (backend_of(router).await.as_deref() == Some(&*wanted)).then_some(())
    })
    .await;
}

async fn endpoints_become(router: &Router, state: &str, count: f64) {
    let labels = [("service", "chat"), ("state", state)];
    router.metric_becomes("longhaul_endpoints", &labels, count).await;
}

async fn source(router: &Router) -> Value {
    let mut services = router.get("/api/services").await.json();
    services["services"][0]["sources"][0].take()
}

#[test]
fn a_file_is_followed_and_its_removed_endpoints_keep_their_sessions() {
    run(async {
        let [old, new] = [Backend::echo().await, Backend::echo().await];
        let dir = Dir::new();
        dir.replace("endpoints.yaml", &list(&[&old]));
        let path = dir.replace(
            "longhaul.yaml",
            &everything_to_chat("{ file: endpoints.yaml }", "").text(),
        );
        let router = Router::start_at(dir, &path).await;
        let mut session = open(&router).await;
        router.dir.replace("endpoints.yaml", &list(&[&new]));
        reaches(&router, &new).await;
        endpoints_become(&router, "gone", 1.0).await;
        session.echoes("still here").await;

        router.dir.replace("endpoints.yaml", &list(&[]));
        endpoints_become(&router, "active", 0.0).await;
        assert_eq!(backend_of(&router).await, None);
        assert_eq!(
            router.get("/readyz").await.status(),
            200,
            "discovery never ends readiness"
        );
        router.dir.replace("endpoints.yaml", "- 127.0.0.1\n");
        let failing = |line: &Value| line["message"] == "a source of endpoints fails";
        let line = router.log.wait("the failure", 1, failing).await.remove(0);
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("endpoints.yaml:1:3: [0]: "), "{error}");
        assert_eq!(source(&router).await["condition"], "failing");
        router.dir.replace("endpoints.yaml", &list(&[&old, &new]));
        endpoints_become(&router, "active", 2.0).await;
        endpoints_become(&router, "gone", 0.0).await;
        session.echoes("on an endpoint that came back").await;
    });
}

#[test]
fn a_name_server_is_followed_and_its_outage_is_a_gauge() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let mut server = Knot::with_zone(&records(&[&backends[0]])).await;
        let router = Router::start(&by_name(&server, "")).await;
        let mut session = open(&router).await;
        server.load(&records(&[&backends[0], &backends[1]])).await;
        reaches(&router, &backends[1]).await;

        server.freeze(true).await;
        eventually(SOON * 3, "the failure of the source", || async {
            (source(&router).await["condition"] == "failing").then_some(())
        })
        .await;
        let age = || async { router.metrics().await.sum("longhaul_discovery_age_seconds", &[]) };
        let before = age().await;
        assert!(before > 0.5, "{before}");
        assert!(age().await > before);
        assert!(backend_of(&router).await.is_some());
        assert_eq!(router.get("/readyz").await.status(), 200);
        session.echoes("still here").await;
        server.freeze(false).await;
        eventually(SOON, "the source", || async {
            (source(&router).await["condition"] == "answering").then_some(())
        })
        .await;
    });
}

#[test]
fn a_registry_may_not_name_loopback_and_the_log_says_what_to_write() {
    run(async {
        let backend = Backend::echo().await;
        let server = Knot::with_zone(&records(&[&backend])).await;
        let discovery = format!(
            "[{{ dns: {{ srv: _ws._tcp.internal, server: \"{}\" }} }}]",
            server.address()
        );
        let config = everything_to_chat(&discovery, "empty_hold: 0s");
        let router = Router::start(&config).await;
        assert_eq!(backend_of(&router).await, None);
        let raw = router.log.raw();
        let advice = "write `providers.dns.allow: [127.0.0.1]`";
        assert_eq!(raw.matches(advice).count(), 1, "{raw}");
        router
            .reload(&config.line("providers: { dns: { allow: [127.0.0.1] } }"))
            .await;
        reaches(&router, &backend).await;
    });
}

#[test]
fn the_own_listener_is_no_endpoint_whatever_is_allowed() {
    run(async {
        let backend = Backend::echo().await;
        let mut server = Knot::with_zone(&records(&[&backend])).await;
        let router = Router::start(&by_name(&server, "")).await;
        let own = format!(
            "_ws._tcp 0 SRV 0 1 {} here\n_ws._tcp 0 SRV 0 1 {} here\n",
            router.address().port(),
            router.admin().port()
        );
        server.load(&format!("{own}{}", records(&[&backend]))).await;
        let refused = |line: &Value| {
            let said = line["message"].as_str().unwrap_or_default();
            said.contains("the router itself listens on")
        };
        router.log.wait("both refusals", 2, refused).await;
        endpoints_become(&router, "active", 1.0).await;
        assert_eq!(backend_of(&router).await, Some(backend.address.to_string()));
    });
}

#[test]
fn a_required_service_is_waited_for_and_then_never_again() {
    run_within(Duration::from_mins(2), async {
        let backend = Backend::echo().await;
        let mut server = Knot::with_zone(&records(&[&backend])).await;
        server.freeze(true).await;
        let router = Router::start_unready(Dir::new(), &by_name(&server, "")).await;
        let report = router.get("/readyz").await;
        assert_eq!(report.status(), 503);
        assert!(report.text().contains("service chat"), "{}", report.text());
        server.freeze(false).await;
        eventually(SOON, "readiness", || async {
            (router.get("/readyz").await.status() == 200).then_some(())
        })
        .await;
        server.load("").await;
        server.freeze(true).await;
        assert_eq!(router.get("/readyz").await.status(), 200);
    });
}

#[test]
fn a_service_that_is_not_required_is_not_waited_for() {
    run(async {
        let server = Knot::with_zone("").await;
        server.freeze(true).await;
        let router = Router::start(&by_name(&server, "required: false")).await;
        assert_eq!(router.get("/readyz").await.status(), 200);
    });
}

#[test]
fn a_router_that_starts_while_its_registry_is_away_uses_the_cache() {
    run_within(Duration::from_mins(2), async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let server = Knot::with_zone(&records(&[&backends[0]])).await;
        let dir = Dir::new();
        let cache = Dir::new();
        let folder = cache.path("last-known");
        let config = by_name(&server, "").line(&format!("cache: {}", folder.display()));
        let path = dir.replace("longhaul.yaml", &config.text());
        let router = Router::start_at(dir, &path).await;
        reaches(&router, &backends[0]).await;
        eventually(SOON, "the file", || async {
            folder.join("chat.json").exists().then_some(())
        })
        .await;
        drop(router);

        server.freeze(true).await;
        let dir = Dir::new();
        let path = dir.replace("longhaul.yaml", &config.text());
        let router = Router::start_at(dir, &path).await;
        assert_eq!(backend_of(&router).await, Some(backends[0].address.to_string()));
        let waiting = source(&router).await;
        assert_ne!(waiting["condition"], "answering", "{waiting}");
        assert!(waiting["age_seconds"].is_number(), "{waiting}");
        server.freeze(false).await;
        eventually(SOON, "the source", || async {
            (source(&router).await["condition"] == "answering").then_some(())
        })
        .await;
    });
}

#[test]
fn a_fallback_takes_sessions_while_the_ordinary_source_has_no_endpoint() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let dir = Dir::new();
        dir.replace("endpoints.yaml", "[]");
        let discovery = format!(
            "[{{ file: endpoints.yaml }}, {{ static: [\"{}\"], fallback: true }}]",
            backends[1].address
        );
        let path = dir.replace("longhaul.yaml", &everything_to_chat(&discovery, "").text());
        let router = Router::start_at(dir, &path).await;
        reaches(&router, &backends[1]).await;
        let mut session = open(&router).await;
        router.dir.replace("endpoints.yaml", &list(&[&backends[0]]));
        reaches(&router, &backends[0]).await;
        session.echoes("kept on the fallback").await;
        router.dir.replace("endpoints.yaml", "[]");
        reaches(&router, &backends[1]).await;
    });
}

#[test]
fn an_operator_drains_an_endpoint_and_its_sessions_are_closed_where_the_service_says_so() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let dir = Dir::new();
        dir.replace("admin.token", "swordfish");
        dir.replace("endpoints.yaml", &list(&[&backends[0], &backends[1]]));
        let config = everything_to_chat(
            "{ file: endpoints.yaml }",
            "drain: { mode: close, window: 1s, deadline: 5s, close_code: 4001 }",
        )
        .admin("token_file: admin.token");
        let path = dir.replace("longhaul.yaml", &config.text());
        let router = Router::start_at(dir, &path).await;
        endpoints_become(&router, "active", 2.0).await;
        let (mut first, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        let drained = head.value("x-backend").unwrap().to_owned();
        let mut second = open(&router).await;

        let path = format!("/api/services/chat/endpoints/{drained}");
        assert_eq!(
            router.post(&format!("{path}/drain"), "swordfish").await.status(),
            200
        );
        let close = within(SOON, "a Close", first.frame()).await;
        assert_eq!(close_code(&close), Some(4001));
        endpoints_become(&router, "draining", 1.0).await;
        for _ in 0..4 {
            assert_ne!(backend_of(&router).await, Some(drained.clone()));
        }
        second.echoes("on the other endpoint").await;

        // What discovery says meanwhile is no reason to use it again.
        router.dir.replace("endpoints.yaml", &list(&[&backends[0]]));
        endpoints_become(&router, "gone", 0.0).await;
        router
            .dir
            .replace("endpoints.yaml", &list(&[&backends[0], &backends[1]]));
        endpoints_become(&router, "draining", 1.0).await;
        assert_eq!(
            router
                .post(&format!("{path}/undrain"), "swordfish")
                .await
                .status(),
            200
        );
        endpoints_become(&router, "active", 2.0).await;
    });
}

#[test]
fn the_sessions_of_a_removed_endpoint_are_closed_at_the_pace_of_the_window() {
    run(async {
        let [old, new] = [Backend::echo().await, Backend::echo().await];
        let dir = Dir::new();
        dir.replace("endpoints.yaml", &list(&[&old]));
        let more = "drain: { mode: close, window: 2s, deadline: 20s }";
        let config = everything_to_chat("{ file: endpoints.yaml }", more);
        let path = dir.replace("longhaul.yaml", &config.text());
        let router = Router::start_at(dir, &path).await;
        let mut sessions = Vec::new();
        for _ in 0..40 {
            sessions.push(open(&router).await);
        }
        router.dir.replace("endpoints.yaml", &list(&[&new]));
        let times = sessions.into_iter().map(|mut session| async move {
            let close = within(SOON, "a Close", session.frame()).await;
            assert_eq!(close_code(&close), Some(1001));
            tokio::time::Instant::now()
        });
        let mut times = futures_util::future::join_all(times).await;
        times.sort_unstable();
        let middle = times[30] - times[10];
        // Half of the Closes take half of the window, give or take.
        assert!(
            middle > Duration::from_millis(600) && middle < Duration::from_millis(1500),
            "{middle:?}"
        );
    });
}

#[test]
fn a_service_with_another_source_keeps_its_endpoints_until_that_one_has_answered() {
    run_within(Duration::from_mins(2), async {
        let [old, new] = [Backend::echo().await, Backend::echo().await];
        let server = Knot::with_zone(&records(&[&new])).await;
        server.freeze(true).await;
        let router = Router::start(&Config::to(&[&old])).await;
        let mut session = open(&router).await;
        router.reload(&by_name(&server, "")).await;
        eventually(SOON * 3, "the failure of the source", || async {
            (source(&router).await["condition"] == "failing").then_some(())
        })
        .await;
        assert_eq!(backend_of(&router).await, Some(old.address.to_string()));
        server.freeze(false).await;
        reaches(&router, &new).await;
        endpoints_become(&router, "gone", 1.0).await;
        session.echoes("still here").await;
    });
}

#[test]
fn a_drain_goes_on_through_a_reload_of_its_service() {
    run(async {
        let [old, new] = [Backend::echo().await, Backend::echo().await];
        let drain = "drain: { mode: close, window: 3s, deadline: 20s }";
        let config = |backend: &Backend, more: &str| Config::over(&[backend], &format!("{drain}{more}"), "");
        let router = Router::start(&config(&old, "")).await;
        let mut sessions = Vec::new();
        for _ in 0..20 {
            sessions.push(open(&router).await);
        }
        router.reload(&config(&new, "")).await;
        let begun = tokio::time::Instant::now();
        reaches(&router, &new).await;
        router.reload(&config(&new, ", empty_hold: 1s")).await;
        for mut session in sessions {
            let close = within(SOON, "a Close", session.frame()).await;
            assert_eq!(close_code(&close), Some(1001));
        }
        let took = begun.elapsed();
        assert!(
            took > Duration::from_millis(1500) && took < Duration::from_secs(6),
            "{took:?}"
        );
    });
}
