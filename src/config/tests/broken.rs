//! Files with mistakes, and what is said of each. A reload meets such files while sessions are running.

use super::*;

#[test]
fn five_mistakes_of_five_kinds_are_reported_at_once_in_the_order_of_the_file() {
    let text = r#"
listeners:
  - address: 127.0.0.1:8080
services:
  chat:
    discovery: { static: [127.0.0.1:9001] }
    balanse: round-robin
    connect_timeout: 5
    drain: { close_code: 1006 }
routes:
  - match: { path: "/chat" }
    service: chta
  - service: chat
"#;
    assert_eq!(
        problems(text).lines().collect::<Vec<_>>(),
        [
            "router.yaml:7:5: services.chat.balanse: unknown key; did you mean `balance`?",
            "router.yaml:8:22: services.chat.connect_timeout: `5` has no unit; write `5s` for seconds or `5ms` for \
             milliseconds",
            "router.yaml:9:26: services.chat.drain.close_code: `1006` may not be sent; write 1001 or 1012, or one of \
             your own from 4000 to 4999",
            "router.yaml:12:14: routes[0].service: no service is named `chta`; did you mean `chat`?",
            "router.yaml:13:5: routes[1].match: is missing; write `{ host: chat.example.com, path: /chat }`",
        ]
    );
}

/// A good file, one line of which each row replaces.
const GOOD: &str = r#"listeners:
  - address: 127.0.0.1:8080
admin: { address: 127.0.0.1:9901 }
services:
  chat:
    discovery: { static: [127.0.0.1:9001] }
    retry: { attempts: 3 }
    drain: { window: 30s }
  spare: { discovery: { static: [] } }
routes:
  - match: { path: "/chat/{room}" }
    service: chat
    rewrite: "/{room}"
    session: { idle_timeout: 1h }
shutdown: { window: 20s }
limits: { request_head: 16KiB }
"#;

