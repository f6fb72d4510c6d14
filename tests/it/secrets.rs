//! What a client keeps secret appears in nothing that an operator can read.

use crate::support::*;

/// Found nowhere but where a test put it.
const SECRET: &str = "pLaNtEd";

/// A request with a secret in every place where clients put them.
fn telling(target: &str) -> Request {
    Request::upgrade(&format!("{target}?access_token={SECRET}1&id={SECRET}2&{SECRET}3"))
        .field("Cookie", format!("session={SECRET}4; other={SECRET}5"))
        .field("Authorization", format!("Bearer {SECRET}6"))
        .field("Sec-WebSocket-Protocol", format!("chat, bearer.{SECRET}7"))
        .field("X-Api-Key", format!("{SECRET}8"))
        .field("Proxy-Authorization", format!("Basic {SECRET}9"))
        .field("Referer", format!("https://app.example/?token={SECRET}10"))
}

async fn send(router: &Router, bytes: &[u8]) -> u16 {
    let mut client = Conn::connect(router.address()).await;
    client.try_write(bytes).await.ok();
    client.head().await.map_or(0, |head| head.status())
}

/// A service for each way in which a backend can answer, as (backend, target, status).
async fn every_kind_of_backend() -> (Config, Vec<(Backend, String, u16)>) {
    let refusal =
        format!("HTTP/1.1 403 Forbidden\r\nSet-Cookie: s={SECRET}20\r\nContent-Length: 9\r\n\r\n{SECRET}21");
    let wrong = format!("HTTP/1.1 101 Switching Protocols\r\nX-Wrong: {SECRET}22\r\n\r\n");
    let garbage = format!("{SECRET}23 is no answer\r\n\r\n");
    let mut config = Config::default()
        .line("log: { level: trace }")
        .line("limits: { request_deadline: 1s }")
        .line("shutdown: { window: 100ms, deadline: 1s }");
    let mut services = Vec::new();
    for (name, script, status) in [
        ("good", Script::Echo, 101),
        ("silent", Script::Silent, 504),
        ("resets", Script::Reset, 502),
        ("refuses", Script::Answer(refusal.into_bytes()), 403),
        ("wrong", Script::Answer(wrong.into_bytes()), 502),
        ("garbage", Script::Answer(garbage.into_bytes()), 502),
    ] {
        let backend = Backend::running(script).await;
        let target = format!("/{name}");
        config = config.service(name, &[backend.address], "handshake_timeout: 300ms");
        config = config.route(&format!("path: {target}"), name, "");
        services.push((backend, target, status));
    }
    (config, services)
}

/// Requests that open no session.
fn without_session() -> Vec<(&'static str, Request, u16)> {
    vec![
        ("no route", telling("/nowhere"), 404),
        ("a bad path", telling("/../x"), 400),
        (
            "another version",
            telling("/good").with("Sec-WebSocket-Version", "7"),
            426,
        ),
        (
            "a bad key",
            telling("/good").with("Sec-WebSocket-Key", SECRET),
            400,
        ),
        ("two hosts", telling("/good").field("Host", SECRET), 400),
        (
            "a plain request",
            telling("/good").without("Upgrade").with("Connection", "close"),
            200,
        ),
        (
            "too many fields",
            (0..120).fold(telling("/good"), |r, n| r.field(&format!("X-{SECRET}{n}"), "1")),
            431,
        ),
    ]
}

#[test]
fn no_secret_is_in_any_log_line_metric_or_admin_answer() {
    run(async {
        let (config, services) = every_kind_of_backend().await;
        let mut router = Router::start(&config).await;
        for (_, target, status) in &services {
            assert_eq!(send(&router, &telling(target).bytes()).await, *status, "{target}");
        }
        for (name, request, status) in without_session() {
            assert_eq!(send(&router, &request.bytes()).await, status, "{name}");
        }
        send(&router, format!("{SECRET} is no request\r\n\r\n").as_bytes()).await;
        send(&router, &telling("/good").bytes()[..150]).await;

        let (mut client, head) = Conn::upgrade(router.address(), &telling("/good")).await;
        assert_eq!(head.status(), 101);
        client.echoes(&format!("{SECRET}30")).await;
        let mut seen = Vec::new();
        for path in ["/metrics", "/api/services", "/api/sessions", "/readyz", "/"] {
            seen.push((path, router.get(path).await.text()));
        }
        client.send(Frame::close(4000, &format!("{SECRET}31"))).await;
        client.rest().await;
        router.signal(rustix::process::Signal::TERM);
        router.exit(SOON).await;
        seen.push(("the log", router.log.raw()));
        for (place, text) in seen {
            let lines: Vec<_> = text.lines().filter(|line| line.contains(SECRET)).collect();
            assert!(
                lines.is_empty(),
                "{} lines of {place}, such as {}",
                lines.len(),
                lines[0]
            );
        }
        // The log did say something about these requests, or the search above would prove nothing.
        assert_eq!(router.log.all("session ended").len(), 2);
    });
}
