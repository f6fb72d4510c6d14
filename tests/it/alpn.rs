//! HTTP/2 within TLS, chosen by ALPN, with clients that others wrote.

use crate::support::*;

/// A router within TLS before a server of WebSockets at `/chat` and a server of everything else, and its URL.
async fn stage() -> (Entry, String, [Process; 2]) {
    let tools = Tools::ready();
    let (chat, web) = tokio::join!(tools.server("server.cjs"), tools.server("plain_server.cjs"));
    let config = Config::default()
        .service("chat", &[chat.address], "")
        .service("web", &[web.address], "")
        .route("path: /chat", "chat", "")
        .route(r#"path: "/{*rest}""#, "web", "");
    let entry = Door::Http2Tls.open(config).await;
    let url = format!("https://{}", entry.router.address());
    (entry, url, [chat, web])
}

fn ca(entry: &Entry) -> String {
    entry.router.dir.path("ca.pem").to_str().unwrap().to_owned()
}

async fn tls_handshakes(entry: &Entry) -> f64 {
    let metrics = entry.router.metrics().await;
    metrics.sum("longhaul_tls_handshakes_total", &[("result", "ok")])
}

#[test]
fn chromium_gets_a_page_and_opens_websockets_on_one_connection() {
    const SESSIONS: usize = 8;
    run(async {
        let (entry, url, _servers) = stage().await;
        let arguments = [url.as_str(), &SESSIONS.to_string()];
        let seen = Tools::ready().output_of("secure-browser.cjs", &arguments).await;
        let seen: serde_json::Value =
            serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
        assert_eq!((&seen["protocol"], &seen["same"]), (&"h2".into(), &true.into()));
        let sessions = seen["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), SESSIONS);
        for (n, session) in sessions.iter().enumerate() {
            let text = format!("text {n} ").len() + n * 5000;
            let expected = serde_json::json!({"echoed": text, "code": 4000 + n, "wasClean": true});
            assert_eq!(session, &expected);
        }
        entry.router.ended(SESSIONS).await;
        assert_eq!(tls_handshakes(&entry).await, 1.0, "one connection for all of it");
    });
}

#[test]
fn node_exchanges_messages_on_streams_within_tls() {
    run(async {
        let (entry, url, _servers) = stage().await;
        let url = format!("{}/chat", url.replace("https", "wss"));
        let tools = Tools::ready();
        let seen = tools.output_believing("http2.cjs", &url, &ca(&entry)).await;
        assert_eq!(seen, include_str!("../real/expected.txt"));
        assert_eq!(tls_handshakes(&entry).await, 1.0);
    });
}

#[test]
fn node_sends_and_gets_bodies_events_and_trailers() {
    run(async {
        let (entry, url, _servers) = stage().await;
        let tools = Tools::ready();
        let seen = tools.output_believing("http2_plain.cjs", &url, &ca(&entry)).await;
        let lines: Vec<_> = seen.lines().collect();
        let expected = [
            "POST 200 POST body of POST",
            "PUT 200 PUT body of PUT",
            "PATCH 200 PATCH body of PATCH",
            "DELETE 200 DELETE body of DELETE",
            "large true",
            "missing 404",
            "trailers down 4",
            "trailers up sum 3",
            "events 20",
            "at once true",
        ];
        assert_eq!(lines, expected);
        assert_eq!(tls_handshakes(&entry).await, 1.0);
    });
}

#[test]
fn curl_sends_bodies_of_known_and_unknown_length_and_sees_trailers() {
    run(async {
        let (entry, url, _servers) = stage().await;
        let ca = ca(&entry);
        let body = "curl ".repeat(200_000);
        let file = entry.router.dir.replace("body", &body);
        let at = format!("@{}", file.display());
        let echo = format!("{url}/echo");
        for (what, more) in [
            ("a length", &["--data-binary", &at][..]),
            ("no length", &["--data-binary", &at, "-H", "Content-Length:"]),
            ("a wait", &["--data-binary", &at, "-H", "Expect: 100-continue"]),
            ("a file", &["-T", file.to_str().unwrap()]),
        ] {
            let arguments = [&["--http2", "--cacert", &ca, &echo][..], more].concat();
            let (status, text) = curl(&arguments).await;
            assert_eq!(status, "200 2", "{what}");
            assert!(text == body, "{what}: {} bytes", text.len());
        }
        let trailers = format!("{url}/trailers");
        let (status, text) = curl(&["--http2", "--cacert", &ca, "-H", "TE: trailers", "-i", &trailers]).await;
        assert_eq!(status, "200 2", "{text}");
        assert!(text.contains("body") && text.contains("x-sum: 4"), "{text}");
        let (status, head) = curl(&["--http2", "--cacert", &ca, "-I", &echo]).await;
        assert_eq!(status, "200 2", "{head}");
        assert!(head.contains("x-method: HEAD"), "{head}");
    });
}

#[test]
fn nghttp2_uploads_with_trailers_and_gets_two_thousand_answers() {
    run(async {
        let (entry, url, _servers) = stage().await;
        Tools::ready();
        let file = entry.router.dir.replace("body", &"nghttp ".repeat(20_000));
        let file = file.to_str().unwrap();
        let sum = format!("{url}/sum");
        // A backend of HTTP/1.1 gets trailers behind a body of unknown length, if they are announced.
        let unknown = ["--no-content-length", "-H", "trailer: x-sum"];
        let arguments = [
            &unknown[..],
            &["--trailer", "x-sum: 140000", "--data", file, &sum],
        ]
        .concat();
        let text = nghttp2("nghttp", &arguments).await;
        assert!(text.contains("sum 140000"), "{text}");
        // Its streams share two connections.
        let echo = format!("{url}/echo");
        let text = nghttp2("h2load", &["-n2000", "-c2", "-m50", "-d", file, &echo]).await;
        assert!(text.contains("2000 succeeded, 0 failed, 0 errored"), "{text}");
        assert!(text.contains("Application protocol: h2"), "{text}");
        assert_eq!(tls_handshakes(&entry).await, 3.0);
    });
}

/// What a tool of nghttp2 prints.
async fn nghttp2(tool: &str, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(tool);
    let running = command.args(arguments).kill_on_drop(true).output();
    let output = within(SOON + SOON, tool, running).await.expect("a tool to run");
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    text
}
