//! Requests before the methods of a service, and the answers that tie their clients.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use discovery::Endpoint;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, advance};
use tower::discover::Change;

use super::*;
use crate::{
    affinity::Keyring,
    config,
    listen::classify,
    router::{Clients, Router, Service},
    telemetry::{LogLoss, metrics::Metrics},
};

/// A router of one service with three endpoints.
struct Replica {
    router: Arc<Router>,
    service: Arc<Service>,
}

const SECRET: u8 = 1;

impl Replica {
    /// `keys` are those of the service beside its discovery.
    fn new(keys: &str) -> Self {
        Self::with(keys, &[SECRET], 3)
    }

    fn with(keys: &str, secrets: &[u8], endpoints: u16) -> Self {
        let text = format!(
            "listeners: [{{ address: 127.0.0.1:0 }}]\nservices: {{ chat: {{ discovery: {{ static: [] }}, {keys} }} }}\n\
             routes: [{{ match: {{ path: \"/hub/{{*rest}}\" }}, service: chat }}]\n"
        );
        let config = config::parse(&text, Path::new("router.yaml")).unwrap();
        let router = Router::new(&config, &Clients::new(), 1, Metrics::new(LogLoss::default()));
        router.rekey(ring(secrets));
        let service = Arc::clone(&router.plan.load().services["chat"]);
        let replica = Self { router, service };
        (0..endpoints).for_each(|n| replica.put(n, State::Active));
        replica
    }

    fn put(&self, n: u16, state: State) {
        let endpoint = endpoint(n, state);
        self.service
            .apply(Change::Insert(endpoint.identity.clone(), endpoint));
    }

    fn take(&self, n: u16) {
        self.service.apply(Change::Remove(name(n)));
    }

    /// The request as it goes on.
    async fn judge(&self, request: Request<()>) -> Result<Judged, Response<Body>> {
        let (mut head, ()) = request.into_parts();
        let kind = classify(&head).unwrap();
        head.extensions.insert(kind);
        let planned = Arc::clone(self.router.plan.load().routes.values().next().unwrap());
        let matched = Matched {
            planned,
            upstream: head.uri.path_and_query().unwrap().clone(),
            client: SocketAddr::from(([192, 0, 2, 1], 5)),
        };
        judge(&mut head, matched, self.service.settings.load_full()).await?;
        let matched: Matched = head.extensions.remove().unwrap();
        Ok(Judged {
            target: matched.upstream.to_string(),
            tie: head.extensions.remove().unwrap(),
            head,
        })
    }

    /// The id that a client gets from endpoint `n`, which gave out `body`.
    async fn negotiate(&self, n: u16, body: &'static str) -> String {
        let judged = self.judge(post("/hub/negotiate?negotiateVersion=1")).await;
        let text = judged.unwrap().answered(n, body).await;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = value.get("connectionToken").or(value.get("connectionId"));
        id.unwrap().as_str().unwrap().to_owned()
    }