/// (line that is replaced, its new text, line and field of the only problem, what is said)
type Row = (usize, &'static str, usize, &'static str, &'static str);

const ROWS: &[Row] = &[
    (
        1,
        "listenres:",
        1,
        "listeners",
        "is missing; write a list with at least one",
    ),
    (
        2,
        "  - {}",
        2,
        "listeners[0].address",
        "is missing; write `ip:port`",
    ),
    (
        2,
        "  - address: localhost:8080",
        2,
        "listeners[0].address",
        "is a host name; write ip:port",
    ),
    (
        2,
        "  - address: 127.0.0.1",
        2,
        "listeners[0].address",
        "has no port; write `127.0.0.1:9001`",
    ),
    (
        2,
        "  - address: 8080",
        2,
        "listeners[0].address",
        "is a number; write `ip:port`",
    ),
    (
        2,
        "  - address: 127.0.0.1:8080\n  - address: 0.0.0.0:8080",
        3,
        "listeners[1]",
        "is taken by listeners[0] in line 2",
    ),
    (
        2,
        "  - { address: '[::]:80', trusted_proxies: [10.1.0.0/8] }",
        2,
        "listeners[0].trusted_proxies[0]",
        "write `10.0.0.0/8`",
    ),
    (
        2,
        "  - { address: '[::]:80', tls: {} }",
        2,
        "listeners[0].tls.certificate",
        "is missing; write `certificate: tls.crt` and `key: tls.key`",
    ),
    (
        2,
        "  - { address: '[::]:80', tls: { certificate: a.crt } }",
        2,
        "listeners[0].tls.certificate",
        "stands without `key`",
    ),
    (
        2,
        "  - { address: '[::]:80', tls: { certificates: [] } }",
        2,
        "listeners[0].tls.certificates",
        "is empty; write a list",
    ),
    (
        2,
        "  - { address: '[::]:80', tls: { certificates: [{ certificate: a }] } }",
        2,
        "listeners[0].tls.certificates[0].key",
        "is missing",
    ),
    (
        2,
        "  - { address: '[::]:80', tls: { certificate: a, key: b, certificates: [{ certificate: a, key: b }] } }",
        2,
        "listeners[0].tls.certificates",
        "stands beside `certificate` and `key`",
    ),
    (
        2,
        "  - { address: '[::]:80', proxy_protocol: true }",
        2,
        "listeners[0].proxy_protocol",
        "takes nobody's connection without `trusted_proxies`",
    ),
    (
        7,
        "    tls: { client_key: a.key }",
        7,
        "services.chat.tls.client_key",
        "stands without `client_certificate`",
    ),
    (
        7,
        "    tls: { server_name: 'chat:443' }",
        7,
        "services.chat.tls.server_name",
        "is no host name or address",
    ),
    (
        7,
        "    tls: { ca: a.pem, insecure_skip_verify: true }",
        7,
        "services.chat.tls.ca",
        "means nothing with `insecure_skip_verify`",
    ),
    (
        3,
        "admin: { address: 127.0.0.1:8080 }",
        3,
        "admin",
        "is taken by listeners[0] in line 2",
    ),
    (3, "admin:", 3, "admin", "has no value"),
    (
        3,
        "admin: { address: 127.0.0.1:9901 }\nadmin: {}",
        4,
        "admin",
        "repeats the key `admin` of line 3",
    ),
    (
        3,
        "providers: { consul: { address: ftp://a } }",
        3,
        "providers.consul.address",
        "`ftp://a` has another scheme; write `http://`",
    ),
    (
        3,
        "providers: { consul: { address: [http://a, \"http://a:8500\"] } }",
        3,
        "providers.consul.address[1]",
        "is the same agent as providers.consul.address[0] in line 3",
    ),
    (
        3,
        "providers: { consul: { tls: { ca: ca.pem } } }",
        3,
        "providers.consul.tls",
        "means nothing without an `https://` address",
    ),
    (
        3,
        "providers: { consul: { address: https://a, tls: { key: own.key } } }",
        3,
        "providers.consul.tls.key",
        "stands without `certificate`",
    ),
    (
        3,
        "providers: { consul: { register: {} } }",
        3,
        "providers",
        "`consul.register` has nothing to check",
    ),
    (
        3,
        "providers: { consul: { connections: 7 } }",
        3,
        "providers.consul.connections",
        "write a whole number from 8",
    ),
    (3, "workers: two", 3, "workers", "is text; write a whole number"),
    (
        3,
        "workers: -1",
        3,
        "workers",
        "out of range; write a whole number from 0 to",
    ),
    (3, "log: { level: inof }", 3, "log.level", "did you mean `info`?"),
    (3, "log: [info]", 3, "log", "is a list; write `{ level: info }`"),
    (
        5,
        "  chat room:\n    discovery: { static: [] }\n  chat:",
        5,
        "services.\"chat room\"",
        "does not fit",
    ),
    (
        6,
        "    required: true",
        5,
        "services.chat.discovery",
        "is missing",
    ),
    (
        6,
        "    discovery: { fallback: true }",
        6,
        "services.chat.discovery.static",
        "is missing",
    ),
    (
        6,
        "    discovery: [{ static: [127.0.0.1:1], fallback: true }, { file: a, fallback: true }]",
        6,
        "services.chat.discovery[0]",
        "so is every other source",
    ),
    (
        6,
        "    discovery: { static: [127.0.0.1:1], file: list.yaml }",
        6,
        "services.chat.discovery.file",
        "beside `static`",
    ),
    (
        6,
        "    discovery: { consul: { tags: [ws] } }",
        6,
        "services.chat.discovery.consul.service",
        "is missing; write a name such as `chat`",
    ),
    (
        6,
        "    discovery: { consul: { service: chat, address: wan_ipv5 } }",
        6,
        "services.chat.discovery.consul.address",
        "did you mean `wan_ipv4`?",
    ),
    (
        6,
        "    discovery: { consul: { service: chat, tags: [\"a`\\\"\"] } }",
        6,
        "services.chat.discovery.consul.tags[0]",
        "has both kinds of quotes",
    ),
    (
        6,
        "    discovery: { consul: { service: chat, filter: \" \" } }",
        6,
        "services.chat.discovery.consul.filter",
        "has no words",
    ),
    (
        6,
        "    discovery: { dns: { name: chat.internal } }",
        6,
        "services.chat.discovery.dns.port",
        "is missing",
    ),
    (
        6,
        "    discovery: { dns: { port: 80 } }",
        6,
        "services.chat.discovery.dns.name",
        "is missing",
    ),
    (
        6,
        "    discovery: { dns: { name: a.b, srv: _a._tcp.b, port: 80 } }",
        6,
        "services.chat.discovery.dns.srv",
        "beside `name`",
    ),
    (
        6,
        "    discovery: { dns: { srv: _a._tcp.b, port: 80 } }",
        6,
        "services.chat.discovery.dns.port",
        "SRV records have ports",
    ),
    (
        6,
        "    discovery: { dns: { name: 10.0.0.1, port: 80 } }",
        6,
        "services.chat.discovery.dns.name",
        "under `static`",
    ),
    (
        6,
        "    discovery: { dns: { name: a..b, port: 80 } }",
        6,
        "services.chat.discovery.dns.name",
        "is no host name",
    ),
    (
        6,
        "    discovery: { dns: { name: a.b, port: 80, server: ns.internal:53 } }",
        6,
        "services.chat.discovery.dns.server",
        "is a host name",
    ),
    (
        3,
        "providers: { dns: { allow: [127.0.0.0/8, 127.0.0.0/8] } }",
        3,
        "providers.dns.allow[1]",
        "is the same network as",
    ),
    (
        3,
        "providers: { kubernetes: { zone: \"\" } }",
        3,
        "providers.kubernetes.zone",
        "write a zone such as",
    ),
    (
        6,
        "    discovery: { kubernetes: { port: ws } }",
        6,
        "services.chat.discovery.kubernetes.service",
        "is missing",
    ),
    (
        6,
        "    discovery: { kubernetes: { service: Chat } }",
        6,
        "services.chat.discovery.kubernetes.service",
        "`Chat` is no name in Kubernetes",
    ),
    (
        6,
        "    discovery: { kubernetes: { service: chat, namespace: a/b } }",
        6,
        "services.chat.discovery.kubernetes.namespace",
        "`a/b` is no name in Kubernetes",
    ),
    (
        6,
        "    discovery: { kubernetes: { service: chat, port: 70000 } }",
        6,
        "services.chat.discovery.kubernetes.port",
        "a port from 1 to 65535",
    ),
    (
        6,
        "    discovery: { kubernetes: { service: chat, port: \"80\" } }",
        6,
        "services.chat.discovery.kubernetes.port",
        "a number without quotes",
    ),
    (
        6,
        "    discovery: { kubernetes: { service: chat, port: true } }",
        6,
        "services.chat.discovery.kubernetes.port",
        "is a yes-or-no value",
    ),
    (3, "cache_max_age: 1s", 3, "cache_max_age", "out of range"),
    (
        6,
        "    discovery: { static: [chat.internal:9001] }",
        6,
        "services.chat.discovery.static[0]",
        "a name goes under `dns`",
    ),
    (
        6,
        "    discovery: { static: [127.0.0.1:0] }",
        6,
        "services.chat.discovery.static[0]",
        "has no port",
    ),
    (
        6,
        "    discovery: { static: [\"[::]:1\"] }",
        6,
        "services.chat.discovery.static[0]",
        "no address of one machine",
    ),
    (
        6,
        "    discovery: { static: [{ address: 127.0.0.1:1, weight: 0 }] }",
        6,
        "services.chat.discovery.static[0].weight",
        "out of range",
    ),
    (
        6,
        "    discovery: { static: [127.0.0.1:1,\n      127.0.0.1:2, '[::ffff:127.0.0.1]:1'] }",
        7,
        "services.chat.discovery.static[2]",
        "static[0] in line 6",
    ),
    (
        7,
        "    retry: { on: [connect, refused] }",
        7,
        "services.chat.retry.on[1]",
        "write one of `connect`, `timeout`",
    ),
    (
        7,
        "    retry: { on: connect }",
        7,
        "services.chat.retry.on",
        "is text; write a list",
    ),
    (
        7,
        "    retry: { attempts: \"3\" }",
        7,
        "services.chat.retry.attempts",
        "is text; write a whole number",
    ),
    (
        7,
        "    connect_timeout: 0s",
        7,
        "services.chat.connect_timeout",
        "out of range; write a duration from 1ms",
    ),
    (
        7,
        "    affinity: singalr",
        7,
        "services.chat.affinity",
        "is unknown; did you mean `signalr`?",
    ),
    (
        7,
        "    affinity: [signalr, none]",
        7,
        "services.chat.affinity[1]",
        "stands among others",
    ),
    (
        7,
        "    affinity: [client-ip, client-ip]",
        7,
        "services.chat.affinity[1]",
        "is the same as",
    ),
    (
        7,
        "    affinity: { same_site: lax }",
        7,
        "services.chat.affinity.cookie",
        "is missing; write `none`",
    ),
    (
        7,
        "    affinity: { cookie: a, header: b }",
        7,
        "services.chat.affinity.header",
        "stands beside `cookie`",
    ),
    (
        7,
        "    affinity: { header: b, partitioned: true }",
        7,
        "services.chat.affinity.partitioned",
        "is an attribute of a cookie",
    ),
    (
        7,
        "    affinity: { cookie: 'a b' }",
        7,
        "services.chat.affinity.cookie",
        "is no name of a cookie",
    ),
    (
        7,
        "    affinity: { cookie: a, cookie_path: '/;x' }",
        7,
        "services.chat.affinity.cookie_path",
        "is no path of a cookie",
    ),
    (
        7,
        "    affinity: { cookie: a, domain: 'a;b' }",
        7,
        "services.chat.affinity.domain",
        "is no domain",
    ),
    (
        7,
        "    affinity: { path: [room, hub] }",
        5,
        "services.chat",
        "has affinity by `hub`, and no route to it",
    ),
    (
        3,
        "affinity_secret_files: [a.key, ./b.key, a.key]",
        3,
        "affinity_secret_files[2]",
        "is the same file as",
    ),
    (
        3,
        "affinity_secret_files: a.key",
        3,
        "affinity_secret_files",
        "is text; write a list of files",
    ),
    (
        8,
        "    drain: { window: 20m }",
        8,
        "services.chat.drain.window",
        "longer than `deadline` (10m)",
    ),
    (
        8,
        "    drain: { deadline: 5s }",
        8,
        "services.chat.drain.deadline",
        "shorter than `window` (30s if not written)",
    ),
    (
        11,
        "  - match: { path: chat }\n    host: h",
        11,
        "routes[0].match.path",
        "starts with a slash; write \"/chat\"",
    ),
    (
        11,
        "  - match: { host: 'a b', path: '/{room}' }",
        11,
        "routes[0].match.host",
        "is no host",
    ),
    (
        11,
        "  - match: { path: '/{room}', headers: { a: 1 } }",
        11,
        "routes[0].match.headers.a",
        "is a number; write text, in quotes",
    ),
    (
        11,
        "  - match: { path: '/{room}', headers: { 'a b': x } }",
        11,
        "routes[0].match.headers.\"a b\"",
        "is no header name",
    ),
    (
        11,
        "  - { match: { path: '/chat/{x}' }, service: spare }\n  - match: { path: \"/chat/{room}\" }",
        12,
        "routes[1]",
        "matches the same requests as routes[0] in line 11",
    ),
    (
        12,
        "    service: 7",
        12,
        "routes[0].service",
        "is a number; write the name of a service",
    ),
    (
        13,
        "    rewrite: \"/{rooms}\"",
        13,
        "routes[0].rewrite",
        "has no parameter",
    ),
    (
        13,
        "    host: user@chat",
        13,
        "routes[0].host",
        "is no host; write `preserve`",
    ),
    (13, "    cors: {}", 13, "routes[0].cors.origins", "is missing"),
    (
        13,
        "    cors: { origins: ['*'], credentials: true }",
        13,
        "routes[0].cors.origins[0]",
        "list the origins",
    ),
    (
        13,
        "    cors: { origins: ['*', 'https://a'] }",
        13,
        "routes[0].cors.origins[0]",
        "remove it, or the others",
    ),
    (
        13,
        "    cors: { origins: ['https://a'], headers: ['a b'] }",
        13,
        "routes[0].cors.headers[0]",
        "is no field name",
    ),
    (
        13,
        "    cors: { origins: ['https://a'], methods: [post] }",
        13,
        "routes[0].cors.methods[0]",
        "is no method",
    ),
    (
        13,
        "    origins: ['https://a/']",
        13,
        "routes[0].origins[0]",
        "scheme, host and port and nothing more",
    ),
    (
        13,
        "    origins: ['*']",
        13,
        "routes[0].origins[0]",
        "leave the key out",
    ),
    (
        13,
        "    origins: ['https://a', 'HTTPS://A']",
        13,
        "routes[0].origins[1]",
        "is the same as",
    ),
    (13, "    origins: []", 13, "routes[0].origins", "is empty"),
    (
        14,
        "    session: { idle_timeout: 0 }",
        14,
        "routes[0].session.idle_timeout",
        "out of range",
    ),
    (
        14,
        "    session: { ping_timeout: 5s }",
        14,
        "routes[0].session.ping_timeout",
        "add `ping_interval`",
    ),
    (
        14,
        "    sesion: {}",
        14,
        "routes[0].sesion",
        "did you mean `session`?",
    ),
    (
        15,
        "shutdown: { deadline: soon }",
        15,
        "shutdown.deadline",
        "is no duration; write one such as",
    ),
    (
        16,
        "limits: { request_head: 16KB }",
        16,
        "limits.request_head",
        "write `KiB`",
    ),
    (
        16,
        "limits: { request_head: 1KiB }",
        16,
        "limits.request_head",
        "write a size from 8KiB to 1MiB",
    ),
    (
        16,
        "limits: { connections: many }",
        16,
        "limits.connections",
        "write `auto` or a whole number",
    ),
    (16, "limits: { connections: auto", 16, "", "not YAML"),
    (16, "a: &x 1", 16, "", "anchor"),
    (16, "---", 16, "", "second document"),
];

#[test]
fn each_mistake_is_reported_where_it_is_with_what_to_write() {
    for (replaced, by, line, field, says) in ROWS {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        lines[replaced - 1] = by;
        let Err(problems) = parse(&lines.join("\n"), Path::new("router.yaml")) else {
            panic!("accepted: {by}")
        };
        let found: Vec<&Problem> = problems
            .iter()
            .filter(|problem| problem.field() == *field)
            .collect();
        let [problem] = found[..] else {
            panic!("{by}\n{problems}")
        };
        assert_eq!(problem.place().unwrap().0, *line, "{by}\n{problems}");
        assert!(problem.message().contains(says), "{by}\n{problems}");
        // A misspelt key that was required is two problems, everything else is one.
        let expected = if *by == "listenres:" { 2 } else { 1 };
        assert_eq!(problems.iter().count(), expected, "{by}\n{problems}");
    }
    accepted(GOOD);
}

#[test]
fn a_file_without_keys_says_which_it_needs() {
    assert!(
        problems("").contains("router.yaml:1:1: the file is empty"),
        "{}",
        problems("")
    );
    assert!(
        problems("hello").contains("is text; write keys and values"),
        "{}",
        problems("hello")
    );
    let empty: Vec<String> = problems("{}").lines().map(str::to_owned).collect();
    assert_eq!(empty.len(), 2, "{empty:?}");
    assert!(
        problems("listeners: []\nroutes: []")
            .lines()
            .all(|line| line.contains("is empty; write a list"))
    );
}

#[test]
fn text_of_the_file_cannot_move_the_cursor_of_whoever_reads_the_problems() {
    let text = format!(
        "\"\\e[2J\\n\": 1\nworkers: \"{}\"\nlog: {{ level: \"\\e[31m\" }}",
        "x".repeat(10_000)
    );
    let said = problems(&text);
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    assert!(said.lines().all(|line| line.len() < 400), "{said}");
}

#[test]
fn bytes_that_are_not_utf_8_are_placed() {
    let file = std::env::temp_dir().join(format!("longhaul-latin1-{}.yaml", std::process::id()));
    std::fs::write(&file, b"workers: 1\nlog: { level: \xe9 }\n").unwrap();
    let problems = load(&file).expect_err("not UTF-8");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        problems.iter().map(Problem::place).collect::<Vec<_>>(),
        [Some((2, 15))]
    );
}
