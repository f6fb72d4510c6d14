//! A browser uses the demo's page, which is what a newcomer sees first; and scripts of other origins ask the router.

use crate::support::*;

#[test]
fn chromium_connects_on_the_demo_page_and_sees_its_echo_and_how_sessions_spread() {
    run(async {
        let seen = Tools::ready()
            .output("demo", env!("CARGO_BIN_EXE_longhaul"))
            .await;
        let seen: serde_json::Value =
            serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
        let backend = seen["backend"].as_str().expect("a backend's name");
        let log = seen["text"].as_str().expect("the page's log");
        assert!(!backend.is_empty() && backend != "nobody yet");
        assert!(log.contains(&format!("#1 connected to {backend}")), "{log}");
        assert!(log.contains(&format!("#1 {backend}: from a browser")), "{log}");
        assert_eq!(log.matches("closed with code 1000").count(), 11, "{log}");
        assert_eq!(
            seen["spread"],
            serde_json::json!([3, 4, 4]),
            "11 sessions over three backends"
        );
        assert_eq!(seen["problems"], serde_json::json!([]));
    });
}

#[test]
fn chromium_lets_scripts_of_a_listed_origin_read_every_answer_and_others_none() {
    run(async {
        let tools = Tools::ready();
        let server = tools.server("plain_server.cjs").await;
        let page = format!("http://{}", server.address);
        let cors = format!("cors: {{ origins: [\"{page}\"], credentials: true }}");
        let config = Config::default()
            .service("web", &[server.address], "")
            .service("none", &[], "")
            .route(r#"path: "/{*rest}""#, "web", &cors)
            .route("path: /none", "none", &cors);
        let router = Router::start(&config).await;
        let argument = format!("{page} http://{}", router.address());
        let seen = tools.output("cors.cjs", &argument).await;
        let lines: Vec<_> = seen.lines().collect();
        let expected = [
            "/echo 200 hello",
            "/echo 200 ",
            "/none 503 no endpoint can take this request",
            "/echo TypeError",
            "/echo TypeError",
            "/none TypeError",
        ];
        assert_eq!(lines, expected);
    });
}
