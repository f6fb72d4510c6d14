//! DNS keeps the contract, with the authoritative server knot; and what only DNS has: SRV, TCP, subsets, broken servers.

mod knot;
mod scripted;

use std::{net::SocketAddr, time::Duration};

use discovery::{
    Answer, Condition, Provider, Publisher, Reader, Snapshot,
    provider::dns::{Dns, Question, Settings},
    supervise,
};
use tokio::{task::JoinSet, time::timeout};

use self::{knot::Knot, scripted::Scripted};
use crate::suite::{Rig, at, contract};

impl Rig for Knot {
    const EXPLAINS_EMPTY: bool = false;

    async fn start(endpoints: &[SocketAddr]) -> Self {
        Self::with_zone(&zone(endpoints)).await
    }

    fn provider(&self) -> Box<dyn Provider> {
        addresses_of("chat.internal", self.address())
    }

    async fn set(&mut self, endpoints: &[SocketAddr]) {
        self.load(&zone(endpoints)).await;
    }

    async fn away(&mut self, away: bool) {
        self.freeze(away).await;
    }
}

contract!(Knot);

#[tokio::test]
async fn srv_gives_ports_and_weights_of_the_lowest_priority() {
    let knot = Knot::with_zone(
        "_ws._tcp.chat 0 SRV 10 3 9001 a.chat\n\
         _ws._tcp.chat 0 SRV 10 0 9002 b.chat\n\
         _ws._tcp.chat 0 SRV 20 1 9003 a.chat\n\
         a.chat 0 A 10.77.0.1\n\
         b.chat 0 A 10.77.0.2\n\
         b.chat 0 AAAA fd77::2\n",
    )
    .await;
    let mut run = Run::start(srv("_ws._tcp.chat.internal", knot.address()));
    let mut found = run.next(|set| !set.is_empty()).await;
    found.sort();
    assert_eq!(
        found,
        ["10.77.0.1:9001 x3", "10.77.0.2:9002 x1", "[fd77::2]:9002 x1"]
    );
}

#[tokio::test]
async fn an_srv_target_of_the_root_says_that_there_are_none() {
    let knot = Knot::with_zone("_ws._tcp.chat 0 SRV 0 0 0 .\n").await;
    let mut run = Run::start(srv("_ws._tcp.chat.internal", knot.address()));
    run.answers(&Answer::Endpoints(Snapshot::default())).await;
}

#[tokio::test]
async fn a_name_that_does_not_exist_and_one_without_addresses_are_unexplained() {
    let knot = Knot::with_zone("text 0 TXT \"no address\"\n").await;
    for name in ["missing.internal", "text.internal"] {
        let mut run = Run::start(addresses_of(name, knot.address()));
        run.answers(&Answer::Nothing).await;
        assert_eq!(run.reader.status().condition, Condition::Answering);
    }
}

