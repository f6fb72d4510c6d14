use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use discovery::Endpoint;

use super::{route::CODES, *};
use crate::{
    relay::{Initiator, Outcome, Reason},
    session::{NewSession, Registered},
    telemetry::status::EndpointStatus,
};

/// The samples of an exposition, by name and labels.
struct Exposition(BTreeMap<(String, BTreeMap<String, String>), f64>);

impl Exposition {
    /// Reads the text strictly: each sample belongs to the family before it, none comes twice, and it ends with EOF.
    fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the text ends with EOF");
        let mut families = BTreeSet::new();
        let mut family = String::new();
        let mut samples = BTreeMap::new();
        for line in body.lines() {
            if let Some(described) = line.strip_prefix("# HELP ") {
                family = described.split_once(' ').unwrap().0.to_owned();
                assert!(families.insert(family.clone()), "{family} comes twice");
            } else if let Some(described) = line.strip_prefix("# ") {
                assert_eq!(described.split(' ').nth(1), Some(&*family), "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = Self::series(series);
                let suffix = name.strip_prefix(&family).expect("a sample of its family");
                assert!(
                    ["", "_total", "_info", "_sum", "_count", "_bucket"].contains(&suffix),
                    "{line}"
                );
                let before = samples.insert((name, labels), value.parse().unwrap());
                assert_eq!(before, None, "{line}");
            }
        }
        Self(samples)
    }

