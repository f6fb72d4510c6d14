//! The table of metrics: every one that a scrape shows, with its kind and its labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use discovery::Identity;
use longhaul::{
    relay::{Initiator, Outcome, Reason},
    session::Sessions,
    telemetry::{
        LogLoss,
        metrics::{Metrics, TieEnd, TieMethod},
        status::{EndpointStatus, ServiceStatus},
    },
};

use super::{code, rows, section};

/// A scrape in which every metric has a sample.
fn scrape() -> String {
    let metrics = Metrics::new(LogLoss::default());
    let (route, service): (Arc<str>, Arc<str>) = ("*/chat".into(), "chat".into());
    let counters = metrics.route(&route, &service);
    counters.closed(&Outcome {
        initiator: Initiator::Client,
        reason: Reason::Close,
        code: Some(1000),
    });
    metrics.affinity(&service).count(TieMethod::SignalR, TieEnd::Tied);
    metrics.connections(0).set(1);
    let address = ([127, 0, 0, 1], 9001).into();
    let status = ServiceStatus {
        name: service,
        strategy: "least-connection",
        known: true,
        age: Some(Duration::from_secs(1)),
        sources: Vec::new(),
        endpoints: vec![EndpointStatus {
            identity: Identity::of_address(address),
            address,
            weight: 1,
            state: "active",
            ejected: false,
            far: false,
            sessions: 0,
        }],
    };
    metrics.encode(&Sessions::new(1), vec![status])
}

/// The names of the labels of a sample.
fn labels(sample: &str) -> BTreeSet<String> {
    let Some((_, rest)) = sample.split_once('{') else {
        return BTreeSet::new();
    };
    // A route's name has braces and commas too, so values are skipped, not split at.
    let names = rest.split('"').step_by(2);
    let names = names.filter_map(|between| between.trim_start_matches(',').strip_suffix('='));
    names.filter(|name| *name != "le").map(str::to_owned).collect()
}

#[test]
fn the_table_has_every_metric_with_its_kind_and_labels() {
    let text = scrape();
    let mut shown: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (family, kind) = line.split_once(' ').expect("a name and a kind");
        let name = match kind {
            "counter" => format!("{family}_total"),
            "info" => format!("{family}_info"),
            _ => family.to_owned(),
        };
        let is_of_it = |sample: &&str| {
            let rest = sample.strip_prefix(&*name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) || rest.starts_with("_bucket{"))
        };
        let sample = text
            .lines()
            .find(is_of_it)
            .unwrap_or_else(|| panic!("no sample of {name}"));
        shown.insert(name, (kind.to_owned(), labels(sample)));
    }
    let rows = rows(&section("### Metrics"));
    let written: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            let names = code(&row[2]).into_iter().map(str::to_owned).collect();
            (code(&row[0])[0].to_owned(), (row[1].clone(), names))
        })
        .collect();
    assert_eq!(written, shown);
}

#[test]
fn the_list_of_outcomes_is_complete() {
    let text = scrape();
    let outcomes: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_once("outcome=\"")?.1.split('"').next())
        .collect();
    let section = section("### Metrics");
    let paragraph = section
        .split("\n\n")
        .find(|paragraph| paragraph.starts_with("Outcomes of handshakes:"))
        .expect("a paragraph of outcomes");
    let (list, _) = paragraph.split_once(". A request").expect("the end of the list");
    assert_eq!(code(list).into_iter().collect::<BTreeSet<_>>(), outcomes);
}
