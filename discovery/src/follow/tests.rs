use std::{net::SocketAddr, time::SystemTime};

use tokio::sync::mpsc;

use super::*;
use crate::{
    Condition, Endpoint,
    allow::Own,
    provider::{Error, Running, fixed::Fixed},
};

/// Publishes what it is told.
#[derive(Debug)]
struct Scripted(mpsc::Receiver<Result<Snapshot, ()>>);

impl Provider for Scripted {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(async {
            loop {
                match self.0.recv().await {
                    Some(Ok(endpoints)) => publisher.publish(endpoints),
                    Some(Err(())) => return Err(Error::Transient("connection refused".into())),
                    None => std::future::pending().await,
                }
            }
        })
    }
}

type Script = mpsc::Sender<Result<Snapshot, ()>>;

fn scripted(name: &str) -> (Script, Supply) {
    let (script, told) = mpsc::channel(16);
    (script, Supply::new(name, Scripted(told)))
}

fn ports(ports: &[u16]) -> Snapshot {
    ports
        .iter()
        .map(|port| Endpoint::at(SocketAddr::from(([10, 0, 0, 1], *port))))
        .collect()
}

fn service(sources: Vec<Supply>, cache: &Cache) -> Service {
    Service {
        cache: cache.clone(),
        ..Service::new("chat", sources)
    }
}

/// The handle and its running work.
fn start(service: Service) -> (Followed, tokio::task::JoinHandle<()>) {
    let (followed, work) = follow(service);
    (followed, tokio::spawn(work))
}

async fn next(followed: &Followed, wanted: &Snapshot) {
    let mut snapshots = followed.snapshots();
    let reached = snapshots.wait_for(|set| set.as_ref() == Some(wanted));
    reached.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_is_followed_through_an_error_of_its_source() {
    let (script, source) = scripted("consul chat");
    let (followed, _work) = start(service(vec![source], &Cache::default()));
    assert_eq!(*followed.snapshots().borrow(), None);
    assert_eq!(followed.sources()[0].status.condition, Condition::Waiting);
    script.send(Ok(ports(&[1]))).await.unwrap();
    next(&followed, &ports(&[1])).await;
    script.send(Err(())).await.unwrap();
    script.send(Ok(ports(&[1, 2]))).await.unwrap();
    next(&followed, &ports(&[1, 2])).await;
    let [source] = &followed.sources()[..] else {
        panic!("one source")
    };
    assert_eq!(&*source.name, "consul chat");
    assert_eq!(source.status.condition, Condition::Answering);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_is_used_by_the_next_that_follows_while_the_source_is_away() {
    let cache = Cache::default();
    let (script, source) = scripted("consul chat");
    let (followed, work) = start(service(vec![source], &cache));
    script.send(Ok(ports(&[1]))).await.unwrap();
    next(&followed, &ports(&[1])).await;
    sleep(PAUSE).await;
    work.abort();

    let (script, source) = scripted("consul chat");
    let (followed, _work) = start(service(vec![source], &cache));
    script.send(Err(())).await.unwrap();
    next(&followed, &ports(&[1])).await;
    assert!(followed.age().is_some(), "as old as the answer before");
    script.send(Ok(ports(&[2]))).await.unwrap();
    next(&followed, &ports(&[2])).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_known_of_another_source_is_not_used() {
    let cache = Cache::default();
    let (script, source) = scripted("consul chat");
    let (followed, work) = start(service(vec![source], &cache));
    script.send(Ok(ports(&[1]))).await.unwrap();
    next(&followed, &ports(&[1])).await;
    sleep(PAUSE).await;
    work.abort();

    let (script, source) = scripted("consul chat in dc2");
    let (followed, _work) = start(service(vec![source], &cache));
    script.send(Err(())).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(*followed.snapshots().borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_is_refused_where_the_rules_are_other_ones_now() {
    let cache = Cache::default();
    let loopback = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], 1)));
    let both = Snapshot::from_iter([loopback, ports(&[1])[0].clone()]);
    let kept = Remembered {
        source: "consul chat".into(),
        endpoints: both,
        answered: SystemTime::now(),
    };
    cache.note(&"chat".into(), vec![kept]);
    let (script, source) = scripted("consul chat");
    let rules = Rules::new("providers.consul.allow", [], Own::default());
    let (followed, _work) = start(service(
        vec![Supply {
            rules: Some(rules),
            ..source
        }],
        &cache,
    ));
    script.send(Err(())).await.unwrap();
    next(&followed, &ports(&[1])).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_has_no_age_and_is_not_kept() {
    let cache = Cache::default();
    let list = Supply {
        remote: false,
        ..Supply::new("static", Fixed::new(ports(&[1]).to_vec()))
    };
    let (followed, _work) = start(service(vec![list], &cache));
    next(&followed, &ports(&[1])).await;
    sleep(2 * REFRESH).await;
    assert_eq!(followed.age(), None);
    assert_eq!(cache.recall(&"chat".into()).await, []);
}

#[tokio::test(start_paused = true)]
async fn the_age_is_that_of_the_source_that_is_silent_for_longest() {
    let (_one, first) = scripted("consul chat");
    let (other, second) = scripted("kubernetes chat");
    let (followed, _work) = start(service(vec![first, second], &Cache::default()));
    assert_eq!(followed.age(), None);
    other.send(Ok(ports(&[2]))).await.unwrap();
    next(&followed, &ports(&[2])).await;
    sleep(Duration::from_secs(9)).await;
    assert!(followed.age().unwrap() >= Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_work_ends_the_providers_and_keeps_the_set() {
    let (script, source) = scripted("consul chat");
    let (followed, work) = start(service(vec![source], &Cache::default()));
    script.send(Ok(ports(&[1]))).await.unwrap();
    next(&followed, &ports(&[1])).await;
    work.abort();
    script.closed().await;
    assert_eq!(*followed.snapshots().borrow(), Some(ports(&[1])));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_changes_is_no_storm_of_writes() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::default();
    cache.set_folder(Some((folder.path().to_owned(), Duration::from_secs(3600))));
    let (script, source) = scripted("consul chat");
    let (_followed, _work) = start(service(vec![source], &cache));
    let (mut writes, mut last) = (0, Vec::new());
    for port in 1..=200u16 {
        script.send(Ok(ports(&[port, 9000]))).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let content = std::fs::read(folder.path().join("chat.json")).unwrap_or_default();
        if content != last {
            writes += 1;
            last = content;
        }
    }
    assert!((3..=6).contains(&writes), "{writes} writes in 4 s");
}
