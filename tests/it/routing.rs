//! Which backend a request reaches, and under which path and Host.

use crate::support::*;

/// What `router` answers to an upgrade for `host` and `target`; the backend's address when there was a session.
async fn reached(router: &Router, host: &str, target: &str) -> Result<String, u16> {
    answer(router, &Request::upgrade(target).with("Host", host)).await
}

async fn answer(router: &Router, request: &Request) -> Result<String, u16> {
    let (_client, head) = Conn::upgrade(router.address(), request).await;
    match head.status() {
        101 => Ok(head
            .value("x-backend")
            .expect("an echo backend names itself")
            .to_owned()),
        status => Err(status),
    }
}

/// One echo backend for each route, `service s0`, `s1` and so on.
async fn routes(matches: &[&str]) -> (Router, Vec<Backend>) {
    let mut config = Config::default();
    let mut backends = Vec::new();
    for (index, text) in matches.iter().enumerate() {
        let backend = Backend::echo().await;
        let name = format!("s{index}");
        config = config
            .service(&name, &[backend.address], "")
            .route(text, &name, "");
        backends.push(backend);
    }
    (Router::start(&config).await, backends)
}

#[test]
fn the_most_specific_host_and_path_win_whatever_their_order() {
    run(async {
        let matches = [
            r#"path: "/{*rest}""#,
            r#"host: "*.example.com", path: "/{*rest}""#,
            r#"host: "*.eu.example.com", path: "/{*rest}""#,
            r#"host: a.eu.example.com, path: "/{*rest}""#,
            r#"host: a.eu.example.com, path: "/rooms/{room}""#,
            r#"host: a.eu.example.com, path: "/rooms/lobby""#,
            r#"host: a.eu.example.com, path: "/rooms/{room}/{*rest}""#,
        ];
        let (router, backends) = routes(&matches).await;
        for (host, target, expected) in [
            ("other.net", "/", 0),
            ("example.com", "/", 0),
            ("x.example.com", "/", 1),
            ("x.y.example.com", "/", 1),
            ("X.EXAMPLE.COM", "/", 1),
            ("x.example.com:8080", "/", 1),
            ("b.eu.example.com", "/rooms/lobby", 2),
            ("a.eu.example.com", "/", 3),
            ("a.eu.example.com.", "/", 3),
            ("a.eu.example.com", "/rooms/blue", 4),
            ("a.eu.example.com", "/rooms/lobby", 5),
            ("a.eu.example.com", "/rooms/lobby?x=/rooms/blue", 5),
            ("a.eu.example.com", "/rooms/blue/", 6),
            ("a.eu.example.com", "/rooms/blue/chat/1", 6),
            ("evil-example.com", "/", 0),
            ("example.com.evil.net", "/", 0),
        ] {
            let expected = backends[expected].address.to_string();
            assert_eq!(
                reached(&router, host, target).await,
                Ok(expected),
                "{host} {target}"
            );
        }
    });
}

#[test]
fn a_path_without_a_route_is_404() {
    run(async {
        let (router, backends) = routes(&[r#"path: "/a/{x}""#, r#"path: "/b/{*rest}""#]).await;
        for target in ["/", "/a", "/a/", "/a/x/y", "/bb", "/bb/x", "/A/x", "/c"] {
            assert_eq!(reached(&router, "h", target).await, Err(404), "{target}");
        }
        for (target, expected) in [("/a/x", 0), ("/b", 1), ("/b/", 1), ("/b/x/y/", 1)] {
            assert_eq!(
                reached(&router, "h", target).await,
                Ok(backends[expected].address.to_string()),
                "{target}"
            );
        }
    });
}

#[test]
fn header_and_query_matches_choose_between_routes_of_one_path() {
    run(async {
        let matches = [
            r#"path: "/x""#,
            r#"path: "/x", headers: { X-Tier: gold }"#,
            r#"path: "/x", query: { version: "2" }"#,
        ];
        let (router, backends) = routes(&matches).await;
        let gold = |target: &str| Request::upgrade(target).field("x-tier", "gold");
        for (request, expected) in [
            (Request::upgrade("/x"), 0),
            (Request::upgrade("/x").field("x-tier", "silver"), 0),
            (gold("/x"), 1),
            (Request::upgrade("/x?a=1&version=2"), 2),
            (Request::upgrade("/x?version=20"), 0),
        ] {
            let expected = backends[expected].address.to_string();
            assert_eq!(answer(&router, &request).await, Ok(expected), "{request:?}");
        }
    });
}

#[test]
fn a_rewrite_fills_in_the_raw_text_of_what_matched_and_keeps_the_query() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::default()
            .service("chat", &[backend.address], "")
            .route(r#"path: "/gateway/{*rest}""#, "chat", r#"rewrite: "/{rest}""#)
            .route(
                r#"path: "/rooms/{room}/users/{user}""#,
                "chat",
                r#"rewrite: "/u/{user}/in/{room}""#,
            )
            .route(r#"path: "/fixed/{*rest}""#, "chat", r#"rewrite: "/hub""#);
        let router = Router::start(&config).await;
        for (target, expected) in [
            ("/gateway", "/"),
            ("/gateway?q", "/?q"),
            ("/gateway/", "/"),
            ("/gateway/a/b%20c/?q=1&q=%2F", "/a/b%20c/?q=1&q=%2F"),
            ("/gateway//double", "//double"),
            ("/rooms/r%7e1/users/u;v=1", "/u/u;v=1/in/r%7e1"),
            ("/fixed/x?token=1", "/hub?token=1"),
            ("/fixed/x?", "/hub?"),
        ] {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade(target)).await;
            assert_eq!(head.status(), 101, "{target}");
            assert_eq!(
                backend.heads().last().expect("a request").target(),
                expected,
                "{target}"
            );
        }
    });
}

