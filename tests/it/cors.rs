//! Which pages a route serves, and what scripts of other origins may read.

use std::time::Duration;

use crate::support::*;

const APP: &str = "https://app.example.com";

/// A request of a page, or of no browser.
fn from(request: Request, origins: &[&str]) -> Request {
    origins
        .iter()
        .fold(request, |request, origin| request.field("Origin", *origin))
}

fn preflight(origin: &str) -> Request {
    Request::bare("OPTIONS /hub/negotiate HTTP/1.1")
        .field("Host", "chat.example.com")
        .field("Origin", origin)
        .field("Access-Control-Request-Method", "POST")
        .field(
            "Access-Control-Request-Headers",
            "x-requested-with,x-signalr-user-agent",
        )
}

async fn response(router: &Router, request: &Request) -> Response {
    let mut client = Conn::connect(router.address()).await;
    client.write(&request.bytes()).await;
    client.response().await
}

#[test]
fn only_pages_of_listed_origins_reach_a_backend() {
    run(async {
        for door in DOORS {
            println!("at {door:?}");
            let backend = Backend::echo().await;
            let route = format!("origins: [\"{APP}\", \"http://localhost:5173\"]");
            let entry = door.open(Config::over(&[&backend], "", &route)).await;
            let (router, mut visitor) = (&entry.router, entry.visitor().await);
            for (origins, passes) in [
                (&[][..], true),
                (&[APP], true),
                (&["https://APP.example.com"], true),
                (&["http://localhost:5173"], true),
                (&["null"], false),
                (&[""], false),
                (&["https://evil-app.example.com"], false),
                (&["https://app.example.com.evil"], false),
                (&["https://app.example.com:8443"], false),
                (&["http://app.example.com"], false),
                (&[APP, APP], false),
                (&["https://app.example.com, https://app.example.com"], false),
            ] {
                let before = backend.accepted();
                let mut client = visitor.start(&from(Request::upgrade("/"), origins)).await;
                let head = client.head().await.expect("an answer");
                let expected = if passes { door.switched() } else { 403 };
                assert_eq!(head.status(), expected, "{origins:?}");
                let mut client = visitor.ask(&from(Request::plain("/"), origins)).await;
                let expected = if passes { 200 } else { 403 };
                assert_eq!(client.response().await.status(), expected, "{origins:?}");
                assert!(passes || backend.accepted() == before, "{origins:?} was dialled");
            }
            // On HTTP/2 all of that was one connection.
            let mut client = visitor.start(&Request::upgrade("/")).await;
            client.head().await.expect("an answer");
            client.echoes("and it lives").await;
            let denied = [("outcome", "denied")];
            router
                .metric_becomes("longhaul_handshakes_total", &denied, 8.0)
                .await;
            router
                .metric_becomes("longhaul_requests_total", &[("code", "4xx")], 8.0)
                .await;
        }
    });
}

#[test]
fn a_preflight_is_answered_without_a_dial() {
    run(async {
        let backend = Backend::manual().await;
        let route = format!("cors: {{ origins: [\"{APP}\"], credentials: true, max_age: 5m }}");
        let router = Router::start(&Config::over(&[&backend], "", &route)).await;
        let answer = response(&router, &preflight(APP)).await;
        assert_eq!(answer.status(), 204);
        for (name, value) in [
            ("access-control-allow-origin", APP),
            ("access-control-allow-credentials", "true"),
            (
                "access-control-allow-methods",
                "GET, HEAD, POST, PUT, PATCH, DELETE",
            ),
            (
                "access-control-allow-headers",
                "x-requested-with,x-signalr-user-agent",
            ),
            ("access-control-max-age", "300"),
        ] {
            assert_eq!(answer.head.value(name), Some(value), "{name}");
        }
        assert_eq!(
            answer.head.values("vary"),
            [&b"Access-Control-Request-Headers"[..], b"Origin"]
        );
        let answer = response(&router, &preflight("https://evil.example")).await;
        assert_eq!(answer.status(), 403);
        assert!(!answer.head.has("access-control-allow-origin"));
        assert!(!backend.arrives_within(Duration::from_millis(100)).await);
    });
}

