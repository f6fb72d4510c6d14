use std::path::Path;

use discovery::provider::{
    dns::Question,
    kubernetes::{Access, Location, PortChoice, Target},
};
use proptest::{prop_assert, prop_assume, proptest};

use super::*;

mod broken;
mod consul;
mod tls;

/// Every key that there is, each with a value that is not its default.
pub(super) const EVERYTHING: &str = include_str!("tests/everything.yaml");

/// The shortest file that is accepted.
const LEAST: &str = "
listeners: [{ address: 127.0.0.1:0 }]
services: { chat: { discovery: { static: [127.0.0.1:9001] } } }
routes: [{ match: {}, service: chat }]
";

fn accepted(text: &str) -> Config {
    parse(text, Path::new("router.yaml")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> String {
    parse(text, Path::new("router.yaml"))
        .expect_err("problems")
        .to_string()
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let config = accepted(LEAST);
    assert_eq!(config.workers, None);
    assert_eq!(
        (config.log.level, config.log.sessions),
        (tracing::Level::INFO, true)
    );
    assert_eq!(
        (config.limits.connections, config.limits.request_head),
        (None, 16 << 10)
    );
    assert_eq!(
        (config.limits.request_headers, config.limits.request_deadline),
        (100, Duration::from_secs(10))
    );
    assert!(config.listeners[0].trusted_proxies.is_empty() && config.admin.is_none());
    assert!(config.cache.is_none() && config.providers.dns.allow.is_empty());
    let shutdown = config.shutdown;
    assert_eq!(
        (shutdown.delay, shutdown.window),
        (Duration::ZERO, Duration::from_secs(20))
    );
    assert_eq!(shutdown.deadline, Duration::from_secs(30));

    let chat = &config.services["chat"];
    assert_eq!(
        (&*chat.name, chat.required, chat.balance),
        ("chat", true, Strategy::LeastConnection)
    );
    assert_eq!(
        (chat.empty_hold, chat.max_sessions_per_endpoint),
        (Duration::from_secs(30), None)
    );
    assert_eq!(
        (chat.connect_timeout, chat.handshake_timeout),
        (Duration::from_secs(1), Duration::from_secs(5))
    );
    assert_eq!(chat.response_timeout, Duration::from_secs(300));
    assert!(config.routes[0].origins.is_none() && config.routes[0].cors.is_none());
    assert_eq!(
        (chat.retry.attempts, chat.retry.on_connect, chat.retry.on_timeout),
        (3, true, true)
    );
    assert_eq!((chat.drain.mode, chat.drain.close_code), (DrainMode::Keep, 1001));
    assert_eq!(
        (chat.drain.window, chat.drain.deadline),
        (Duration::from_secs(30), Duration::from_secs(600))
    );

    let route = &config.routes[0];
    assert_eq!((&*route.name, &*route.service), ("*/{*rest}", "chat"));
    assert!(route.rewrite.is_none() && matches!(route.host, HostRewrite::Preserve));
    assert_eq!(
        (route.forwarded, route.pattern.allow_encoded_slash),
        (Forwarded::XForwarded, false)
    );
    let session = route.session;
    assert_eq!(
        (session.idle_timeout, session.ping_timeout),
        (Duration::from_secs(3600), Duration::from_secs(20))
    );
    assert_eq!((session.max_lifetime, session.ping_interval), (None, None));
}

#[test]
fn every_key_of_the_process_reaches_the_config() {
    let config = accepted(EVERYTHING);
    assert_eq!(config.workers.map(NonZeroUsize::get), Some(2));
    assert_eq!(
        (config.log.level, config.log.sessions),
        (tracing::Level::DEBUG, false)
    );
    assert_eq!(config.limits.connections.map(NonZeroUsize::get), Some(5000));
    assert_eq!(
        (config.limits.request_head, config.limits.request_headers),
        (32 << 10, 50)
    );
    assert_eq!(config.limits.request_deadline, Duration::from_millis(2500));
    assert_eq!(config.listeners[1].address, "[::1]:8081".parse().unwrap());
    assert_eq!(
        [config.listeners[0].http2, config.listeners[1].http2],
        [true, false]
    );
    let proxies: Vec<String> = config.listeners[1]
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.7/32"]);
    let cache = config.cache.unwrap();
    assert_eq!(cache.folder, Path::new("last-known"));
    assert_eq!(cache.max_age, Duration::from_secs(2 * 3600));
    let allow: Vec<String> = config
        .providers
        .dns
        .allow
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(allow, ["127.0.0.0/8", "::1/128"]);
    let admin = config.admin.unwrap();
    assert_eq!(
        (admin.address.port(), admin.token_file),
        (9901, Some("admin.token".into()))
    );
    let shutdown = config.shutdown;
    assert_eq!(
        [shutdown.delay, shutdown.window, shutdown.deadline].map(|d| d.as_secs()),
        [5, 10, 15]
    );
}

#[test]
fn every_key_of_a_service_reaches_the_config() {
    let config = accepted(EVERYTHING);
    let chat = &config.services["chat"];
    let [first, second, third, fourth, fifth, _, _] = &*chat.discovery else {
        panic!("{chat:?}")
    };
    let fallbacks = chat.discovery.iter().map(|source| source.fallback);
    assert!(fallbacks.eq([false, true, false, false, false, false, false]));
    let (Discovery::Static(first), Discovery::Static(second)) = (&first.discovery, &second.discovery) else {
        panic!("{chat:?}")
    };
    assert_eq!(third.discovery, Discovery::File("endpoints.yaml".into()));
    let (Discovery::Dns(name), Discovery::Dns(srv)) = (&fourth.discovery, &fifth.discovery) else {
        panic!("{chat:?}")
    };
    let asked = Question::Addresses {
        name: "chat.internal".to_owned(),
        port: 9004,
    };
    assert_eq!((&name.question, name.server), (&asked, None));
    let asked = Question::Srv("_ws._tcp.chat.internal.".to_owned());
    assert_eq!(srv.question, asked);
    assert_eq!(srv.server, Some("127.0.0.1:53".parse().unwrap()));
    assert_eq!(first[0], Endpoint::at("127.0.0.1:9001".parse().unwrap()));
    assert_eq!(
        (
            first[1].address.port(),
            first[1].weight.get(),
            second[0].address.port()
        ),
        (9002, 2, 9003)
    );
    assert_eq!((chat.required, chat.balance), (false, Strategy::PowerOfTwo));
    assert_eq!(chat.max_sessions_per_endpoint.map(NonZeroUsize::get), Some(100));
    assert_eq!(
        [chat.empty_hold, chat.connect_timeout, chat.handshake_timeout].map(|d| d.as_millis()),
        [0, 200, 900]
    );
    assert_eq!(
        (chat.retry.attempts, chat.retry.on_connect, chat.retry.on_timeout),
        (2, true, false)
    );
    assert_eq!((chat.drain.mode, chat.drain.close_code), (DrainMode::Close, 4001));
    assert_eq!(
        (chat.drain.window, chat.drain.deadline),
        (Duration::ZERO, Duration::from_secs(60))
    );
}

#[test]
fn every_key_of_kubernetes_reaches_the_config() {
    let config = accepted(EVERYTHING);
    let provider = &config.providers.kubernetes;
    assert_eq!(provider.access, Access::Kubeconfig("cluster.conf".into()));
    assert_eq!(provider.namespace.as_deref(), Some("rooms"));
    assert_eq!(provider.allow, ["169.254.0.0/16".parse().unwrap()]);
    let here = Location {
        zone: Some("eu-1a".into()),
        node: Some("node-1.internal".into()),
    };
    assert_eq!(provider.location, here);
    let chat = || Target::try_new("chat").unwrap();
    let named = chat()
        .on(PortChoice::Named("ws".into()))
        .in_namespace("default")
        .unwrap();
    let numbered = chat().on(PortChoice::Number(9001.try_into().unwrap()));
    let sources = config.services["chat"]
        .discovery
        .iter()
        .rev()
        .map(|source| &source.discovery);
    assert!(
        sources
            .take(2)
            .eq(&[Discovery::Kubernetes(numbered), Discovery::Kubernetes(named)])
    );

    let config = accepted(&LEAST.replace("static: [127.0.0.1:9001]", "kubernetes: { service: chat }"));
    assert_eq!(
        config.services["chat"].discovery[0].discovery,
        Discovery::Kubernetes(chat())
    );
    assert_eq!(config.providers.kubernetes, KubernetesProvider::default());
    assert_eq!(config.providers.kubernetes.access, Access::InCluster);
}

#[test]
fn every_key_of_a_route_reaches_the_config() {
    let config = accepted(EVERYTHING);
    let route = &config.routes[0];
    assert_eq!(
        &*route.name,
        "*.example.com/gateway/{*rest} header x-version=2 query beta"
    );
    assert_eq!(
        (route.rewrite.as_ref().unwrap().to_string(), route.forwarded),
        ("/{rest}".into(), Forwarded::Both)
    );
    assert!(matches!(&route.host, HostRewrite::Set(name) if name == "chat.internal:8443"));
    assert!(route.pattern.allow_encoded_slash);
    let origins = route.origins.as_ref().unwrap();
    assert!(
        origins.has(b"https://chat.example.com")
            && origins.has(b"null")
            && !origins.has(b"https://app.example.com")
    );
    let cors = route.cors.as_ref().unwrap();
    assert!(cors.origins.as_ref().unwrap().has(b"http://localhost:5173"));
    assert_eq!(
        (cors.credentials, cors.max_age),
        (true, Duration::from_secs(3600))
    );
    assert_eq!(cors.headers.as_ref().unwrap(), "content-type, x-requested-with");
    assert_eq!(cors.methods, "GET, POST");
    let session = route.session;
    let spans = [
        Some(session.idle_timeout),
        session.max_lifetime,
        session.ping_interval,
        Some(session.ping_timeout),
    ];
    assert_eq!(spans.map(|span| span.unwrap().as_secs()), [120, 3600, 15, 5]);
}

#[test]
fn the_words_on_and_off_stay_words() {
    // YAML 1.1 would read `on` as a flag, and the key would be lost.
    let config = accepted(&LEAST.replace(
        "static: [127.0.0.1:9001] }",
        "static: [127.0.0.1:9001] }, retry: { on: [] }",
    ));
    let retry = config.services["chat"].retry;
    assert_eq!(
        (retry.attempts, retry.on_connect, retry.on_timeout),
        (3, false, false)
    );
    let text = format!("{LEAST}log: {{ sessions: off }}\n");
    assert!(
        problems(&text).contains("log.sessions: is text; write `true` or `false`"),
        "{}",
        problems(&text)
    );
}

#[test]
fn json_is_accepted_and_its_problems_are_placed() {
    let text = "{\n\t\"listeners\": [{\"address\": \"127.0.0.1:0\"}],\n\t\"services\": {\"chat\": {\"discovery\": \
                {\"static\": [\"127.0.0.1:9001\"]}}},\n\t\"routes\": [{\"match\": {}, \"service\": \"chat\"}]\n}";
    assert_eq!(accepted(text).routes.len(), 1);
    let broken = text.replace("\"chat\"}]", "\"chad\"}]");
    assert_eq!(
        problems(&broken),
        "router.yaml:4:38: routes[0].service: no service is named `chad`; did you mean `chat`?"
    );
}

#[test]
fn relative_files_begin_at_the_folder_of_the_config() {
    let text = format!("{LEAST}admin: {{ address: 127.0.0.1:0, token_file: secrets/token }}\n");
    let token = |file: &str| {
        parse(&text, Path::new(file))
            .unwrap()
            .admin
            .unwrap()
            .token_file
            .unwrap()
    };
    assert_eq!(
        token("/etc/longhaul/router.yaml"),
        Path::new("/etc/longhaul/secrets/token")
    );
    assert_eq!(token("router.yaml"), Path::new("secrets/token"));
    let absolute = text.replace("secrets/token", "/run/token");
    let admin = parse(&absolute, Path::new("/etc/router.yaml"))
        .unwrap()
        .admin
        .unwrap();
    assert_eq!(admin.token_file.unwrap(), Path::new("/run/token"));
}

#[test]
fn every_example_is_accepted() {
    let mut seen = 0;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "yaml") {
            load(&file).unwrap_or_else(|problems| panic!("{problems}"));
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem_without_a_place() {
    let problems = load(Path::new("/nonexistent/router.yaml")).expect_err("no such file");
    assert!(
        problems
            .to_string()
            .starts_with("/nonexistent/router.yaml: cannot be read: "),
        "{problems}"
    );
    assert_eq!(problems.iter().map(Problem::place).collect::<Vec<_>>(), [None]);
}

#[test]
fn ten_thousand_endpoints_are_accepted_and_a_repeated_one_is_found() {
    let endpoint = |n: usize| format!("10.0.{}.{}:9001", n / 250, n % 250);
    let list: Vec<String> = (0..10_000).map(endpoint).collect();
    let text = |list: &[String]| LEAST.replace("127.0.0.1:9001", &list.join(", "));
    let config = accepted(&text(&list));
    let Discovery::Static(endpoints) = &config.services["chat"].discovery[0].discovery else {
        panic!("a list")
    };
    assert_eq!(endpoints.len(), 10_000);
    let repeated = problems(&text(&[&list[..], &[endpoint(7)]].concat()));
    assert!(
        repeated.contains("static[10000]: is the same endpoint as services.chat.discovery.static[7]"),
        "{repeated}"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:{}\\[\\],\\-? \n\t\"'|>#&*!%@~0.\\\\é]{0,60}") {
        let _ = parse(&text, Path::new("router.yaml"));
    }

    /// Damage to a good file reaches every reader, which arbitrary text never does.
    #[test]
    fn no_damaged_file_panics(
        at in 0..EVERYTHING.len(),
        cut in 0usize..20,
        put in "[a-z0-9:{}\\[\\], \n\"'*~.-]{0,8}",
    ) {
        let cut = (at + cut).min(EVERYTHING.len());
        prop_assume!(EVERYTHING.is_char_boundary(at) && EVERYTHING.is_char_boundary(cut));
        let text = format!("{}{put}{}", &EVERYTHING[..at], &EVERYTHING[cut..]);
        if let Err(problems) = parse(&text, Path::new("router.yaml")) {
            prop_assert!(problems.iter().count() > 0);
            let places: Vec<_> = problems.iter().map(Problem::place).collect();
            prop_assert!(places.is_sorted(), "{:?}", places);
        }
    }
}

#[test]
fn a_file_of_endpoints_is_read_as_a_list_in_the_config() {
    let read = |text: &str| endpoints(text.as_bytes(), Path::new("endpoints.yaml"));
    let list = read("# ours\n- 127.0.0.1:1\n- { address: 127.0.0.1:2, weight: 7 }\n").unwrap();
    let found: Vec<_> = list.iter().map(|e| (e.address.port(), e.weight.get())).collect();
    assert_eq!(found, [(1, 1), (2, 7)]);
    assert_eq!(read("[]").unwrap(), []);
    assert_eq!(read("[127.0.0.1:1]").unwrap().len(), 1);
}

#[test]
fn what_is_wrong_in_a_file_of_endpoints_is_told_with_its_place() {
    for (text, wanted) in [
        ("- 127.0.0.1:1\n- 127.0.0.1\n", "endpoints.yaml:2:3: [1]: "),
        (
            "- 127.0.0.1:1\n- { adress: 127.0.0.1:2 }\n",
            "did you mean `address`?",
        ),
        (
            "- 127.0.0.1:1\n- 127.0.0.1:1\n",
            "endpoints.yaml:2:3: [1]: is the same endpoint as [0] in line 1",
        ),
        ("- 127.0.0.1:1\n- {", "endpoints.yaml:2:"),
        (
            "",
            "endpoints.yaml:1:1: the file is empty; write a list such as `[127.0.0.1:9001]`, or `[]` for none",
        ),
        ("a: b", "endpoints.yaml:1:"),
        ("\"\u{7f}", "endpoints.yaml:1:"),
    ] {
        let problems = endpoints(text.as_bytes(), Path::new("endpoints.yaml"))
            .unwrap_err()
            .to_string();
        assert!(problems.contains(wanted), "{text}: {problems}");
    }
    let not_text = endpoints(b"- 1\n- \xff", Path::new("endpoints.yaml")).unwrap_err();
    assert!(
        not_text.to_string().starts_with("endpoints.yaml:2:3: not UTF-8"),
        "{not_text}"
    );
}
