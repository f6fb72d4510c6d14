use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use discovery::{Endpoint, Identity};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    session::{Cause, NewSession, Order, Registered},
    telemetry::LogLoss,
};

/// An admin address that serves until this is dropped.
struct Admin {
    address: SocketAddr,
    sessions: Arc<Sessions>,
    ready: Readiness,
    control: Arc<Recorder>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<io::Result<()>>,
}

/// Remembers what it was told.
#[derive(Default)]
struct Recorder(Mutex<Vec<(bool, String, String)>>);

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// A token file that is gone with the test.
struct Secret(PathBuf);

impl Control for Recorder {
    fn drain(&self, service: &str, endpoint: &Identity) -> Result<(), ControlError> {
        self.0
            .lock()
            .unwrap()
            .push((true, service.to_owned(), endpoint.to_string()));
        Ok(())
    }

    fn undrain(&self, service: &str, endpoint: &Identity) -> Result<(), ControlError> {
        self.0
            .lock()
            .unwrap()
            .push((false, service.to_owned(), endpoint.to_string()));
        Ok(())
    }
}

impl Secret {
    fn new(name: &str) -> Self {
        let name = format!("longhaul-admin-{}-{name}.token", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "swordfish").unwrap();
        Self(path)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Admin {
    async fn start(token: Option<&Secret>) -> Self {
        Self::start_with(token, None, None).await
    }

    /// `pretend` has the rules of another bound address than loopback, without binding it.
    async fn start_with(token: Option<&Secret>, extra: Option<Router>, pretend: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sessions = Sessions::new(2);
        let ready = Readiness::default();
        let control = Arc::new(Recorder::default());
        let sources = Sources {
            sessions: Arc::clone(&sessions),
            services: Arc::new(services),
            metrics: metrics::Metrics::new(LogLoss::default()),
            ready: ready.clone(),
            control: Arc::clone(&control) as Arc<dyn Control>,
            token: TokenFile::new(token.map(|secret| secret.0.clone())),
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(async move {
            match pretend {
                None => serve(listener, sources, extra, shutdown).await,
                Some(bound) => {
                    let rules = access::Rules::new(bound, Arc::clone(&sources.token));
                    let router = router(sources, extra);
                    serve::run(listener, Arc::new(serve::Site { rules, router }), shutdown).await;
                    Ok(())
                }
            }
        });
        Self {
            address,
            sessions,
            ready,
            control,
            stop: Some(stop),
            serving,
        }
    }

    async fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // A server that leaves part of a request unread resets the connection behind its answer.
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let address = self.address;
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n"
        ))
        .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    fn open(&self, worker: usize, route: &str, port: u16) -> Registered {
        self.sessions.open(
            worker,
            NewSession {
                route: route.into(),
                service: "chat".into(),
                endpoint: Arc::new(Endpoint::at(local(port))),
                client: "192.0.2.7:5000".parse().unwrap(),
            },
        )
    }
}

impl Answer {
    fn json(&self) -> Value {
        assert!(
            self.head.contains("content-type: application/json"),
            "{}",
            self.head
        );
        serde_json::from_str(&self.body).unwrap()
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    fn ids(&self) -> Vec<String> {
        let sessions = &self.json()["sessions"];
        let ids = sessions.as_array().unwrap().iter();
        ids.map(|session| session["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn services() -> Vec<ServiceStatus> {
    let endpoint = |port, state| EndpointStatus {
        identity: Identity::of_address(local(port)),
        address: local(port),
        weight: 2,
        state,
        ejected: false,
        far: port == 9002,
        sessions: 3,
    };
    vec![ServiceStatus {
        name: "chat".into(),
        strategy: "least-connection",
        known: true,
        age: None,
        sources: vec![SourceStatus {
            name: "consul chat".into(),
            condition: "failing",
            age: Some(Duration::from_millis(1500)),
            error: Some("connection refused".into()),
        }],
        endpoints: vec![endpoint(9001, "active"), endpoint(9002, "draining")],
    }]
}

const TOKEN: &str = "authorization: Bearer swordfish\r\n";

#[tokio::test]
async fn livez_says_that_the_process_runs() {
    let admin = Admin::start(None).await;
    let _waiting = admin.ready.part("listeners");
    let answer = admin.get("/livez").await;
    assert_eq!((answer.status, &*answer.body), (200, "ok\n"));
}

#[tokio::test]
async fn readyz_names_what_it_waits_for_and_turns_with_draining() {
    let admin = Admin::start(None).await;
    let waiting = admin.ready.part("service chat");
    let answer = admin.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["waiting_for"][0], "service chat");
    drop(waiting);
    let answer = admin.get("/readyz").await;
    assert_eq!(
        (answer.status, &answer.json()["ready"]),
        (200, &Value::Bool(true))
    );
    admin.ready.drain();
    let answer = admin.get("/readyz").await;
    assert_eq!(
        (answer.status, &answer.json()["draining"]),
        (503, &Value::Bool(true))
    );
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let admin = Admin::start(None).await;
    let _live = admin.open(0, "/chat", 9001);
    let answer = admin.get("/metrics").await;
    assert_eq!(answer.status, 200);
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(content_type), "{}", answer.head);
    let series = r#"longhaul_sessions_active{route="/chat",service="chat",endpoint="127.0.0.1:9001"} 1"#;
    assert!(answer.body.contains(series), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn services_are_listed_with_the_documented_names() {
    let admin = Admin::start(None).await;
    let listed = admin.get("/api/services").await.json();
    let expected = serde_json::json!({ "services": [{
        "name": "chat",
        "strategy": "least-connection",
        "known": true,
        "age_seconds": null,
        "sources": [{ "name": "consul chat", "condition": "failing", "age_seconds": 1.5,
                      "error": "connection refused" }],
        "endpoints": [
            { "identity": "addr:127.0.0.1:9001", "address": "127.0.0.1:9001", "weight": 2,
              "state": "active", "ejected": false, "far": false, "sessions": 3 },
            { "identity": "addr:127.0.0.1:9002", "address": "127.0.0.1:9002", "weight": 2,
              "state": "draining", "ejected": false, "far": true, "sessions": 3 },
        ],
    }] });
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn a_session_is_shown_as_it_is() {
    let admin = Admin::start(None).await;
    let live = admin.open(0, "/chat", 9001);
    let carried = &live.session().carried;
    carried.bytes_from_client.set(70);
    carried.bytes_to_client.set(71);
    carried.messages_from_client.set(1);
    carried.messages_to_client.set(2);
    let shown = admin.get("/api/sessions").await.json()["sessions"][0].take();
    let opened = humantime::parse_rfc3339(shown["opened"].as_str().unwrap()).unwrap();
    assert!(SystemTime::now().duration_since(opened).unwrap() < Duration::from_secs(60));
    assert!(shown["age_seconds"].as_f64().unwrap() < 60.0);
    let expected = serde_json::json!({
        "id": live.session().id.to_string(),
        "route": "/chat",
        "service": "chat",
        "endpoint": "127.0.0.1:9001",
        "identity": "addr:127.0.0.1:9001",
        "client": "192.0.2.7:5000",
        "opened": shown["opened"],
        "age_seconds": shown["age_seconds"],
        "bytes_from_client": 70,
        "bytes_to_client": 71,
        "messages_from_client": 1,
        "messages_to_client": 2,
    });
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn pages_show_each_session_once_though_others_end_meanwhile() {
    let admin = Admin::start(None).await;
    let mut live: Vec<_> = (0..25)
        .map(|number| admin.open(number % 2, "/chat", 9001))
        .collect();
    let mut expected: Vec<_> = live.iter().map(|live| live.session().id.to_string()).collect();

    let first = admin.get("/api/sessions?limit=10").await;
    assert_eq!(first.json()["total"], 25);
    assert_eq!(first.ids(), expected[..10]);
    // One that was shown and one that was not end before the next page is asked for.
    live.remove(20);
    live.remove(3);
    expected.remove(20);

    let mut seen = first.ids();
    let mut next = first.json()["next"].clone();
    while let Some(after) = next.as_str() {
        let page = admin.get(&format!("/api/sessions?limit=10&after={after}")).await;
        seen.extend(page.ids());
        next = page.json()["next"].clone();
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_page_is_bounded_whatever_is_asked() {
    let admin = Admin::start(None).await;
    let _live: Vec<_> = (0..1001).map(|_| admin.open(0, "/chat", 9001)).collect();
    assert_eq!(admin.get("/api/sessions").await.ids().len(), 100);
    assert_eq!(admin.get("/api/sessions?limit=1000000").await.ids().len(), 1000);
    assert_eq!(admin.get("/api/sessions?limit=0").await.ids().len(), 1);
}

#[tokio::test]
async fn filters_narrow_the_list_and_a_misspelt_one_is_an_error() {
    let admin = Admin::start(None).await;
    let live = [
        admin.open(0, "/a", 9001),
        admin.open(0, "/a", 9002),
        admin.open(1, "/b", 9002),
    ];
    let ids: Vec<_> = live.iter().map(|live| live.session().id.to_string()).collect();
    let cases = [
        ("service=chat", &ids[..]),
        ("service=other", &[]),
        ("route=%2Fa", &ids[..2]),
        ("endpoint=127.0.0.1:9002", &ids[1..]),
        ("endpoint=addr:127.0.0.1:9002&route=/b", &ids[2..]),
        ("endpoint=nonsense", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(
            admin.get(&format!("/api/sessions?{query}")).await.ids(),
            expected,
            "{query}"
        );
    }
    for query in ["servcie=chat", "limit=many", "after=zz", "limit=-1"] {
        let answer = admin.get(&format!("/api/sessions?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(!answer.error().is_empty());
    }
}

#[tokio::test]
async fn delete_closes_the_session_and_no_other() {
    let secret = Secret::new("delete");
    let admin = Admin::start(Some(&secret)).await;
    let [closed, other] = [admin.open(0, "/chat", 9001), admin.open(1, "/chat", 9001)];
    let id = closed.session().id;
    let answer = admin.ask("DELETE", &format!("/api/sessions/{id}"), TOKEN).await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.json(),
        serde_json::json!({ "session": id.to_string(), "closing": true })
    );
    assert_eq!(
        closed.session().order(),
        Some(Order::Close(1001, Cause::Operator))
    );
    assert_eq!(other.session().order(), None);

    drop(closed);
    let answer = admin.ask("DELETE", &format!("/api/sessions/{id}"), TOKEN).await;
    assert_eq!(answer.status, 404);
    let answer = admin.ask("DELETE", "/api/sessions/nonsense", TOKEN).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn drain_and_undrain_reach_control_under_the_identity() {
    let secret = Secret::new("drain");
    let admin = Admin::start(Some(&secret)).await;
    let place = "/api/services/chat/endpoints";
    let answer = admin
        .ask("POST", &format!("{place}/addr%3A127.0.0.1%3A9001/drain"), TOKEN)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["drained"], true);
    let answer = admin
        .ask("POST", &format!("{place}/127.0.0.1:9002/undrain"), TOKEN)
        .await;
    assert_eq!(answer.status, 200);
    for path in [
        "chat/endpoints/127.0.0.1:9/drain",
        "other/endpoints/127.0.0.1:9001/drain",
    ] {
        let answer = admin.ask("POST", &format!("/api/services/{path}"), TOKEN).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let told = admin.control.0.lock().unwrap().clone();
    let identity = |port| format!("addr:127.0.0.1:{port}");
    let expected = [
        (true, "chat".to_owned(), identity(9001)),
        (false, "chat".to_owned(), identity(9002)),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn nothing_changes_by_reading_or_without_the_token() {
    let secret = Secret::new("nothing");
    let [with_file, without] = [Admin::start(Some(&secret)).await, Admin::start(None).await];
    for admin in [&with_file, &without] {
        let live = admin.open(0, "/chat", 9001);
        let session = format!("/api/sessions/{}", live.session().id);
        let drain = "/api/services/chat/endpoints/127.0.0.1:9001/drain";
        assert_eq!(admin.ask("GET", &session, TOKEN).await.status, 405);
        assert_eq!(admin.ask("GET", drain, TOKEN).await.status, 405);
        let refused = if admin.address == with_file.address {
            401
        } else {
            403
        };
        for (method, path) in [("DELETE", &*session), ("POST", drain)] {
            let answer = admin.ask(method, path, "").await;
            assert_eq!(answer.status, refused, "{method} {path}");
            assert!(answer.error().contains("token"));
            assert_eq!(answer.head.contains("www-authenticate: bearer"), refused == 401);
        }
        assert_eq!(live.session().order(), None);
        assert!(admin.control.0.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn another_host_or_origin_is_refused_before_any_route_is_looked_at() {
    let extra = Router::new().route("/demo", get(async || "demo"));
    let admin = Admin::start_with(None, Some(extra), None).await;
    assert_eq!(admin.get("/demo").await.body, "demo");
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/sessions",
        "/console.js",
        "/demo",
        "/unknown",
    ] {
        let rebound = format!(
            "GET {path} HTTP/1.1\r\nhost: evil.example:{}\r\n\r\n",
            admin.address.port()
        );
        assert_eq!(admin.raw(&rebound).await.status, 421, "{path}");
        let foreign = admin.ask("GET", path, "origin: http://evil.example\r\n").await;
        assert_eq!(foreign.status, 403, "{path}");
        assert!(!foreign.head.contains("access-control-allow"), "{}", foreign.head);
    }
}

#[tokio::test]
async fn elsewhere_than_on_loopback_the_console_asks_for_the_token() {
    let secret = Secret::new("elsewhere");
    let extra = Router::new().route("/demo", get(async || "demo"));
    let bound = Some("0.0.0.0:9901".parse().unwrap());
    let admin = Admin::start_with(Some(&secret), Some(extra), bound).await;
    let page = admin.get("/").await;
    assert_eq!(page.status, 401);
    assert!(page.head.contains("content-type: text/html") && page.head.contains("content-security-policy"));
    assert!(page.body.contains(r#"<input id="token""#));
    for path in ["/api/services", "/api/sessions", "/demo"] {
        assert_eq!(admin.get(path).await.status, 401, "{path}");
        assert_eq!(admin.ask("GET", path, TOKEN).await.status, 200, "{path}");
    }
    for path in ["/livez", "/readyz", "/metrics", "/console.js", "/console.css"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn every_answer_keeps_browsers_strict() {
    let demo = crate::demo::page::router(local(8080));
    let admin = Admin::start_with(None, Some(demo), None).await;
    let rebound = admin.raw("GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    let mut answers = vec![rebound];
    for path in [
        "/",
        "/console.js",
        "/console.css",
        "/livez",
        "/metrics",
        "/api/services",
        "/unknown",
        "/demo",
    ] {
        answers.push(admin.get(path).await);
    }
    for answer in &answers {
        for header in [
            "cache-control: no-store\r\n",
            "x-content-type-options: nosniff\r\n",
            "x-frame-options: deny\r\n",
            "content-security-policy: default-src 'none'; script-src 'self';",
        ] {
            assert!(
                format!("{}\r\n", answer.head).contains(header),
                "{header:?} in {}",
                answer.head
            );
        }
        assert_eq!(answer.head.matches("content-security-policy").count(), 1);
    }
    let demo = answers.last().unwrap();
    assert!(
        demo.head.contains("connect-src ws://127.0.0.1:8080;"),
        "{}",
        demo.head
    );
    assert!(demo.body.contains(r#"data-router="ws://127.0.0.1:8080/""#));
}

/// The policy forbids scripts and styles in the page, and nothing may come from elsewhere.
#[tokio::test]
async fn pages_load_only_files_that_are_served_here() {
    let demo = crate::demo::page::router(local(8080));
    let admin = Admin::start_with(None, Some(demo), None).await;
    for page in ["/", "/demo"] {
        let html = admin.get(page).await.body;
        assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains(" onclick="));
        for script in html.split("<script").skip(1) {
            assert!(
                script.starts_with(" src=\"/") && script.contains("></script>"),
                "{script}"
            );
        }
        let linked = html
            .split(['"', '\''])
            .filter(|part| part.ends_with(".js") || part.ends_with(".css"));
        let mut files = 0;
        for file in linked {
            let answer = admin.get(file).await;
            assert_eq!(answer.status, 200, "{file}");
            assert!(
                !answer.body.contains("http://") && !answer.body.contains("https://"),
                "{file}"
            );
            files += 1;
        }
        assert_eq!(files, 2, "{page}");
    }
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let admin = Admin::start(None).await;
    let long = format!("x-long: {}\r\n", "x".repeat(20_000));
    assert_eq!(admin.ask("GET", "/livez", &long).await.status, 431);
    let many: String = (0..100).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert_eq!(admin.ask("GET", "/livez", &many).await.status, 431);
    let large = admin.ask("GET", "/livez", "content-length: 1000000\r\n").await;
    assert_eq!(large.status, 413);
    let endless = admin.ask("GET", "/livez", "transfer-encoding: chunked\r\n").await;
    assert_eq!(endless.status, 413);
}

#[tokio::test]
async fn held_connections_do_not_keep_a_probe_out() {
    let admin = Admin::start(None).await;
    let mut held = Vec::new();
    for _ in 0..serve::CONNECTIONS {
        let mut stream = TcpStream::connect(admin.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    // Well below the deadline that would free the held ones anyway.
    let probe = timeout(Duration::from_secs(5), admin.get("/livez")).await;
    assert_eq!(probe.expect("an answer").status, 200);
    let oldest = timeout(Duration::from_secs(5), held[0].read_u8()).await;
    assert!(oldest.expect("the oldest gave way").is_err());
}

/// On a paused clock, as idle tasks make it jump to the next deadline.
#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_at_the_deadline() {
    let admin = Admin::start(None).await;
    let started = tokio::time::Instant::now();
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let mut rest = Vec::new();
    let cut = async {
        // A client that goes on sending is cut like one that stops.
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if timeout(Duration::from_millis(1), stream.read_to_end(&mut rest))
                .await
                .is_ok()
            {
                break;
            }
        }
    };
    timeout(Duration::from_secs(3600), cut)
        .await
        .expect("cut before an hour");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_connection_carries_one_request() {
    let admin = Admin::start(None).await;
    let one = format!("GET /livez HTTP/1.1\r\nhost: {}\r\n\r\n", admin.address);
    let answer = admin.raw(&one.repeat(2)).await;
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    assert_eq!(answer.body, "ok\n");
}

#[tokio::test]
async fn shutdown_ends_the_serving_and_cuts_what_is_open() {
    let mut admin = Admin::start(None).await;
    let mut open = TcpStream::connect(admin.address).await.unwrap();
    open.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    assert_eq!(admin.get("/livez").await.status, 200);
    admin.stop.take().unwrap().send(()).unwrap();
    (&mut admin.serving).await.unwrap().unwrap();
    assert!(open.read_u8().await.is_err());
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
