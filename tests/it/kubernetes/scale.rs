//! Many endpoints: how soon they are known, what one change costs, and what they weigh.

use std::{num::NonZeroU16, time::Duration};

use discovery::{
    Condition, Provider, Publisher, Reader,
    provider::kubernetes::{self, Kubernetes, PortChoice, Target},
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{
    cluster::Cluster,
    follow::{SLICES, pod, ready, slice},
    network::{alone, figure},
};
use crate::support::*;

const SLICE_COUNT: usize = 100;
const IN_A_SLICE: usize = 100;
const CHANGES: usize = 20;

fn endpoint(slice: usize, index: usize) -> Value {
    // As long as the uid of a real pod.
    let uid = format!("00000000-0000-4000-8000-{slice:06}{index:06}");
    let mut endpoint = ready(&uid, &format!("10.77.{slice}.{index}"));
    endpoint["nodeName"] = "node-of-the-pod.internal".into();
    endpoint["zone"] = ["a", "b", "c"][index % 3].into();
    endpoint
}

fn slice_number(number: usize) -> Value {
    let endpoints: Vec<_> = (1..=IN_A_SLICE).map(|index| endpoint(number, index)).collect();
    slice(&format!("chat-{number:03}"), "chat", &endpoints)
}

/// A provider on a thread of its own, whose processor time is the provider's alone.
struct Alone {
    reader: Reader,
    ask: watch::Sender<()>,
    clock: watch::Receiver<Duration>,
}

impl Alone {
    fn start(mut provider: Kubernetes) -> Self {
        let (publisher, reader) = Publisher::channel();
        let (ask, mut asked) = watch::channel(());
        let (tell, clock) = watch::channel(Duration::ZERO);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let telling = async {
                    while asked.changed().await.is_ok() {
                        tell.send_replace(processor());
                    }
                };
                tokio::select! {
                    end = provider.run(&publisher) => panic!("it ended: {end:?}"),
                    () = telling => {}
                }
            });
        });
        Self { reader, ask, clock }
    }

    async fn processor(&mut self) -> Duration {
        self.ask.send_replace(());
        within(SOON, "the time", self.clock.changed())
            .await
            .expect("a thread that runs");
        *self.clock.borrow_and_update()
    }
}

/// Processor time of this thread.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).expect("below a second"),
    )
}

/// Memory of this process that is in use, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a live process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .expect("a line RssAnon");
    line.trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .expect("a number")
        * 1024
}

/// What ten thousand endpoints cost.
pub(super) struct Many {
    /// From nothing to the first snapshot.
    pub(super) known: Vec<Duration>,
    /// Processor time for a change of one, each time.
    pub(super) costs: Vec<Duration>,
    /// Bytes for each endpoint.
    pub(super) each: u64,
}

/// Learns ten thousand endpoints `starts` times, and the last time follows `changes` of one.
pub(super) async fn many(starts: usize, changes: usize) -> Many {
    let cluster = Cluster::start().await;
    for number in 0..SLICE_COUNT {
        cluster.create(SLICES, &slice_number(number)).await;
    }
    let mut known = Vec::new();
    let before = memory();
    let mut following = first_snapshot(&cluster, &mut known).await;
    let each = memory().saturating_sub(before) / (SLICE_COUNT * IN_A_SLICE) as u64;
    for _ in 1..starts {
        following = first_snapshot(&cluster, &mut known).await;
    }
    let mut costs = Vec::new();
    let path = format!("{SLICES}/chat-007");
    for change in 0..changes {
        let state = change
            .is_multiple_of(2)
            .then(|| pod("changed", "10.77.7.1", &serde_json::json!({ "ready": false })));
        let mut changed = slice_number(7);
        changed["endpoints"][0] = state.unwrap_or_else(|| endpoint(7, 1));
        let at = following.processor().await;
        cluster.replace(&path, &changed).await;
        within(SOON, "the change", following.reader.changed()).await;
        costs.push(following.processor().await - at);
        following.reader.answer();
    }
    assert_eq!(following.reader.status().condition, Condition::Answering);
    Many { known, costs, each }
}

async fn first_snapshot(cluster: &Cluster, known: &mut Vec<Duration>) -> Alone {
    let source = kubernetes::Cluster::new(cluster.admin());
    let target = Target::try_new("chat")
        .and_then(|target| target.in_namespace("default"))
        .expect("names");
    let provider = source.provider(target.on(PortChoice::Number(NonZeroU16::new(9001).expect("a port"))));
    let begun = Instant::now();
    let mut following = Alone::start(provider);
    let endpoints = within(SOON, "all endpoints", following.reader.wait_for(|_| true))
        .await
        .expect("an answer");
    known.push(begun.elapsed());
    assert_eq!(endpoints.len(), SLICE_COUNT * IN_A_SLICE);
    following
}

#[test]
fn ten_thousand_endpoints_are_known_soon_and_a_change_of_one_is_cheap() {
    alone(Duration::from_mins(3), async {
        let mut many = many(1, CHANGES).await;
        many.costs.sort_unstable();
        let (known, each) = (many.known[0], many.each);
        let (median, most) = (many.costs[CHANGES / 2], many.costs[CHANGES - 1]);
        let endpoints = SLICE_COUNT * IN_A_SLICE;
        figure(&format!(
            "{endpoints} endpoints over {SLICE_COUNT} slices: known after {known:?}, {each} bytes each"
        ));
        figure(&format!(
            "a change of one of them: {median:?} of processor time at the median, {most:?} at most"
        ));
        assert!(known < Duration::from_secs(2), "{known:?}");
        // Without optimisation it takes some times as long.
        let limit = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 20 });
        assert!(median < limit, "{median:?}");
        assert!(each <= 1024, "{each} bytes");
    });
}
