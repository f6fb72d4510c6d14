//! The contract, and what it needs of a source to try it.

use std::{net::SocketAddr, time::Duration};

use discovery::{Answer, Condition, Provider, Publisher, Reader, Snapshot, supervise};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

/// A source under test, and a provider of it.
pub(crate) trait Rig: Sized {
    /// Whether an empty set is explained.
    const EXPLAINS_EMPTY: bool;

    /// A source that has these endpoints; their addresses are ones that no provider refuses.
    async fn start(endpoints: &[SocketAddr]) -> Self;

    /// A new provider of it.
    fn provider(&self) -> Box<dyn Provider>;

    /// Makes the source have these endpoints and no others; none too.
    async fn set(&mut self, endpoints: &[SocketAddr]);

    /// Makes the source be away, or give broken answers, for as long as `action` is not called again with `false`.
    async fn away(&mut self, away: bool);
}

/// Writes one test per promise for a rig, or for those promises that are named.
macro_rules! contract {
    ($rig:ty) => {
        contract!($rig: the_first_answer_is_what_the_source_has, changes_are_followed,
            a_source_that_is_empty_at_first_says_so_in_the_right_way,
            a_source_that_becomes_empty_says_so_in_the_right_way,
            a_source_that_is_away_keeps_its_set_and_its_age_grows,
            a_provider_that_was_dropped_publishes_nothing_more, a_provider_that_is_run_again_goes_on,
            a_source_that_says_the_same_wakes_nobody_and_is_not_stale);
    };
    ($rig:ty: $($promise:ident),+) => { $(
        #[tokio::test]
        async fn $promise() {
            crate::suite::$promise::<$rig>().await;
        }
    )+ };
}
pub(crate) use contract;

pub(crate) async fn the_first_answer_is_what_the_source_has<R: Rig>() {
    let rig = R::start(&[at(1), at(2)]).await;
    let mut run = Run::start(&rig);
    assert_eq!(run.reader.status().condition, Condition::Waiting);
    run.reaches(&[at(1), at(2)]).await;
    assert_eq!(run.reader.status().condition, Condition::Answering);
}

pub(crate) async fn changes_are_followed<R: Rig>() {
    let mut rig = R::start(&[at(1)]).await;
    let mut run = Run::start(&rig);
    run.reaches(&[at(1)]).await;
    for set in [&[at(1), at(2), at(3)][..], &[at(2), at(4)], &[at(1)]] {
        rig.set(set).await;
        run.reaches(set).await;
    }
}

pub(crate) async fn a_source_that_is_empty_at_first_says_so_in_the_right_way<R: Rig>() {
    let rig = R::start(&[]).await;
    Run::start(&rig).is_empty(R::EXPLAINS_EMPTY).await;
}

pub(crate) async fn a_source_that_becomes_empty_says_so_in_the_right_way<R: Rig>() {
    let mut rig = R::start(&[at(1)]).await;
    let mut run = Run::start(&rig);
    run.reaches(&[at(1)]).await;
    rig.set(&[]).await;
    run.is_empty(R::EXPLAINS_EMPTY).await;
}

pub(crate) async fn a_source_that_is_away_keeps_its_set_and_its_age_grows<R: Rig>() {
    let mut rig = R::start(&[at(1), at(2)]).await;
    let mut run = Run::start(&rig);
    run.reaches(&[at(1), at(2)]).await;
    rig.away(true).await;
    run.until("it fails", |reader| reader.status().error.is_some())
        .await;
    assert_eq!(addresses(run.reader.endpoints()), [at(1), at(2)]);
    let age = run.reader.status().age.unwrap();
    // The clock of the age only moves with time.
    let since = Instant::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(run.reader.status().age.unwrap() >= age + since.elapsed() / 2);
    rig.away(false).await;
    rig.set(&[at(2), at(3)]).await;
    run.reaches(&[at(2), at(3)]).await;
    assert_eq!(run.reader.status().condition, Condition::Answering);
    assert_eq!(run.reader.status().error, None);
}

