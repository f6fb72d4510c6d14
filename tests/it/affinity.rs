//! Requests that belong together reach one backend, whichever replica takes each of them.
//!
//! The hubs here know only the ids that they gave out themselves. Real servers and clients are elsewhere.

mod hub;

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};

use self::hub::{Hub, Negotiate};
use crate::support::*;

/// Routers with the same secret over the same hubs.
struct Replicas {
    hubs: Vec<Hub>,
    routers: Vec<Router>,
}

impl Replicas {
    async fn new(affinity: &str) -> Self {
        let hubs = hubs(3).await;
        let mut routers = Vec::new();
        for _ in 0..2 {
            routers.push(router(&config(&hubs, affinity)).await);
        }
        Self { hubs, routers }
    }

    /// The routers in turn, for ever.
    fn turns(&self) -> impl Iterator<Item = &Router> {
        self.routers.iter().cycle()
    }

    async fn sum(&self, method: &str, result: &str) -> f64 {
        let mut sum = 0.0;
        for router in &self.routers {
            sum += count(router, method, result).await;
        }
        sum
    }
}

async fn hubs(count: usize) -> Vec<Hub> {
    let mut hubs = Vec::new();
    for _ in 0..count {
        hubs.push(Hub::new().await);
    }
    hubs
}

fn config(hubs: &[Hub], keys: &str) -> Config {
    let addresses: Vec<_> = hubs.iter().map(|hub| hub.address).collect();
    Config::default()
        .line("affinity_secret_files: [first.key]")
        .line("log: { level: debug }")
        .service("chat", &addresses, &format!("balance: round-robin, {keys}"))
        .route(r#"path: "/{*rest}""#, "chat", "")
}

fn secret(seed: u8) -> String {
    BASE64_STANDARD.encode([seed; 32])
}

/// In a folder with the secrets `first.key` and `second.key`.
async fn router(config: &Config) -> Router {
    let dir = Dir::new();
    dir.replace("first.key", &secret(1));
    dir.replace("second.key", &secret(2));
    let path = dir.replace("longhaul.yaml", &config.text());
    Router::start_at(dir, &path).await
}

async fn ask(router: &Router, request: &Request) -> Response {
    let mut client = Conn::connect(router.address()).await;
    client.write(&request.bytes()).await;
    client.response().await
}

async fn count(router: &Router, method: &str, result: &str) -> f64 {
    let labels = [("service", "chat"), ("method", method), ("result", result)];
    router.metrics().await.sum("longhaul_affinity_total", &labels)
}

fn post(target: &str) -> Request {
    Request::plain(target)
        .line(&format!("POST {target} HTTP/1.1"))
        .field("Content-Length", "0")
}

/// The id that a client gets, and the backend that gave it out.
async fn negotiate(router: &Router) -> (String, String) {
    let response = ask(router, &post("/hub/negotiate?negotiateVersion=1")).await;
    assert_eq!(response.status(), 200, "{response:?}");
    let token = response.json()["connectionToken"].as_str().unwrap().to_owned();
    (token, backend(&response.head))
}

fn backend(head: &Head) -> String {
    head.value("x-backend").unwrap_or("none").to_owned()
}

/// The requests of a connection by each transport.
fn transports(id: &str) -> [Vec<Request>; 3] {
    let target = format!("/hub?id={id}");
    let delete = Request::plain(&target).line(&format!("DELETE {target} HTTP/1.1"));
    let events = Request::plain(&target).field("Accept", "text/event-stream");
    [
        vec![Request::upgrade(&target)],
        vec![events, post(&target), delete.clone()],
        vec![
            Request::plain(&target),
            Request::plain(&target),
            post(&target),
            delete,
        ],
    ]
}

/// Opens so many connections, every request on the next replica; how many requests reached the backend that negotiated,
/// and how many there were.
async fn connect(replicas: &Replicas, connections: usize) -> (usize, usize) {
    let (mut landed, mut asked) = (0, 0);
    let mut turns = replicas.turns();
    for n in 0..connections {
        let (id, own) = negotiate(turns.next().unwrap()).await;
        // With an odd number of requests in all, each kind of request meets each replica.
        for request in &transports(&id)[n % 3] {
            let mut client = Conn::connect(turns.next().unwrap().address()).await;
            client.write(&request.bytes()).await;
            let head = client.head().await.expect("an answer");
            asked += 1;
            landed += usize::from(matches!(head.status(), 101 | 200) && backend(&head) == own);
        }
    }
    (landed, asked)
}

#[test]
fn every_request_lands_where_it_negotiated_whichever_replica_takes_it() {
    run(async {
        let replicas = Replicas::new("affinity: signalr").await;
        let (landed, asked) = connect(&replicas, 90).await;
        assert_eq!(landed, asked);
        assert_eq!(replicas.sum("signalr", "tied").await, asked as f64);
        assert_eq!(replicas.sum("signalr", "minted").await, 90.0);
        // All hubs had their part, and saw their own ids alone.
        for hub in &replicas.hubs {
            let heads = hub.heads();
            assert!(heads.len() >= 30, "{}", heads.len());
            let named = heads.iter().filter(|head| head.target().contains("id="));
            assert!(named.clone().count() > 0);
            for head in named {
                assert!(!head.target().contains('.'), "{head:?}");
            }
        }
    });
}

#[test]
fn without_affinity_the_same_requests_get_lost() {
    run(async {
        let replicas = Replicas::new("affinity: none").await;
        let (landed, asked) = connect(&replicas, 30).await;
        assert!(landed < asked / 2, "{landed} of {asked}");
    });
}

#[test]
fn a_secret_is_rotated_while_ids_of_before_are_in_use() {
    run(async {
        let replicas = Replicas::new("affinity: signalr").await;
        let [one, other] = &replicas.routers[..] else {
            panic!("two replicas");
        };
        let lands = async |router: &Router, (id, own): &(String, String)| {
            let response = ask(router, &Request::plain(&format!("/hub?id={id}"))).await;
            response.status() == 200 && backend(&response.head) == *own
        };
        let before = negotiate(one).await;
        let text = config(&replicas.hubs, "affinity: signalr").text();
        let with = |files: &str| text.replace("[first.key]", files);
        for files in ["[first.key, second.key]", "[second.key, first.key]"] {
            one.reload_text(&with(files)).await;
            let between = negotiate(one).await;
            // The other replica is one step behind.
            assert!(
                lands(other, &before).await && lands(other, &between).await || files.starts_with("[second")
            );
            other.reload_text(&with(files)).await;
            assert!(lands(one, &before).await && lands(other, &before).await);
            assert!(lands(one, &between).await && lands(other, &between).await);
        }
        let after = negotiate(one).await;
        other.reload_text(&with("[second.key]")).await;
        assert!(lands(other, &after).await);
        let forged = count(other, "signalr", "forged").await;
        lands(other, &before).await;
        assert_eq!(count(other, "signalr", "forged").await, forged + 1.0);
    });
}

#[test]
fn a_changed_secret_file_is_read_at_once_and_a_broken_one_changes_nothing() {
    run(async {
        let hubs = hubs(1).await;
        let router = router(&config(&hubs, "affinity: signalr")).await;
        let (id, _) = negotiate(&router).await;
        let request = Request::plain(&format!("/hub?id={id}"));
        router.dir.replace("first.key", "no secret");
        let said = "affinity secrets not read; those of before stay";
        router.log.wait(said, 1, |line| line["message"] == said).await;
        assert_eq!(ask(&router, &request).await.status(), 200);
        router.dir.replace("first.key", &secret(3));
        let said = "affinity secrets read again";
        router.log.wait(said, 1, |line| line["message"] == said).await;
        assert_eq!(ask(&router, &request).await.status(), 404);
        assert_eq!(count(&router, "signalr", "forged").await, 1.0);
        let (id, _) = negotiate(&router).await;
        let request = Request::plain(&format!("/hub?id={id}"));
        assert_eq!(ask(&router, &request).await.status(), 200);
    });
}

#[test]
fn a_start_without_a_secret_warns_and_one_with_a_broken_secret_fails() {
    run(async {
        let hubs = hubs(1).await;
        let text = config(&hubs, "affinity: signalr").text();
        let dir = Dir::new();
        dir.replace("first.key", "c2hvcnQ=");
        let path = dir.replace("longhaul.yaml", &text);
        let output = longhaul(&["run", "--config", path.to_str().unwrap()]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains("first.key") && !said.contains("c2hvcnQ"), "{said}");
        let none = text.replace("affinity_secret_files: [first.key]\n", "");
        let path = dir.replace("longhaul.yaml", &none);
        let router = Router::start_at(dir, &path).await;
        let warned = |line: &serde_json::Value| {
            line["level"] == "WARN"
                && line["message"]
                    .as_str()
                    .is_some_and(|text| text.contains("affinity_secret_files"))
        };
        router.log.wait("a warning", 1, warned).await;
        let (id, _) = negotiate(&router).await;
        // What was drawn is kept through a reload.
        router.reload_text(&none).await;
        let response = ask(&router, &Request::plain(&format!("/hub?id={id}"))).await;
        assert_eq!(response.status(), 200);
    });
}

#[test]
fn forged_moved_and_truncated_tags_reach_a_backend_as_they_came() {
    run(async {
        let hubs = hubs(1).await;
        let router = router(&config(&hubs, "affinity: signalr")).await;
        let (id, _) = negotiate(&router).await;
        let (plain, tag) = id.split_at(id.len() - 26);
        let swapped: String = tag.chars().rev().collect();
        for (changed, forged) in [
            (format!("x{id}"), 1.0),
            (format!("{plain}{}A.{}", &tag[..20], &tag[22..]), 1.0),
            (format!("{plain}{swapped}"), 1.0),
            (format!("{plain}{}", &tag[..25]), 1.0),
            (plain.to_owned(), 1.0),
        ] {
            let target = format!("/hub?id={changed}");
            ask(&router, &Request::plain(&target)).await;
            assert_eq!(hubs[0].heads().last().unwrap().target(), target);
            assert_eq!(count(&router, "signalr", "forged").await, forged, "{changed}");
        }
    });
}

#[test]
fn a_negotiate_asks_for_an_answer_that_can_be_read_and_says_that_it_is_empty() {
    run(async {
        let hubs = hubs(1).await;
        let router = router(&config(&hubs, "affinity: signalr")).await;
        let request = post("/hub/negotiate").with("Accept-Encoding", "gzip, br");
        ask(&router, &request).await;
        let head = hubs[0].heads().pop().unwrap();
        assert_eq!(head.value("accept-encoding"), Some("identity"));
        assert_eq!(head.value("content-length"), Some("0"));
    });
}

#[test]
fn an_answer_that_is_packed_or_leads_elsewhere_is_not_touched() {
    run(async {
        let hubs = hubs(1).await;
        let router = router(&config(&hubs, "affinity: signalr")).await;
        let redirect = r#"{"url":"https://elsewhere.example/hub","accessToken":"x"}"#;
        for (fields, body, result) in [
            ("Content-Encoding: gzip\r\n", "\x1f not really", "unmintable"),
            ("ETag: \"1\"\r\n", redirect, "no_id"),
            ("", "<html>", "unmintable"),
        ] {
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
            hubs[0].answers(Negotiate::Bytes(answer.into_bytes()));
            let before = count(&router, "signalr", result).await;
            let response = ask(&router, &post("/hub/negotiate")).await;
            assert_eq!(response.text(), body);
            if let Some((name, value)) = fields.trim_end().split_once(": ") {
                assert_eq!(response.head.value(name), Some(value));
            }
            assert_eq!(count(&router, "signalr", result).await, before + 1.0);
        }
    });
}

#[test]
fn a_negotiate_answer_of_100_mib_streams_through_in_little_memory() {
    run(async {
        const LENGTH: usize = 100 << 20;
        let hubs = hubs(1).await;
        let router = router(&config(&hubs, "affinity: signalr")).await;
        negotiate(&router).await;
        hubs[0].answers(Negotiate::Long(LENGTH));
        let before = router.memory();
        let mut client = Conn::connect(router.address()).await;
        client.write(&post("/hub/negotiate").bytes()).await;
        let head = client.head().await.expect("an answer");
        assert_eq!(head.value("content-length"), Some(&*LENGTH.to_string()));
        let mut most = 0;
        for _ in 0..LENGTH / (1 << 20) {
            client.take(1 << 20).await;
            most = most.max(router.memory());
        }
        assert!(most < before + (8 << 20), "{before} -> {most}");
        assert_eq!(count(&router, "signalr", "unmintable").await, 1.0);
    });
}

#[test]
fn a_negotiate_that_one_backend_cannot_answer_is_answered_by_another() {
    run(async {
        let hubs = hubs(2).await;
        let refusing = Refusing::new();
        let addresses = [hubs[0].address, hubs[1].address, refusing.address];
        let config = Config::default()
            .service("chat", &addresses, "balance: round-robin, affinity: signalr")
            .route(r#"path: "/{*rest}""#, "chat", "");
        let router = Router::start(&config).await;
        let unable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        hubs[0].answers(Negotiate::Bytes(unable.into()));
        for _ in 0..6 {
            let (_, own) = negotiate(&router).await;
            assert_eq!(own, hubs[1].address.to_string());
        }
        hubs[1].answers(Negotiate::Bytes(unable.into()));
        // When none is able, the last one's own answer says so.
        assert_eq!(ask(&router, &post("/hub/negotiate")).await.status(), 503);
        let told = hubs[0].heads().len();
        ask(&router, &post("/hub/other")).await;
        ask(&router, &post("/hub/other")).await;
        assert!(hubs[0].heads().len() <= told + 2);
    });
}

#[test]
fn a_negotiate_that_one_backend_is_silent_to_is_answered_by_another() {
    run(async {
        let hubs = hubs(3).await;
        let keys = "affinity: signalr, handshake_timeout: 2s";
        let router = router(&config(&hubs, keys)).await;
        hubs[0].answers(Negotiate::Silence);
        hubs[1].answers(Negotiate::Silence);
        for _ in 0..4 {
            let (id, own) = negotiate(&router).await;
            assert_eq!(own, hubs[2].address.to_string());
            assert_eq!(ask(&router, &transports(&id)[0][0]).await.status(), 101);
        }
        let asked = hubs[..2].iter().map(|hub| hub.heads().len()).sum::<usize>();
        assert!(asked < 8, "an endpoint that is silent is left out: {asked}");
    });
}

#[test]
fn the_only_backend_of_a_negotiate_may_take_its_time() {
    run(async {
        let backend = Backend::manual().await;
        let keys = "affinity: signalr, handshake_timeout: 400ms, connect_timeout: 400ms";
        let config = Config::default().service("chat", &[backend.address], keys).route(
            r#"path: "/{*rest}""#,
            "chat",
            "",
        );
        let router = router(&config).await;
        let mut client = Conn::connect(router.address()).await;
        client
            .write(&post("/hub/negotiate?negotiateVersion=1").bytes())
            .await;
        let mut server = backend.arrival().await;
        server.head().await.expect("a negotiate");
        assert!(!backend.arrives_within(Duration::from_millis(300)).await);
        let body = r#"{"negotiateVersion":1,"connectionToken":"late"}"#;
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        server.write(answer.as_bytes()).await;
        assert_eq!(client.response().await.status(), 200);
    });
}

#[test]
fn a_closing_endpoint_turns_its_clients_away_and_a_removed_one_is_unknown() {
    run(async {
        let hubs = hubs(2).await;
        let text = config(&hubs, "affinity: signalr, drain: { mode: close, window: 0s }")
            .admin("token_file: admin.token")
            .text();
        let dir = Dir::new();
        dir.replace("first.key", &secret(1));
        dir.replace("admin.token", "the-token-of-this-test-0123456789");
        let path = dir.replace("longhaul.yaml", &text);
        let router = Router::start_at(dir, &path).await;
        let (id, own) = negotiate(&router).await;
        let target = format!("/hub?id={id}");
        assert_eq!(ask(&router, &Request::plain(&target)).await.status(), 200);
        let drain = format!("/api/services/chat/endpoints/addr:{own}/drain");
        let drained = router.post(&drain, "the-token-of-this-test-0123456789").await;
        assert!(drained.status() < 300, "{drained:?}");
        assert_eq!(ask(&router, &Request::plain(&target)).await.status(), 204);
        for request in [post(&target), Request::upgrade(&target)] {
            let answer = ask(&router, &request).await;
            assert_eq!(
                (answer.status(), answer.text()),
                (404, "No Connection with that ID".to_owned())
            );
        }
        let (id, other) = negotiate(&router).await;
        assert_ne!(own, other);
        let target = format!("/hub?id={id}");
        let mut left = text.clone();
        for address in [&own, &other] {
            left = left.replace(&format!("\"{address}\", "), "");
        }
        let kept = left.replace(&other, &own);
        router.reload_text(&kept).await;
        router
            .metric_becomes("longhaul_endpoints", &[("state", "draining")], 1.0)
            .await;
        let asked = tokio::time::Instant::now();
        assert_eq!(ask(&router, &post(&target)).await.status(), 404);
        assert!(
            asked.elapsed() < Duration::from_millis(900),
            "it is known to be gone"
        );
        assert_eq!(count(&router, "signalr", "orphan").await, 1.0);
    });
}

#[test]
fn a_socketio_session_stays_where_it_began_and_becomes_a_websocket_there() {
    run(async {
        let replicas = Replicas::new("affinity: socketio").await;
        let mut turns = replicas.turns();
        for _ in 0..12 {
            let first = Request::plain("/socket.io/?EIO=4&transport=polling&t=x");
            let response = ask(turns.next().unwrap(), &first).await;
            let own = backend(&response.head);
            let sid = response.text().split('"').nth(3).unwrap().to_owned();
            let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
            let websocket = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
            for request in [
                Request::plain(&target),
                post(&target),
                Request::upgrade(&websocket),
            ] {
                let mut client = Conn::connect(turns.next().unwrap().address()).await;
                client.write(&request.bytes()).await;
                let head = client.head().await.expect("an answer");
                assert!(matches!(head.status(), 101 | 200), "{head:?}");
                assert_eq!(backend(&head), own);
            }
        }
        assert_eq!(replicas.sum("socketio", "tied").await, 36.0);
    });
}

#[test]
fn a_cookie_is_set_on_the_101_and_followed_by_every_replica() {
    run(async {
        let replicas = Replicas::new("affinity: { cookie: node, same_site: strict }").await;
        let mut turns = replicas.turns();
        let mut seen = BTreeSet::new();
        for _ in 0..6 {
            let (_open, head) = Conn::upgrade(turns.next().unwrap().address(), &Request::upgrade("/")).await;
            let own = backend(&head);
            let set = head.value("set-cookie").expect("a cookie").to_owned();
            assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
            let pair = set.split(';').next().unwrap().to_owned();
            for request in [Request::upgrade("/"), Request::plain("/page"), post("/form")] {
                let request = request.field("Cookie", format!("theme=dark; {pair}"));
                let mut client = Conn::connect(turns.next().unwrap().address()).await;
                client.write(&request.bytes()).await;
                let head = client.head().await.expect("an answer");
                assert_eq!(backend(&head), own);
                assert!(!head.has("set-cookie"));
            }
            seen.insert(own);
        }
        assert_eq!(seen.len(), 3);
    });
}

#[test]
fn a_backend_that_says_it_is_unable_ties_nobody_to_itself() {
    run(async {
        let hubs = hubs(1).await;
        let router = router(&config(&hubs, "affinity: { cookie: node }")).await;
        for status in [
            "502 Bad Gateway",
            "503 Service Unavailable",
            "504 Gateway Timeout",
        ] {
            let unable = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            hubs[0].answers(Negotiate::Bytes(unable.into()));
            let response = ask(&router, &post("/hub/negotiate")).await;
            assert!(!response.head.has("set-cookie"), "{response:?}");
        }
        hubs[0].answers(Negotiate::Bytes(
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
        ));
        let response = ask(&router, &post("/hub/negotiate")).await;
        assert!(response.head.has("set-cookie"), "{response:?}");
    });
}

#[test]
fn equal_values_meet_on_one_backend_whichever_replica_takes_them() {
    run(async {
        let replicas = Replicas::new("affinity: [{ header: X-Room }, client-ip]").await;
        let mut turns = replicas.turns();
        let mut seen = BTreeSet::new();
        for room in 0..40 {
            let request = Request::plain("/").field("X-Room", format!("room {room}"));
            let own = backend(&ask(turns.next().unwrap(), &request).await.head);
            for _ in 0..2 {
                assert_eq!(backend(&ask(turns.next().unwrap(), &request).await.head), own);
            }
            seen.insert(own);
        }
        assert_eq!(seen.len(), 3);
        // Without the field it goes by the address, which is one for all of this test.
        let mut alone = BTreeSet::new();
        for _ in 0..6 {
            alone.insert(backend(
                &ask(turns.next().unwrap(), &Request::plain("/")).await.head,
            ));
        }
        assert_eq!(alone.len(), 1);
    });
}

#[test]
fn nothing_that_a_client_was_given_is_written_to_the_log() {
    run(async {
        let hubs = hubs(1).await;
        let router = router(&config(&hubs, "affinity: [signalr, { cookie: node }]")).await;
        let response = ask(&router, &post("/hub/negotiate?negotiateVersion=1")).await;
        let id = response.json()["connectionToken"].as_str().unwrap().to_owned();
        let cookie = response.head.value("set-cookie").unwrap().to_owned();
        let value = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        let target = format!("/hub?id={id}");
        let request = Request::upgrade(&target).field("Cookie", format!("node={value}"));
        let (client, head) = Conn::upgrade(router.address(), &request).await;
        assert_eq!(head.status(), 101);
        ask(&router, &Request::plain(&format!("/hub?id=x{id}"))).await;
        drop(client);
        router.ended(1).await;
        let raw = router.log.raw();
        assert!(raw.contains("request answered"));
        let plain = &id[..id.len() - 28];
        for secret in [plain, &id[id.len() - 26..], &value] {
            assert!(!raw.contains(secret), "{secret}");
        }
    });
}