#[test]
fn what_is_written_of_methods_and_headers_is_what_a_preflight_says() {
    run(async {
        let backend = Backend::manual().await;
        let route = "cors: { origins: ['*'], methods: [GET], headers: [Content-Type, X-A] }";
        let router = Router::start(&Config::over(&[&backend], "", route)).await;
        let head = response(&router, &preflight("https://any.example")).await.head;
        assert_eq!(head.value("access-control-allow-origin"), Some("*"));
        assert_eq!(head.value("access-control-allow-methods"), Some("GET"));
        assert_eq!(
            head.value("access-control-allow-headers"),
            Some("content-type, x-a")
        );
        assert!(!head.has("access-control-allow-credentials"));
    });
}

#[test]
fn an_options_request_that_asks_for_no_permission_is_the_backends() {
    run(async {
        let backend = Backend::echo().await;
        let route = format!("cors: {{ origins: [\"{APP}\"] }}");
        let router = Router::start(&Config::over(&[&backend], "", &route)).await;
        let request = from(Request::plain("/").line("OPTIONS / HTTP/1.1"), &[APP]);
        assert_eq!(response(&router, &request).await.status(), 200);
        assert_eq!(backend.heads()[0].start, "OPTIONS / HTTP/1.1");
    });
}

#[test]
fn the_backends_own_permissions_are_replaced_not_doubled() {
    run(async {
        let fields = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
                      Access-Control-Expose-Headers: X-Total\r\nVary: Accept\r\n";
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok").into_bytes();
        let backend = Backend::running(Script::Answer(bytes)).await;
        let route = format!("cors: {{ origins: [\"{APP}\"] }}");
        let router = Router::start(&Config::over(&[&backend], "", &route)).await;
        let head = response(&router, &from(Request::plain("/"), &[APP])).await.head;
        assert_eq!(head.values("access-control-allow-origin"), [APP.as_bytes()]);
        assert!(!head.has("access-control-allow-credentials"), "{head:?}");
        assert_eq!(head.value("access-control-expose-headers"), Some("X-Total"));
        assert_eq!(head.values("vary"), [&b"Accept"[..], b"Origin"]);
        // Another origin's script gets an answer that it may not read; and a cache knows that it is another one.
        let other = from(Request::plain("/"), &["https://evil.example"]);
        let head = response(&router, &other).await.head;
        assert_eq!(
            (head.status(), head.has("access-control-allow-origin")),
            (200, false)
        );
        assert_eq!(head.values("vary"), [&b"Accept"[..], b"Origin"]);
    });
}

#[test]
fn a_script_can_read_the_routers_own_refusals() {
    run(async {
        let refusing = Refusing::new();
        let cors = format!("cors: {{ origins: [\"{APP}\", \"null\"], credentials: true }}");
        let config = Config::default()
            .service("none", &[], "")
            .service("dead", &[refusing.address], "")
            .route("path: /none", "none", &cors)
            .route("path: /dead", "dead", &cors)
            .route(
                "path: /strict",
                "none",
                &format!("{cors}, origins: [\"https://other.example\"]"),
            );
        let router = Router::start(&config).await;
        for (path, status) in [("/none", 503), ("/dead", 502), ("/strict", 403)] {
            let head = response(&router, &from(Request::plain(path), &[APP])).await.head;
            assert_eq!(head.status(), status, "{path}");
            assert_eq!(head.value("access-control-allow-origin"), Some(APP), "{path}");
            assert_eq!(
                head.value("access-control-allow-credentials"),
                Some("true"),
                "{path}"
            );
            assert_eq!(head.value("vary"), Some("Origin"), "{path}");
        }
        // Of a path that no route takes nobody has said who may read it.
        let head = response(&router, &from(Request::plain("/other"), &[APP]))
            .await
            .head;
        assert_eq!(
            (head.status(), head.has("access-control-allow-origin")),
            (404, false)
        );
    });
}

#[test]
fn a_session_opens_on_a_route_with_cors_as_on_any_other() {
    run(async {
        let backend = Backend::echo().await;
        let route = format!("cors: {{ origins: [\"{APP}\"] }}");
        let router = Router::start(&Config::over(&[&backend], "", &route)).await;
        let (mut client, head) =
            Conn::upgrade(router.address(), &from(Request::upgrade("/"), &["https://other"])).await;
        assert_eq!((head.status(), head.has("vary")), (101, false));
        client.echoes("here").await;
    });
}