pub(crate) async fn a_provider_that_was_dropped_publishes_nothing_more<R: Rig>() {
    let mut rig = R::start(&[at(1)]).await;
    let (publisher, mut reader) = Publisher::channel();
    let mut provider = rig.provider();
    tokio::select! {
        stopped = provider.run(&publisher) => panic!("{stopped:?}"),
        _ = reader.wait_for(|answer| !answer.clone().into_endpoints().is_empty()) => {}
    }
    rig.set(&[at(2)]).await;
    assert_eq!(addresses(reader.endpoints()), [at(1)]);
    // Run again, the same provider finds what has changed meanwhile.
    let second = [at(2)];
    tokio::select! {
        stopped = provider.run(&publisher) => panic!("{stopped:?}"),
        reached = timeout(LIMIT, reaches(&mut reader, &second)) => reached.expect("the change"),
    }
}

pub(crate) async fn a_provider_that_is_run_again_goes_on<R: Rig>() {
    let mut rig = R::start(&[at(1)]).await;
    rig.away(true).await;
    let (publisher, mut reader) = Publisher::channel();
    let mut provider = rig.provider();
    let failed = timeout(LIMIT, provider.run(&publisher)).await;
    failed.expect("it ends with an error").unwrap_err();
    assert_eq!(reader.answer(), None, "it must not publish what it does not know");
    rig.away(false).await;
    let wanted = [at(1)];
    tokio::select! {
        () = supervise(provider, &publisher) => panic!("somebody reads"),
        reached = timeout(LIMIT, reaches(&mut reader, &wanted)) => reached.expect("the set"),
    }
}

pub(crate) async fn a_source_that_says_the_same_wakes_nobody_and_is_not_stale<R: Rig>() {
    let rig = R::start(&[at(1)]).await;
    let mut run = Run::start(&rig);
    run.reaches(&[at(1)]).await;
    let mut before = run.reader.status().age.unwrap();
    let fresh = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let age = run.reader.status().age.unwrap();
            if age < before {
                break;
            }
            before = age;
        }
    };
    timeout(LIMIT, fresh).await.expect("a sign of life");
    assert!(!run.reader.has_changed());
}

/// A supervised provider.
struct Run {
    reader: Reader,
    _work: JoinSet<()>,
}

impl Run {
    fn start(rig: &impl Rig) -> Self {
        let (publisher, reader) = Publisher::channel();
        let provider = rig.provider();
        let mut work = JoinSet::new();
        work.spawn(async move { supervise(provider, &publisher).await });
        Self { reader, _work: work }
    }

    async fn reaches(&mut self, wanted: &[SocketAddr]) {
        let reached = timeout(LIMIT, reaches(&mut self.reader, wanted)).await;
        assert!(
            reached.is_ok(),
            "{wanted:?}: {:?}, {:?}",
            self.reader.answer(),
            self.reader.status()
        );
    }

    async fn is_empty(&mut self, explained: bool) {
        let wanted = match explained {
            true => Answer::Endpoints(Snapshot::default()),
            false => Answer::Nothing,
        };
        let empty = self.reader.wait_for(|answer| *answer == wanted);
        timeout(LIMIT, empty).await.expect("it says that it is empty");
        assert_eq!(self.reader.status().condition, Condition::Answering);
    }

    async fn until(&mut self, what: &str, reached: impl Fn(&Reader) -> bool) {
        let waiting = async {
            while !reached(&self.reader) {
                assert!(self.reader.changed().await);
            }
        };
        timeout(LIMIT, waiting).await.expect(what);
    }
}

async fn reaches(reader: &mut Reader, wanted: &[SocketAddr]) {
    let found = |answer: &Answer| addresses(Some(answer.clone().into_endpoints())) == wanted;
    reader.wait_for(found).await.expect("a publisher");
}

fn addresses(endpoints: Option<Snapshot>) -> Vec<SocketAddr> {
    let endpoints = endpoints.unwrap_or_default();
    let mut addresses: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    addresses.sort();
    addresses
}

/// One of the endpoints that the contract uses: several machines, one port, as a name server can say it.
pub(crate) fn at(machine: u8) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, machine], 9001))
}

/// For anything that a source must do; none of them takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(30);