#[test]
fn the_host_is_preserved_or_the_one_the_route_names() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::default()
            .service("chat", &[backend.address], "")
            .route(r#"path: "/kept""#, "chat", "host: preserve")
            .route(r#"path: "/named""#, "chat", r#"host: "inner.example:9000""#);
        let router = Router::start(&config).await;
        for (target, expected) in [("/kept", "Outer.Example:8080"), ("/named", "inner.example:9000")] {
            reached(&router, "Outer.Example:8080", target)
                .await
                .expect("a session");
            let head = backend.heads().pop().expect("a request");
            assert_eq!(head.value("host"), Some(expected));
            assert_eq!(head.value("x-forwarded-host"), Some("Outer.Example:8080"));
        }
    });
}

#[test]
fn a_path_that_two_readers_could_read_differently_is_400() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        for target in [
            "/a/../admin",
            "/..",
            "/.",
            "/a/./b",
            "/a/..",
            "/a/%2e%2e/admin",
            "/a/%2E./x",
            "/%2e",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a%5cb",
            "/a\\b",
            "/a%00b",
            "/..;/admin",
            "/a/..%2fadmin",
            "/x.%2e/y",
        ] {
            assert_eq!(reached(&router, "h", target).await, Err(400), "{target}");
        }
        assert_eq!(backend.accepted(), 0);
        for target in [
            "/...",
            "/a..b",
            "/a.b/c",
            "/.well-known/x",
            "/a%25b",
            "/a%20b",
            "//",
            "/a//b",
            "/?p=../x%2F%5C",
        ] {
            reached(&router, "h", target)
                .await
                .unwrap_or_else(|status| panic!("{target}: {status}"));
            assert_eq!(backend.heads().last().expect("a request").target(), target);
        }
    });
}

#[test]
fn a_route_may_allow_an_encoded_slash_which_stays_encoded() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::default()
            .service("chat", &[backend.address], "")
            .route(
                r#"path: "/files/{name}""#,
                "chat",
                r#"rewrite: "/f/{name}", allow_encoded_slash: true"#,
            )
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        reached(&router, "h", "/files/a%2Fb").await.expect("a session");
        assert_eq!(backend.heads()[0].target(), "/f/a%2Fb");
        for target in ["/files/a%2F..%2Fb", "/files/a%5Cb", "/other/a%2Fb"] {
            assert_eq!(reached(&router, "h", target).await, Err(400), "{target}");
        }
    });
}

#[test]
fn a_target_in_another_form_is_refused_or_means_its_path() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        for line in [
            "GET * HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET chat.example.com:80 HTTP/1.1",
            "GET http://other.example/x HTTP/1.1",
        ] {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/").line(line)).await;
            assert_eq!(head.status() / 100, 4, "{line}: {head:?}");
        }
        assert_eq!(backend.accepted(), 0);
        let absolute = Request::upgrade("/").line("GET http://chat.example.com/x?y HTTP/1.1");
        let (_client, head) = Conn::upgrade(router.address(), &absolute).await;
        if head.status() == 101 {
            assert_eq!(
                backend.heads()[0].start,
                "GET /x?y HTTP/1.1",
                "a backend is sent a path, not a URL"
            );
        } else {
            assert_eq!(head.status(), 400);
        }
    });
}

#[test]
fn routes_that_are_called_alike_lead_to_their_own_services() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let config = Config::default()
            .service("a", &[backends[0].address], "")
            .service("b", &[backends[1].address], "")
            .route(r#"path: "/", query: { a: "1", b: "2" }"#, "a", "")
            .route(r#"path: "/", query: { a: "1 query b=2" }"#, "b", "");
        let router = Router::start(&config).await;
        for (target, backend) in [
            ("/?a=1&b=2", &backends[0]),
            ("/?a=1%20query%20b%3D2", &backends[1]),
        ] {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade(target)).await;
            assert_eq!(head.status(), 101, "{target}: {head:?}");
            assert_eq!(
                head.value("x-backend"),
                Some(&*backend.address.to_string()),
                "{target}"
            );
        }
        let opened = |line: &serde_json::Value| line["message"] == "session opened";
        let lines = router.log.wait("two opened lines", 2, opened).await;
        assert_eq!(lines[0]["route"], lines[1]["route"], "the names differ");
    });
}