    fn count(&self, method: &str, result: &str) -> u32 {
        let text = self.router.metrics.encode(&self.router.sessions, Vec::new());
        let series =
            format!("longhaul_affinity_total{{service=\"chat\",method=\"{method}\",result=\"{result}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

struct Judged {
    target: String,
    tie: Tie,
    head: Parts,
}

impl Judged {
    async fn minted(&self, n: u16, body: &'static str) -> Response<Body> {
        let response = Response::new(Body::new(Full::new(Bytes::from_static(body.as_bytes()))));
        self.tie.mint(&endpoint(n, State::Active), response).await
    }

    async fn answered(&self, n: u16, body: &'static str) -> String {
        text(self.minted(n, body).await).await
    }
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn ring(secrets: &[u8]) -> Arc<Keyring> {
    let secrets: Vec<_> = secrets.iter().map(|seed| [*seed; 32]).collect();
    Arc::new(Keyring::of(secrets.iter().map(|secret| &secret[..])))
}

fn name(n: u16) -> Identity {
    Identity::from(format!("pod:{n}").as_str())
}

fn endpoint(n: u16, state: State) -> Endpoint {
    Endpoint {
        identity: name(n),
        state,
        ..Endpoint::at(SocketAddr::from(([127, 0, 0, 1], n + 1)))
    }
}

fn request(method: &str, target: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(target).header("host", "a");
    request.body(()).unwrap()
}

fn get(target: &str) -> Request<()> {
    request("GET", target)
}

fn post(target: &str) -> Request<()> {
    request("POST", target)
}

fn websocket(target: &str) -> Request<()> {
    let mut request = get(target);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    request
}

fn with_cookie(mut request: Request<()>, set: &str) -> Request<()> {
    let pair = set.split(';').next().unwrap();
    request
        .headers_mut()
        .insert(header::COOKIE, HeaderValue::from_str(pair).unwrap());
    request
}

fn set_cookie(response: &Response<Body>) -> Option<String> {
    let value = response.headers().get(header::SET_COOKIE)?;
    Some(value.to_str().unwrap().to_owned())
}

const SIGNALR: &str = "affinity: signalr";
const V1: &str = r#"{"negotiateVersion":1,"connectionId":"pub","connectionToken":"tok+en=="}"#;
const V0: &str = r#"{"connectionId":"public"}"#;
const STATEFUL: &str = r#"{"negotiateVersion":1,"connectionToken":"tok","useStatefulReconnect":true}"#;

#[tokio::test]
async fn an_id_comes_back_to_the_endpoint_that_gave_it_out_without_its_tag() {
    let (one, other) = (Replica::new(SIGNALR), Replica::new(SIGNALR));
    let tagged = one.negotiate(1, V1).await;
    let escaped = tagged.replace('+', "%2B").replace('=', "%3D");
    for replica in [&one, &other] {
        for request in [
            websocket(&format!("/hub?x=1&id={escaped}")),
            get(&format!("/hub?x=1&id={escaped}")),
            post(&format!("/hub?x=1&id={escaped}")),
            request("DELETE", &format!("/hub?x=1&id={escaped}")),
            post(&format!("/hub/refresh?x=1&id={escaped}")),
        ] {
            let judged = replica.judge(request).await.unwrap();
            assert_eq!(judged.tie.bond(), Bond::Only(name(1)));
            assert!(
                judged.target.ends_with("?x=1&id=tok%2Ben%3D%3D"),
                "{}",
                judged.target
            );
        }
    }
    assert_eq!(other.count("signalr", "tied"), 5);
    assert_eq!(one.count("signalr", "minted"), 1);
}

#[tokio::test]
async fn a_version_0_id_comes_back_too_and_in_any_spelling_of_the_name() {
    let replica = Replica::new(SIGNALR);
    let tagged = replica.negotiate(2, V0).await;
    assert!(tagged.starts_with("public."));
    let judged = replica.judge(get(&format!("/hub?ID={tagged}"))).await.unwrap();
    assert_eq!(
        (judged.tie.bond(), &*judged.target),
        (Bond::Only(name(2)), "/hub?ID=public")
    );
}

#[tokio::test]
async fn a_negotiate_is_asked_for_unpacked_is_bound_to_nothing_and_may_be_repeated() {
    let replica = Replica::new(SIGNALR);
    let mut negotiate = post("/hub/negotiate?negotiateVersion=1");
    let packed = HeaderValue::from_static("gzip, br");
    negotiate
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, packed.clone());
    let judged = replica.judge(negotiate).await.unwrap();
    assert_eq!(judged.head.headers[header::ACCEPT_ENCODING], "identity");
    assert!(judged.tie.is_repeatable() && judged.tie.bond() == Bond::None);
    let mut other = post("/hub");
    other
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, packed.clone());
    let judged = replica.judge(other).await.unwrap();
    assert_eq!(judged.head.headers[header::ACCEPT_ENCODING], packed);
    assert!(!judged.tie.is_repeatable());
    assert_eq!(replica.count("signalr", "absent"), 1);
}

#[tokio::test]
async fn forged_moved_and_truncated_tags_pass_on_as_they_came_and_bind_nothing() {
    let replica = Replica::new(SIGNALR);
    let tagged = replica.negotiate(1, V1).await.replace('+', "%2B");
    let stranger = Replica::with(SIGNALR, &[9], 3)
        .negotiate(1, V1)
        .await
        .replace('+', "%2B");
    let flipped = match tagged.strip_suffix('A') {
        Some(most) => format!("{most}B"),
        None => format!("{}A", &tagged[..tagged.len() - 1]),
    };
    let moved = tagged.replacen("tok", "kot", 1);
    for (id, forged) in [
        (stranger, 1),
        (flipped, 2),
        (moved, 3),
        (tagged[..tagged.len() - 1].to_owned(), 3),
        ("plain".to_owned(), 3),
    ] {
        let target = format!("/hub?id={id}");
        let judged = replica.judge(get(&target)).await.unwrap();
        assert_eq!((judged.tie.bond(), &judged.target), (Bond::None, &target));
        assert_eq!(replica.count("signalr", "forged"), forged, "{id}");
    }
    assert_eq!(replica.count("signalr", "absent"), 2);
}

#[tokio::test]
async fn a_key_is_rotated_in_the_middle_without_losing_an_id() {
    let replica = Replica::with(SIGNALR, &[1], 3);
    let old = replica.negotiate(1, V0).await;
    let bound = async |id: &str| {
        let judged = replica.judge(get(&format!("/hub?id={id}"))).await.unwrap();
        judged.tie.bond() == Bond::Only(name(1))
    };
    replica.router.rekey(ring(&[2, 1]));
    let new = replica.negotiate(1, V0).await;
    assert!(bound(&old).await && bound(&new).await);
    replica.router.rekey(ring(&[2]));
    assert!(!bound(&old).await && bound(&new).await);
}

#[tokio::test]
async fn a_tag_of_one_protocol_is_nothing_in_another() {
    let replica = Replica::new("affinity: [signalr, socketio, { cookie: node }]");
    let first = replica.judge(get("/hub")).await.unwrap();
    let cookie = set_cookie(&first.minted(1, "").await).unwrap();
    let value = cookie.split(['=', ';']).nth(1).unwrap();
    let tagged = replica.negotiate(1, V0).await;
    for request in [
        get(&format!("/hub?id={value}")),
        get(&format!("/hub?sid={tagged}")),
        with_cookie(get("/hub"), &format!("node={tagged}")),
    ] {
        assert_eq!(replica.judge(request).await.unwrap().tie.bond(), Bond::None);
    }
    for method in ["signalr", "socketio", "cookie"] {
        assert_eq!(replica.count(method, "forged"), 1, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_endpoint_is_followed_and_one_that_closes_turns_away_each_in_its_own_words() {
    let keeping = Replica::new(SIGNALR);
    let closing = Replica::new("affinity: signalr, drain: { mode: close, window: 0s }");
    let id = keeping.negotiate(1, V0).await;
    keeping.put(1, State::Draining);
    closing.put(1, State::Draining);
    let target = format!("/hub?id={id}");
    let judged = keeping.judge(get(&target)).await.unwrap();
    assert_eq!(judged.tie.bond(), Bond::Only(name(1)));
    let mut events = get(&target);
    events
        .headers_mut()
        .insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    for (request, status) in [
        (get(&target), StatusCode::NO_CONTENT),
        (events, StatusCode::NOT_FOUND),
        (post(&target), StatusCode::NOT_FOUND),
        (websocket(&target), StatusCode::NOT_FOUND),
    ] {
        let answer = closing.judge(request).await.err().unwrap();
        assert_eq!(answer.status(), status);
        if status == StatusCode::NOT_FOUND {
            assert_eq!(text(answer).await, "No Connection with that ID");
        }
    }
    assert_eq!(closing.count("signalr", "evicted"), 4);
    // What binds nothing is not turned away: it is picked for elsewhere.
    assert!(closing.judge(post("/hub/negotiate")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_closing_endpoint_leave_over_its_window_and_a_resumed_session_at_once() {
    let replica = Replica::new("affinity: signalr, drain: { mode: close, window: 10s }");
    let keyring = replica.service.directory.keyring();
    let ids: Vec<_> = (0..200)
        .map(|n| {
            let id = n.to_string();
            let tag = keyring.tag("chat", &name(1), Flags::of(Kind::SignalR), id.as_bytes());
            id + &tag.unwrap()
        })
        .collect();
    let stateful = replica.negotiate(1, STATEFUL).await;
    let stays = async |request| replica.judge(request).await.is_ok();
    assert!(stays(websocket(&format!("/hub?id={stateful}"))).await);
    replica.put(1, State::Draining);
    assert!(!stays(websocket(&format!("/hub?id={stateful}"))).await);
    let mut left = Vec::new();
    for _ in 0..3 {
        let mut staying = 0;
        for id in &ids {
            staying += usize::from(stays(get(&format!("/hub?id={id}"))).await);
        }
        left.push(staying);
        advance(Duration::from_secs(5)).await;
    }
    assert!(
        left[0] >= 198 && (60..140).contains(&left[1]) && left[2] <= 1,
        "{left:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_told_at_once_where_its_endpoint_is_known_to_be_gone_and_after_a_second_else() {
    let (one, behind) = (Replica::new(SIGNALR), Replica::with(SIGNALR, &[SECRET], 1));
    let id = one.negotiate(2, V0).await;
    let target = format!("/hub?id={id}");
    one.take(2);
    let start = Instant::now();
    let answer = one.judge(get(&target)).await.err().unwrap();
    assert_eq!(
        (answer.status(), start.elapsed()),
        (StatusCode::NOT_FOUND, Duration::ZERO)
    );
    assert_eq!(text(answer).await, "No Connection with that ID");
    let answer = behind.judge(websocket(&target)).await.err().unwrap();
    assert_eq!(
        (answer.status(), start.elapsed()),
        (StatusCode::NOT_FOUND, Duration::from_secs(1))
    );
    assert_eq!(
        (one.count("signalr", "orphan"), behind.count("signalr", "orphan")),
        (1, 1)
    );
    let arriving = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        behind.put(2, State::Active);
    };
    let (judged, ()) = tokio::join!(behind.judge(get(&target)), arriving);
    assert_eq!(judged.unwrap().tie.bond(), Bond::Only(name(2)));
}

#[tokio::test]
async fn an_orphan_is_adopted_only_as_a_websocket_that_resumes_nothing() {
    let replica = Replica::new("affinity: { signalr: { orphans: adopt } }");
    let (plain, stateful) = (
        replica.negotiate(1, V0).await,
        replica.negotiate(1, STATEFUL).await,
    );
    replica.take(1);
    let judged = replica
        .judge(websocket(&format!("/hub?access_token=x&id={plain}")))
        .await
        .unwrap();
    assert_eq!(
        (judged.tie.bond(), &*judged.target),
        (Bond::None, "/hub?access_token=x")
    );
    assert!(replica.judge(get(&format!("/hub?id={plain}"))).await.is_err());
    let resumed = websocket(&format!("/hub?id={stateful}"));
    assert!(replica.judge(resumed).await.is_err());
    assert_eq!(
        (
            replica.count("signalr", "adopted"),
            replica.count("signalr", "orphan")
        ),
        (1, 2)
    );
}

#[tokio::test]
async fn a_sid_comes_back_to_the_endpoint_that_gave_it_out_and_is_unknown_when_that_is_gone() {
    let replica = Replica::new("affinity: socketio");
    let first = get("/hub/?EIO=4&transport=polling&t=abc");
    let judged = replica.judge(first).await.unwrap();
    let body = judged
        .answered(2, r#"0{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":["websocket"]}"#)
        .await;
    let sid = body.split('"').nth(3).unwrap();
    for request in [
        get(&format!("/hub/?EIO=4&transport=polling&sid={sid}")),
        post(&format!("/hub/?EIO=4&transport=polling&sid={sid}")),
        websocket(&format!("/hub/?EIO=4&transport=websocket&sid={sid}")),
    ] {
        let judged = replica.judge(request).await.unwrap();
        assert_eq!(judged.tie.bond(), Bond::Only(name(2)));
        assert!(judged.target.ends_with("&sid=lv_VI97HAXpY6yYWAAAB"));
    }
    replica.take(2);
    let gone = get(&format!("/hub/?EIO=4&transport=polling&sid={sid}"));
    let answer = replica.judge(gone).await.err().unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(answer).await, r#"{"code":1,"message":"Session ID unknown"}"#);
    // Alone on its connection, it needs no tag.
    let lone = websocket("/hub/?EIO=4&transport=websocket");
    assert_eq!(replica.judge(lone).await.unwrap().tie.gives, None);
}

#[tokio::test]
async fn a_cookie_is_set_once_followed_and_set_again_when_another_endpoint_answers() {
    let replica = Replica::new("affinity: { cookie: node }");
    let first = replica.judge(websocket("/hub")).await.unwrap();
    assert_eq!(first.tie.bond(), Bond::None);
    let mut switching = Response::new(Body::empty());
    *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let switched = first.tie.mint(&endpoint(1, State::Active), switching).await;
    let cookie = set_cookie(&switched).unwrap();
    let again = replica.judge(with_cookie(get("/hub"), &cookie)).await.unwrap();
    assert_eq!(again.tie.bond(), Bond::Rather(name(1)));
    assert_eq!(set_cookie(&again.minted(1, "").await), None);
    let moved = set_cookie(&again.minted(2, "").await).unwrap();
    let after = replica.judge(with_cookie(get("/hub"), &moved)).await.unwrap();
    assert_eq!(after.tie.bond(), Bond::Rather(name(2)));
    replica.take(2);
    let orphan = replica.judge(with_cookie(get("/hub"), &moved)).await.unwrap();
    assert_eq!(orphan.tie.bond(), Bond::None);
    assert!(set_cookie(&orphan.minted(0, "").await).is_some());
    replica.put(1, State::Unhealthy);
    let sick = replica.judge(with_cookie(get("/hub"), &cookie)).await.unwrap();
    assert_eq!(sick.tie.bond(), Bond::None);
    for (result, count) in [
        ("tied", 2),
        ("minted", 3),
        ("moved", 2),
        ("orphan", 1),
        ("absent", 1),
    ] {
        // The answer of the unhealthy one's request is not there yet.
        let count = if result == "minted" { 2 } else { count };
        assert_eq!(replica.count("cookie", result), count, "{result}");
    }
}

#[tokio::test]
async fn methods_are_tried_in_order_and_the_first_that_knows_decides() {
    let replica = Replica::new("affinity: [signalr, { cookie: node }, { header: x-tenant }, client-ip]");
    let negotiate = replica.judge(post("/hub/negotiate")).await.unwrap();
    let answer = negotiate.minted(1, V0).await;
    let cookie = set_cookie(&answer).unwrap();
    let id = serde_json::from_str::<serde_json::Value>(&text(answer).await).unwrap();
    let id = id["connectionId"].as_str().unwrap();
    let both = with_cookie(get(&format!("/hub?id={id}")), &cookie);
    let judged = replica.judge(both).await.unwrap();
    assert_eq!(judged.tie.bond(), Bond::Only(name(1)));
    // What goes by its id says nothing of the cookie, which may be another page's.
    assert_eq!(set_cookie(&judged.minted(2, "").await), None);
    let judged = replica
        .judge(with_cookie(post("/hub/negotiate"), &cookie))
        .await
        .unwrap();
    assert_eq!(judged.tie.bond(), Bond::Rather(name(1)));
    assert!(judged.tie.is_repeatable());
    let mut tenant = get("/hub");
    tenant
        .headers_mut()
        .insert("x-tenant", HeaderValue::from_static("a"));
    let by_tenant = replica.judge(tenant).await.unwrap().tie.bond();
    let by_address = replica.judge(get("/hub")).await.unwrap().tie.bond();
    assert!(matches!((&by_tenant, &by_address), (Bond::Hash(a), Bond::Hash(b)) if a != b));
    assert_eq!(replica.count("header", "tied"), 1);
    assert_eq!(replica.count("client-ip", "tied"), 2);
}

#[tokio::test]
async fn a_path_or_a_query_leads_by_what_the_client_asked_for() {
    let replica = Replica::new("affinity: [{ query: room }, { path: rest }]");
    let bond = async |target: &str| replica.judge(get(target)).await.unwrap().tie.bond();
    assert_eq!(bond("/hub/a?room=1").await, bond("/hub/b?room=1").await);
    assert_ne!(bond("/hub/a?room=1").await, bond("/hub/a?room=2").await);
    assert_eq!(bond("/hub/a?x").await, bond("/hub/a").await);
    assert_ne!(bond("/hub/a").await, bond("/hub/b").await);
    assert_eq!(bond("/hub").await, Bond::None);
}
