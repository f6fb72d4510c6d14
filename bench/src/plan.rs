//! The jobs of a run and the rows they fill.
//!
//! In: whether the run is quick. Out: jobs in the order of the table, rows with their unit, and the budgets that Longhaul is held to.

use crate::{job::Job, load::Exchange, peers::Strategy};

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) lower_is_better: bool,
    pub(crate) budget: Option<Budget>,
}

/// What Longhaul may use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Budget {
    /// At most so many times what nginx uses.
    OfNginx(f64),
    /// At most so many times what the best peer uses.
    OfBest(f64),
    /// At most so many times what it uses itself in the first row of the job before.
    OfJobAbove(f64),
    /// At most so much.
    Absolute(f64),
}

const SMALL: usize = 64;
const LARGE: usize = 64 * 1024;
const MANY_ENDPOINTS: usize = 10_000;

/// The jobs of a run.
pub(crate) fn jobs(quick: bool) -> Vec<Job> {
    if quick { core() } else { all() }
}

fn core() -> Vec<Job> {
    vec![
        exchange((32, 1), SMALL, 20_000),
        exchange((8, 2), LARGE, 3_000),
        handshakes(4, 2_000),
        idle(1_000),
        exchange((32, 1), SMALL, 20_000).within_tls(),
        handshakes(4, 600).within_tls(),
    ]
}

fn all() -> Vec<Job> {
    let mut jobs = vec![
        exchange((32, 1), SMALL, 40_000),
        exchange((32, 8), SMALL, 80_000),
        exchange((32, 1), 1024, 40_000),
        exchange((32, 8), 1024, 80_000),
        exchange((8, 2), LARGE, 6_000),
        handshakes(4, 4_000),
        handshakes(MANY_ENDPOINTS, 4_000),
    ];
    jobs.extend([1_000, 5_000, 9_000].map(idle));
    for (grown, sessions) in [(false, 600), (true, 1_200)] {
        let strategies = [
            Strategy::RoundRobin,
            Strategy::LeastConnection,
            Strategy::PowerOfTwo,
        ];
        jobs.extend(strategies.map(|strategy| Job::Spread {
            strategy,
            sessions,
            grown,
        }));
    }
    jobs.extend(all_within_tls());
    jobs
}

/// The same work where both sides of the proxy are within TLS.
fn all_within_tls() -> impl Iterator<Item = Job> {
    let jobs = [
        exchange((32, 1), SMALL, 40_000),
        exchange((8, 2), LARGE, 4_000),
        handshakes(4, 2_000),
        // More sessions take longer, and none of them more memory.
        idle(1_000),
    ];
    jobs.into_iter().map(Job::within_tls)
}

fn handshakes(endpoints: usize, count: usize) -> Job {
    Job::Handshakes {
        endpoints,
        count,
        tls: false,
    }
}

fn idle(sessions: usize) -> Job {
    Job::Idle { sessions, tls: false }
}

fn exchange((sessions, in_flight): (usize, usize), bytes: usize, messages: usize) -> Job {
    Job::Messages {
        sessions,
        exchange: Exchange {
            bytes,
            in_flight,
            messages,
        },
        tls: false,
    }
}

/// The longest payload that any job sends.
pub(crate) const LONGEST: usize = LARGE;

impl Job {
    /// The same with both sides of the proxy within TLS.
    fn within_tls(mut self) -> Self {
        match &mut self {
            Self::Messages { tls, .. } | Self::Idle { tls, .. } | Self::Handshakes { tls, .. } => *tls = true,
            Self::Spread { .. } => {}
        }
        self
    }

    /// One row per value of [`Job::run`]; no budget is set for those within TLS.
    pub(crate) fn rows(self) -> Vec<Row> {
        let mut rows = match self {
            Self::Messages {
                sessions, exchange, ..
            } => messages(sessions, exchange),
            Self::Idle { sessions, .. } => memory(sessions),
            Self::Handshakes { endpoints, .. } => lives(endpoints),
            Self::Spread {
                strategy,
                sessions,
                grown,
            } => spread(strategy, sessions, grown),
        };
        if self.is_within_tls() {
            for row in &mut rows {
                row.title.insert_str(0, "TLS, ");
                row.budget = None;
            }
        }
        rows
    }
}

fn row(title: String, unit: &'static str, lower_is_better: bool) -> Row {
    Row {
        title,
        unit,
        lower_is_better,
        budget: None,
    }
}

fn messages(sessions: usize, exchange: Exchange) -> Vec<Row> {
    let Exchange { bytes, in_flight, .. } = exchange;
    let size = if bytes < 1024 {
        format!("{bytes} B")
    } else {
        format!("{} KiB", bytes / 1024)
    };
    let title = |what: &str| format!("{size} x{sessions}, {in_flight} in flight: {what}");
    let mut rows = vec![
        row(title("CPU per message"), "us", true),
        row(title("messages"), "/s", false),
        row(title("latency p50"), "us", true),
        row(title("latency p99"), "us", true),
        row(title("latency p99.9"), "us", true),
    ];
    rows[0].budget = match (bytes, in_flight) {
        (SMALL, 1) => Some(Budget::OfNginx(0.95)),
        (LARGE, _) => Some(Budget::OfBest(0.6)),
        _ => None,
    };
    rows
}

fn memory(sessions: usize) -> Vec<Row> {
    let title = |when: &str| format!("memory per session, {sessions} idle: {when}");
    let mut rows = ["before a message", "after 64 B each", "after 16 KiB each"]
        .map(|when| row(title(when), "KiB", true));
    rows[0].budget = Some(Budget::Absolute(2.5));
    rows[1].budget = Some(Budget::Absolute(2.5));
    rows.to_vec()
}

fn lives(endpoints: usize) -> Vec<Row> {
    let title = |what: &str| format!("{endpoints} endpoints: {what}");
    let mut rows = vec![
        row(title("CPU per handshake"), "us", true),
        row(title("handshakes"), "/s", false),
    ];
    rows[0].budget = Some(if endpoints == MANY_ENDPOINTS {
        Budget::OfJobAbove(1.1)
    } else {
        Budget::OfNginx(0.95)
    });
    rows
}

fn spread(strategy: Strategy, sessions: usize, grown: bool) -> Vec<Row> {
    let strategy = match strategy {
        Strategy::RoundRobin => "round robin",
        Strategy::LeastConnection => "least connections",
        Strategy::PowerOfTwo => "power of two",
    };
    let (set, endpoints) = if grown {
        ("grown from 3 to 6", 6)
    } else {
        ("4 endpoints", 4)
    };
    let even = sessions / endpoints;
    let title = |which: &str| format!("{strategy}, {set}: sessions on the {which} (even: {even})");
    vec![row(title("fullest"), "", true), row(title("emptiest"), "", false)]
}
