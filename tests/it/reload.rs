//! A new config while sessions live: all of it or nothing of it, and no session is lost.

use rustix::process::Signal;

use crate::support::*;

async fn echo_all(clients: &mut [Conn], text: &str) {
    for client in clients {
        client.echoes(text).await;
    }
}

async fn open_many(router: &Router, count: usize) -> Vec<Conn> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(open(router).await);
    }
    clients
}

async fn backend_of(router: &Router, target: &str) -> Result<String, u16> {
    let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade(target)).await;
    match head.status() {
        101 => Ok(head
            .value("x-backend")
            .expect("an echo backend names itself")
            .to_owned()),
        status => Err(status),
    }
}

#[test]
fn sighup_swaps_the_routes_and_keeps_every_session() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let config = |path: &str, backend: &Backend| {
            Config::default().service("chat", &[backend.address], "").route(
                &format!("path: {path}"),
                "chat",
                "",
            )
        };
        let router = Router::start(&config("\"/{*rest}\"", &backends[0])).await;
        let mut clients = open_many(&router, 50).await;
        router.reload(&config("/new", &backends[1])).await;
        echo_all(&mut clients, "still here").await;
        assert_eq!(
            backend_of(&router, "/new").await,
            Ok(backends[1].address.to_string())
        );
        assert_eq!(backend_of(&router, "/old").await, Err(404));
        assert!(router.log.all("session ended").len() <= 1);
    });
}

#[test]
fn a_changed_file_is_reloaded_without_a_signal() {
    run(async {
        let backend = Backend::echo().await;
        let config = |path: &str| {
            Config::default().service("chat", &[backend.address], "").route(
                &format!("path: {path}"),
                "chat",
                "",
            )
        };
        let router = Router::start(&config("/one")).await;
        let mut client = Conn::upgrade(router.address(), &Request::upgrade("/one")).await.0;
        router.dir.replace("longhaul.yaml", &config("/two").text());
        eventually(SOON, "the new route", || async {
            backend_of(&router, "/two").await.ok()
        })
        .await;
        std::fs::write(router.dir.path("longhaul.yaml"), config("/three").text()).expect("a writable file");
        eventually(SOON, "the route of a file written in place", || async {
            backend_of(&router, "/three").await.ok()
        })
        .await;
        client.echoes("still here").await;
    });
}

#[test]
fn a_config_map_that_is_swapped_by_its_links_is_reloaded() {
    run(async {
        let backend = Backend::echo().await;
        let config = |path: &str| {
            Config::default().service("chat", &[backend.address], "").route(
                &format!("path: {path}"),
                "chat",
                "",
            )
        };
        let dir = Dir::new();
        // As the kubelet lays it out: file -> ..data/file, ..data -> ..timestamp.
        let publish = |version: &str, text: &str| {
            let target = dir.path(version);
            std::fs::create_dir(&target).expect("a writable directory");
            std::fs::write(target.join("longhaul.yaml"), text).expect("a writable directory");
            std::os::unix::fs::symlink(version, dir.path("..data_tmp")).expect("a link");
            std::fs::rename(dir.path("..data_tmp"), dir.path("..data")).expect("a rename");
        };
        publish("..2026_01", &config("/one").text());
        std::os::unix::fs::symlink("..data/longhaul.yaml", dir.path("longhaul.yaml")).expect("a link");
        let path = dir.path("longhaul.yaml");
        publish("..2026_02", &config("/two").text());
        let (old, newest) = (dir.path("..2026_01"), dir.path("..2026_02"));
        assert!(newest.exists());
        std::fs::remove_dir_all(old).expect("a directory to remove");
        let root = dir.path("");
        let router = Router::start_at(dir, &path).await;
        assert!(backend_of(&router, "/two").await.is_ok());
        let target = root.join("..2026_03");
        std::fs::create_dir(&target).expect("a writable directory");
        std::fs::write(target.join("longhaul.yaml"), config("/three").text()).expect("a writable directory");
        std::os::unix::fs::symlink("..2026_03", root.join("..data_tmp")).expect("a link");
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).expect("a rename");
        std::fs::remove_dir_all(newest).expect("a directory to remove");
        eventually(SOON, "the route of the swapped map", || async {
            backend_of(&router, "/three").await.ok()
        })
        .await;
    });
}