    fn series(series: &str) -> (String, BTreeMap<String, String>) {
        let Some((name, labels)) = series.split_once('{') else {
            return (series.to_owned(), BTreeMap::new());
        };
        let mut left = labels.strip_suffix('}').unwrap();
        let mut parsed = BTreeMap::new();
        while !left.is_empty() {
            let (label, rest) = left.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = rest.char_indices();
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        escaped => escaped,
                    }),
                    (at, '"') => break at,
                    (_, plain) => value.push(plain),
                }
            };
            parsed.insert(label.to_owned(), value);
            left = rest[end + 1..].trim_start_matches(',');
        }
        (name.to_owned(), parsed)
    }

    fn read(metrics: &Metrics, sessions: &Arc<Sessions>, services: Vec<ServiceStatus>) -> Self {
        Self::parse(&metrics.encode(sessions, services))
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        self.0.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// How many series this name has.
    fn series_of(&self, name: &str) -> usize {
        self.0.keys().filter(|(known, _)| known == name).count()
    }
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn open(sessions: &Arc<Sessions>, port: u16) -> Registered {
    sessions.open(
        0,
        NewSession {
            route: "/chat".into(),
            service: "chat".into(),
            endpoint: Arc::new(endpoint(port)),
            client: "192.0.2.7:5000".parse().unwrap(),
        },
    )
}

fn status(endpoints: &[(u16, &'static str, bool)]) -> Vec<ServiceStatus> {
    let endpoints = endpoints.iter().map(|&(port, state, ejected)| EndpointStatus {
        identity: endpoint(port).identity,
        address: endpoint(port).address,
        weight: 1,
        state,
        ejected,
        far: false,
        sessions: 0,
    });
    vec![ServiceStatus {
        name: "chat".into(),
        strategy: "round-robin",
        known: true,
        age: Some(Duration::from_millis(1500)),
        sources: Vec::new(),
        endpoints: endpoints.collect(),
    }]
}

const ENDED: Outcome = Outcome {
    initiator: Initiator::Backend,
    reason: Reason::Close,
    code: Some(1001),
};

#[tokio::test]
async fn every_metric_of_the_contract_has_exactly_its_name_and_labels() {
    let metrics = Metrics::new(LogLoss::default());
    let sessions = Sessions::new(1);
    let route = metrics.route(&"/chat".into(), &"chat".into());
    route.handshake(HandshakeEnd::Upgraded);
    route.handshake_seconds(Duration::from_millis(3));
    route.closed(&ENDED);
    metrics
        .affinity(&"chat".into())
        .count(TieMethod::SignalR, TieEnd::Tied);
    metrics.connections(0).inc();
    metrics.refused(Refused::Limit);
    let _live = open(&sessions, 9001);
    let exposition = Exposition::read(&metrics, &sessions, status(&[(9001, "active", false)]));

    let mut labels: BTreeMap<&str, BTreeSet<Vec<&str>>> = BTreeMap::new();
    for (name, values) in exposition.0.keys() {
        let names = values.keys().map(String::as_str).collect();
        labels.entry(name).or_default().insert(names);
    }
    let promised: [(&str, &[&str]); 27] = [
        ("longhaul_accept_errors_total", &[]),
        ("longhaul_affinity_total", &["method", "result", "service"]),
        ("longhaul_build_info", &["version"]),
        ("longhaul_bytes_total", &["direction", "service"]),
        ("longhaul_config_reloads_total", &["result"]),
        ("longhaul_connections", &["worker"]),
        ("longhaul_connections_refused_total", &["reason"]),
        ("longhaul_discovery_age_seconds", &["service"]),
        ("longhaul_endpoints", &["service", "state"]),
        ("longhaul_requests_total", &["code", "route", "service"]),
        ("longhaul_request_seconds_bucket", &["le", "service"]),
        ("longhaul_request_seconds_count", &["service"]),
        ("longhaul_request_seconds_sum", &["service"]),
        ("longhaul_handshake_seconds_bucket", &["le", "service"]),
        ("longhaul_handshake_seconds_count", &["service"]),
        ("longhaul_handshake_seconds_sum", &["service"]),
        ("longhaul_handshakes_total", &["outcome", "route", "service"]),
        ("longhaul_log_lines_dropped_total", &[]),
        ("longhaul_messages_total", &["direction", "service"]),
        (
            "longhaul_session_closes_total",
            &["code", "initiator", "route", "service"],
        ),
        ("longhaul_sessions_active", &["endpoint", "route", "service"]),
        ("longhaul_tls_handshakes_total", &["result"]),
        ("process_cpu_seconds_total", &[]),
        ("process_max_fds", &[]),
        ("process_open_fds", &[]),
        ("process_resident_memory_bytes", &[]),
        ("process_start_time_seconds", &[]),
    ];
    let promised: BTreeMap<&str, BTreeSet<Vec<&str>>> = promised
        .into_iter()
        .map(|(name, labels)| (name, BTreeSet::from([labels.to_vec()])))
        .collect();
    assert_eq!(labels, promised);
}

#[test]
fn each_end_of_a_tls_handshake_raises_its_own_counter() {
    let metrics = Metrics::new(LogLoss::default());
    for (times, end) in TlsEnd::ALL.into_iter().enumerate() {
        (0..=times).for_each(|_| metrics.tls_handshake(end));
    }
    let exposition = Exposition::read(&metrics, &Sessions::new(1), Vec::new());
    for (times, end) in TlsEnd::ALL.into_iter().enumerate() {
        let counted = exposition.value("longhaul_tls_handshakes_total", &[("result", end.as_str())]);
        assert_eq!(counted, Some(times as f64 + 1.0), "{end:?}");
    }
}

#[test]
fn each_outcome_raises_its_own_counter() {
    let metrics = Metrics::new(LogLoss::default());
    let route = metrics.route(&"/chat".into(), &"chat".into());
    for (times, end) in HandshakeEnd::ALL.into_iter().enumerate() {
        (0..=times).for_each(|_| route.handshake(end));
    }
    metrics.unrouted().handshake(HandshakeEnd::NoRoute);
    let exposition = Exposition::read(&metrics, &Sessions::new(1), Vec::new());
    for (times, end) in HandshakeEnd::ALL.into_iter().enumerate() {
        let labels = [("route", "/chat"), ("service", "chat"), ("outcome", end.as_str())];
        let counted = exposition.value("longhaul_handshakes_total", &labels);
        assert_eq!(counted, Some(times as f64 + 1.0), "{end:?}");
    }
    let labels = [("route", "none"), ("service", "none"), ("outcome", "no_route")];
    assert_eq!(exposition.value("longhaul_handshakes_total", &labels), Some(1.0));
}

#[test]
fn refusals_and_reloads_raise_their_own_counters() {
    let metrics = Metrics::new(LogLoss::default());
    for (times, why) in Refused::ALL.into_iter().enumerate() {
        (0..=times).for_each(|_| metrics.refused(why));
    }
    metrics.reloaded(true);
    metrics.reloaded(true);
    metrics.reloaded(false);
    metrics.accept_failed();
    let exposition = Exposition::read(&metrics, &Sessions::new(1), Vec::new());
    for (times, why) in Refused::ALL.into_iter().enumerate() {
        let labels = [("reason", why.as_str())];
        let counted = exposition.value("longhaul_connections_refused_total", &labels);
        assert_eq!(counted, Some(times as f64 + 1.0), "{why:?}");
    }
    let reloads = |result| exposition.value("longhaul_config_reloads_total", &[("result", result)]);
    assert_eq!([reloads("ok"), reloads("error")], [Some(2.0), Some(1.0)]);
    assert_eq!(exposition.value("longhaul_accept_errors_total", &[]), Some(1.0));
}

/// A close code is the one thing of a client's choice that comes near a label.
#[test]
fn no_close_code_creates_a_label_of_its_own() {
    let metrics = Metrics::new(LogLoss::default());
    let route = metrics.route(&"/chat".into(), &"chat".into());
    let initiators = [Initiator::Client, Initiator::Backend, Initiator::Router];
    for initiator in initiators {
        for code in (0..=u16::MAX).map(Some).chain([None]) {
            route.closed(&Outcome {
                initiator,
                code,
                ..ENDED
            });
        }
    }
    let exposition = Exposition::read(&metrics, &Sessions::new(1), Vec::new());
    let name = "longhaul_session_closes_total";
    assert_eq!(exposition.series_of(name), 3 * CODES.len());
    for initiator in initiators {
        let counted = |code| {
            let labels = [
                ("route", "/chat"),
                ("service", "chat"),
                ("initiator", initiator.as_str()),
                ("code", code),
            ];
            exposition.value(name, &labels).unwrap()
        };
        for code in &CODES[..16] {
            assert_eq!(counted(code), 1.0, "{code}");
        }
        assert_eq!([counted("3xxx"), counted("4xxx")], [1000.0, 1000.0]);
        assert_eq!(counted("none"), 65_537.0 - 2_016.0);
    }
}

#[tokio::test]
async fn traffic_counts_live_and_ended_sessions_once_each() {
    let metrics = Metrics::new(LogLoss::default());
    let sessions = Sessions::new(1);
    let [live, ended] = [open(&sessions, 9001), open(&sessions, 9001)];
    live.session().carried.bytes_from_client.set(10);
    live.session().carried.messages_to_client.set(3);
    ended.session().carried.bytes_from_client.set(5);
    ended.session().carried.bytes_to_client.set(7);
    drop(ended);
    let exposition = Exposition::read(&metrics, &sessions, Vec::new());
    let total = |name, direction| exposition.value(name, &[("service", "chat"), ("direction", direction)]);
    assert_eq!(total("longhaul_bytes_total", "from_client"), Some(15.0));
    assert_eq!(total("longhaul_bytes_total", "to_client"), Some(7.0));
    assert_eq!(total("longhaul_messages_total", "from_client"), Some(0.0));
    assert_eq!(total("longhaul_messages_total", "to_client"), Some(3.0));
}

#[tokio::test]
async fn sessions_are_counted_by_endpoint_and_idle_ones_show_zero() {
    let metrics = Metrics::new(LogLoss::default());
    let sessions = Sessions::new(1);
    let route = metrics.route(&"/chat".into(), &"chat".into());
    let _live = [
        open(&sessions, 9001),
        open(&sessions, 9001),
        open(&sessions, 9003),
    ];
    let known = status(&[(9001, "active", false), (9002, "active", false)]);
    let active = |exposition: &Exposition, endpoint| {
        let labels = [("route", "/chat"), ("service", "chat"), ("endpoint", endpoint)];
        exposition.value("longhaul_sessions_active", &labels)
    };
    let exposition = Exposition::read(&metrics, &sessions, known.clone());
    assert_eq!(active(&exposition, "127.0.0.1:9001"), Some(2.0));
    assert_eq!(active(&exposition, "127.0.0.1:9002"), Some(0.0));
    // An endpoint that left discovery still holds its session.
    assert_eq!(active(&exposition, "127.0.0.1:9003"), Some(1.0));

    drop(route);
    let exposition = Exposition::read(&metrics, &sessions, known);
    assert_eq!(active(&exposition, "127.0.0.1:9002"), None);
}

#[test]
fn endpoints_are_counted_in_one_state_each() {
    let services = status(&[
        (9001, "active", false),
        (9002, "active", true),
        (9003, "draining", false),
        (9004, "draining", true),
    ]);
    let exposition = Exposition::read(&Metrics::new(LogLoss::default()), &Sessions::new(1), services);
    let count = |state| exposition.value("longhaul_endpoints", &[("service", "chat"), ("state", state)]);
    assert_eq!(
        ["active", "draining", "ejected", "gone", "unhealthy"].map(count),
        [Some(1.0), Some(2.0), Some(1.0), Some(0.0), Some(0.0)]
    );
    let age = exposition.value("longhaul_discovery_age_seconds", &[("service", "chat")]);
    assert_eq!(age, Some(1.5));
}

#[test]
fn handshake_times_fall_into_their_buckets() {
    let metrics = Metrics::new(LogLoss::default());
    let route = metrics.route(&"/chat".into(), &"chat".into());
    route.handshake_seconds(Duration::from_micros(700));
    route.handshake_seconds(Duration::from_secs(60));
    let exposition = Exposition::read(&metrics, &Sessions::new(1), Vec::new());
    let bucket = |le| {
        let labels = [("service", "chat"), ("le", le)];
        exposition.value("longhaul_handshake_seconds_bucket", &labels)
    };
    let buckets = ["0.0005", "0.001", "5.0", "+Inf"].map(bucket);
    assert_eq!(buckets, [Some(0.0), Some(1.0), Some(1.0), Some(2.0)]);
    let sum = exposition.value("longhaul_handshake_seconds_sum", &[("service", "chat")]);
    assert_eq!(sum, Some(60.0007));
}

#[test]
fn a_reload_goes_on_counting_where_the_route_was() {
    let metrics = Metrics::new(LogLoss::default());
    let name: Arc<str> = "/chat".into();
    let service: Arc<str> = "chat".into();
    metrics.route(&name, &service).handshake(HandshakeEnd::Upgraded);
    metrics.route(&name, &service).handshake(HandshakeEnd::Upgraded);
    let both = [metrics.route(&name, &service), metrics.route(&name, &service)];
    assert!(Arc::ptr_eq(&both[0], &both[1]));
    both[0].handshake(HandshakeEnd::Upgraded);
    let exposition = Exposition::read(&metrics, &Sessions::new(1), Vec::new());
    let labels = [("route", "/chat"), ("service", "chat"), ("outcome", "ok")];
    assert_eq!(exposition.value("longhaul_handshakes_total", &labels), Some(3.0));
}

#[test]
fn a_name_of_the_config_cannot_break_the_text() {
    let metrics = Metrics::new(LogLoss::default());
    let odd = "a\"} 1\n\\b{c}";
    let _route = metrics.route(&odd.into(), &"chat".into());
    let exposition = Exposition::read(&metrics, &Sessions::new(1), Vec::new());
    let labels = [("route", odd), ("service", "chat"), ("outcome", "ok")];
    assert_eq!(exposition.value("longhaul_handshakes_total", &labels), Some(0.0));
}