#[tokio::test]
async fn a_name_of_another_zone_is_refused() {
    let knot = Knot::with_zone("").await;
    let mut run = Run::start(addresses_of("example.com", knot.address()));
    run.fails(Condition::Refused).await;
    assert_eq!(run.reader.answer(), None);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_into_a_datagram_is_complete() {
    let many: Vec<_> = (0..=255).flat_map(|high| [(high, 1), (high, 2)]).collect();
    let lines: String = many
        .iter()
        .map(|(high, low)| format!("chat 0 A 10.77.{high}.{low}\n"))
        .collect();
    let knot = Knot::with_zone(&lines).await;
    let mut run = Run::start(addresses_of("chat.internal", knot.address()));
    let found = run.next(|set| !set.is_empty()).await;
    assert_eq!(found.len(), many.len());
}

#[tokio::test]
async fn random_subsets_do_not_make_endpoints_flap() {
    let server = Scripted::start().await;
    server.answer(|round| match round % 2 {
        0 => vec![[10, 77, 0, 1], [10, 77, 0, 2]],
        _ => vec![[10, 77, 0, 2], [10, 77, 0, 3]],
    });
    let mut run = Run::start(addresses_of("chat.internal", server.address()));
    run.next(|set| set.len() == 3).await;
    let rounds = server.rounds();
    while server.rounds() < rounds + 20 {
        let calm = timeout(Duration::from_millis(5), run.reader.changed()).await;
        assert!(calm.is_err(), "{:?}", run.reader.answer());
    }
}

#[tokio::test]
async fn a_missing_address_is_gone_after_a_few_answers() {
    let server = Scripted::start().await;
    server.answer(|_| vec![[10, 77, 0, 1], [10, 77, 0, 2]]);
    let mut run = Run::start(addresses_of("chat.internal", server.address()));
    run.next(|set| set.len() == 2).await;
    let before = server.rounds();
    server.answer(|_| vec![[10, 77, 0, 1]]);
    run.next(|set| set.len() == 1).await;
    assert!(server.rounds() >= before + 3, "{before}, {}", server.rounds());
}

#[tokio::test]
async fn garbage_and_failures_of_the_server_keep_the_set() {
    let server = Scripted::start().await;
    server.answer(|_| vec![[10, 77, 0, 1]]);
    let mut run = Run::start(addresses_of("chat.internal", server.address()));
    run.next(|set| !set.is_empty()).await;
    for (broken, condition) in [
        (scripted::Break::ServerFailure, Condition::Failing),
        (scripted::Break::Refused, Condition::Refused),
        (scripted::Break::Garbage, Condition::Failing),
        (scripted::Break::Truncated, Condition::Failing),
    ] {
        server.broken(Some(broken));
        run.fails(condition).await;
        assert_eq!(run.now(), ["10.77.0.1:9001 x1"], "{broken:?}");
        server.broken(None);
        run.until(|reader| reader.status().condition == Condition::Answering)
            .await;
    }
}

#[tokio::test]
async fn where_only_one_family_fails_the_other_goes_on_and_it_keeps_its_own() {
    let server = Scripted::start().await;
    server.answer(|_| vec![[10, 77, 0, 1]]);
    server.answer_v6(Some(vec!["fd77::1".parse().unwrap()]));
    let mut run = Run::start(addresses_of("chat.internal", server.address()));
    run.next(|set| set.len() == 2).await;
    server.answer_v6(None);
    server.answer(|_| vec![[10, 77, 0, 2]]);
    let mut found = run
        .next(|set| set.len() == 2 && set.iter().any(|e| e.starts_with("10.77.0.2")))
        .await;
    found.sort();
    assert_eq!(found, ["10.77.0.2:9001 x1", "[fd77::1]:9001 x1"]);
    assert_eq!(run.reader.status().condition, Condition::Answering);
}

fn zone(endpoints: &[SocketAddr]) -> String {
    endpoints
        .iter()
        .inspect(|endpoint| assert_eq!(endpoint.port(), at(1).port()))
        .map(|endpoint| format!("chat 0 A {}\n", endpoint.ip()))
        .collect()
}

fn addresses_of(name: &str, server: SocketAddr) -> Box<dyn Provider> {
    let name = name.to_owned();
    let port = at(1).port();
    provider(Question::Addresses { name, port }, server)
}

fn srv(name: &str, server: SocketAddr) -> Box<dyn Provider> {
    provider(Question::Srv(name.to_owned()), server)
}

fn provider(question: Question, server: SocketAddr) -> Box<dyn Provider> {
    Box::new(Dns::new(Settings {
        server: Some(server),
        floor: Duration::from_millis(20),
        ..Settings::new(question)
    }))
}

/// A supervised provider.
struct Run {
    reader: Reader,
    _work: JoinSet<()>,
}

impl Run {
    fn start(provider: Box<dyn Provider>) -> Self {
        let (publisher, reader) = Publisher::channel();
        let mut work = JoinSet::new();
        work.spawn(async move { supervise(provider, &publisher).await });
        Self { reader, _work: work }
    }

    async fn next(&mut self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let found = self.reader.wait_for(|answer| wanted(&spelled(answer)));
        let found = timeout(LIMIT, found).await.expect("the set in time");
        spelled(&Answer::Endpoints(found.unwrap()))
    }

    fn now(&mut self) -> Vec<String> {
        spelled(&self.reader.answer().unwrap())
    }

    async fn answers(&mut self, wanted: &Answer) {
        let answered = self.reader.wait_for(|answer| answer == wanted);
        timeout(LIMIT, answered).await.expect("the answer in time");
    }

    async fn fails(&mut self, condition: Condition) {
        self.until(|reader| reader.status().condition == condition).await;
    }

    async fn until(&mut self, reached: impl Fn(&Reader) -> bool) {
        let waiting = async {
            while !reached(&self.reader) {
                assert!(self.reader.changed().await);
            }
        };
        let in_time = timeout(LIMIT, waiting).await.is_ok();
        assert!(in_time, "{:?}", self.reader.status());
    }
}

fn spelled(answer: &Answer) -> Vec<String> {
    let endpoints = answer.clone().into_endpoints();
    let spelled = endpoints.iter().map(|e| format!("{} x{}", e.address, e.weight));
    spelled.collect()
}

/// Tries of a server that does not answer included.
const LIMIT: Duration = Duration::from_secs(40);