/// Sections that are wrong, each in its own way.
const BROKEN: [(&str, &str); 20] = [
    ("an unknown key at the top", "nonsense: 1"),
    (
        "an unknown strategy",
        "services: { chat: { discovery: { static: [127.0.0.1:1] }, balance: random } }",
    ),
    (
        "a service without discovery",
        "services: { chat: { balance: round-robin } }",
    ),
    (
        "an address without a port",
        "services: { chat: { discovery: { static: [127.0.0.1] } } }",
    ),
    (
        "a weight below one",
        "services: { chat: { discovery: { static: [{ address: 127.0.0.1:1, weight: -1 }] } } }",
    ),
    (
        "a duration without a unit",
        "services: { chat: { discovery: { static: [127.0.0.1:1] }, connect_timeout: 5 } }",
    ),
    ("a size of letters", "limits: { request_head: big }"),
    (
        "an unknown service",
        "routes: [{ match: { path: /x }, service: nobody }]",
    ),
    (
        "a path without a slash",
        "routes: [{ match: { path: x }, service: chat }]",
    ),
    (
        "a rest in the middle",
        "routes: [{ match: { path: \"/{*rest}/x\" }, service: chat }]",
    ),
    (
        "a rewrite with an unknown name",
        "routes: [{ match: { path: \"/{a}\" }, service: chat, rewrite: \"/{b}\" }]",
    ),
    ("a route without a service", "routes: [{ match: { path: /x } }]"),
    ("no listener", "listeners: []"),
    (
        "a listener that is no address",
        "listeners: [{ address: everywhere }]",
    ),
    ("a number too large", "workers: 99999999999999999999"),
    ("a list where a map belongs", "shutdown: [1, 2]"),
    (
        "a close code out of range",
        "services: { chat: { discovery: { static: [127.0.0.1:1] }, drain: { close_code: 1006 } } }",
    ),
    ("an unknown level", "log: { level: loud }"),
    ("text that is not YAML", "routes: [ {"),
    (
        "a network that is none",
        "listeners: [{ address: 127.0.0.1:0, trusted_proxies: [10.0.0.0/99] }]",
    ),
];

/// The good config with one section replaced where it stood (or put at the top), and the line of the mistake.
fn with_mistake(good: &str, mistake: &str) -> (String, usize) {
    let key = mistake.split(':').next().expect("a key");
    let Some(at) = good.lines().position(|line| line.starts_with(key)) else {
        return (format!("{mistake}\n{good}"), 1);
    };
    let before = good.lines().take(at);
    let after = good.lines().skip(at + 1).skip_while(|line| line.starts_with(' '));
    (
        before
            .chain([mistake])
            .chain(after)
            .collect::<Vec<_>>()
            .join("\n"),
        at + 1,
    )
}

#[test]
fn a_broken_config_changes_nothing_and_is_named_with_its_file_and_line() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::to(&[&backend]);
        let router = Router::start(&config).await;
        let mut clients = open_many(&router, 100).await;
        let good = config.text();
        for (name, mistake) in BROKEN {
            let (text, line) = with_mistake(&good, mistake);
            let lines = router.log.raw().lines().count();
            router.reload_text(&text).await;
            // Text that is no YAML is noticed where it ends, everything else where it is.
            let line = if name == "text that is not YAML" {
                String::new()
            } else {
                format!("{line}:")
            };
            let place = format!("longhaul.yaml:{line}");
            eventually(SOON, &format!("{name}: {place} in the log"), || async {
                let raw = router.log.raw();
                raw.lines()
                    .skip(lines)
                    .any(|line| line.contains(&place))
                    .then_some(())
            })
            .await;
            let path = router.dir.path("longhaul.yaml");
            let output = longhaul(&["check", "--config", &path.to_string_lossy()]).await;
            assert_eq!(output.status.code(), Some(1), "{name}");
            let text = [output.stdout, output.stderr].concat();
            assert!(
                String::from_utf8_lossy(&text).contains("longhaul.yaml:"),
                "{name}"
            );
            echo_all(&mut clients, name).await;
            open(&router).await.echoes("the old config serves").await;
        }
        let metrics = router.metrics().await;
        assert!(
            metrics.sum("longhaul_config_reloads_total", &[]) >= 20.0,
            "{}",
            metrics.text
        );
        assert!(router.log.all("session ended").len() <= BROKEN.len());
    });
}

#[test]
fn check_says_nothing_is_wrong_with_a_good_config() {
    run(async {
        let (dir, backend) = (Dir::new(), Backend::echo().await);
        let path = dir.replace("longhaul.yaml", &Config::to(&[&backend]).text());
        let output = longhaul(&["check", "--config", &path.to_string_lossy()]).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
}

#[test]
fn many_reloads_under_load_lose_no_session_and_no_handshake() {
    run(async {
        let backends = [
            Backend::echo().await,
            Backend::echo().await,
            Backend::echo().await,
        ];
        let config = |count: usize| {
            let chosen: Vec<_> = backends.iter().take(count).collect();
            Config::over(
                &chosen,
                "",
                &format!("session: {{ idle_timeout: {}m }}", count + 1),
            )
        };
        let router = Router::start(&config(1)).await;
        let mut clients = open_many(&router, 100).await;
        for round in 0..100 {
            router.dir.replace("longhaul.yaml", &config(1 + round % 3).text());
            router.signal(Signal::HUP);
            clients.push(open(&router).await);
            let index = round * 7 % clients.len();
            clients[index].echoes("in between").await;
        }
        echo_all(&mut clients, "after all of them").await;
        assert!(router.log.all("session ended").is_empty());
        router
            .metric_becomes("longhaul_sessions_active", &[], 200.0)
            .await;
    });
}

#[test]
fn sessions_of_a_removed_endpoint_stay_and_new_ones_go_elsewhere() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let router = Router::start(&Config::to(&[&backends[0]])).await;
        let mut clients = open_many(&router, 20).await;
        router.reload(&Config::to(&[&backends[1]])).await;
        clients.extend(open_many(&router, 5).await);
        echo_all(&mut clients, "all of us").await;
        assert_eq!((backends[0].accepted(), backends[1].accepted()), (20, 5));
    });
}

#[test]
fn sessions_of_a_removed_endpoint_are_closed_where_the_service_says_so() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let keys = "drain: { mode: close, window: 500ms, deadline: 5s, close_code: 1012 }";
        let both = Config::over(
            &[&backends[0], &backends[1]],
            &format!("balance: round-robin, {keys}"),
            "",
        );
        let router = Router::start(&both).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(Conn::upgrade(router.address(), &Request::upgrade("/")).await);
        }
        router
            .reload(&Config::over(
                &[&backends[1]],
                &format!("balance: round-robin, {keys}"),
                "",
            ))
            .await;
        let removed = backends[0].address.to_string();
        for (client, head) in &mut clients {
            if head.value("x-backend") == Some(&removed) {
                assert_eq!(close_code(&client.frame().await), Some(1012));
                client.send(Frame::close(1012, "")).await;
                assert_eq!(client.rest().await.0, b"");
            }
        }
        for (client, head) in &mut clients {
            if head.value("x-backend") != Some(&removed) {
                client.echoes("untouched").await;
            }
        }
    });
}

#[test]
fn load_counts_survive_a_reload() {
    run(async {
        let backends = [
            Backend::echo().await,
            Backend::echo().await,
            Backend::echo().await,
        ];
        let chosen = |count: usize| {
            let chosen: Vec<_> = backends.iter().take(count).collect();
            Config::over(&chosen, "balance: least-connection", "")
        };
        let router = Router::start(&chosen(2)).await;
        let mut clients = open_many(&router, 20).await;
        router.reload(&chosen(3)).await;
        clients.extend(open_many(&router, 10).await);
        assert_eq!(backends.each_ref().map(Backend::accepted), [10, 10, 10]);
        router.reload(&chosen(1)).await;
        router.reload(&chosen(3)).await;
        clients.extend(open_many(&router, 9).await);
        assert_eq!(backends.each_ref().map(Backend::accepted), [13, 13, 13]);
    });
}
