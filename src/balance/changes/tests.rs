//! What the balance layer is told of each snapshot.

use std::{net::SocketAddr, num::NonZeroU32};

use futures_util::FutureExt;
use tower::Service;

use super::*;
use crate::{
    balance::{Pick, Settings, Unavailable},
    config::Strategy,
};

fn at(port: u16) -> Endpoint {
    Endpoint::at(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn ports(ports: impl IntoIterator<Item = u16>) -> Snapshot {
    ports.into_iter().map(at).collect()
}

fn spell(change: &Change<Identity, Endpoint>) -> String {
    match change {
        Change::Insert(identity, _) => format!("+{identity}"),
        Change::Remove(identity) => format!("-{identity}"),
    }
}

fn balance() -> Balance {
    let settings = Settings {
        strategy: Strategy::RoundRobin,
        max_sessions_per_endpoint: None,
    };
    Balance::new("chat".into(), settings)
}

fn listed(balance: &Balance) -> Vec<u16> {
    balance
        .snapshot()
        .iter()
        .map(|endpoint| endpoint.address.port())
        .collect()
}

#[tokio::test]
async fn inserts_come_before_removes() {
    let (publisher, reader) = watch::channel(None);
    let mut changes = Changes::new(reader, ports([1, 2]));
    publisher.send_replace(Some(ports([2, 3, 4])));
    let batch: Vec<_> = changes.next().await.unwrap().iter().map(spell).collect();
    assert_eq!(
        batch,
        ["+addr:127.0.0.1:3", "+addr:127.0.0.1:4", "-addr:127.0.0.1:1"]
    );
}

#[tokio::test]
async fn only_what_changed_is_told() {
    let (publisher, reader) = watch::channel(None);
    let mut changes = Changes::new(reader, ports([1, 2]));
    let heavier = Endpoint {
        weight: NonZeroU32::new(5).unwrap(),
        ..at(2)
    };
    publisher.send_replace(Some([at(1), heavier].into_iter().collect()));
    let batch: Vec<_> = changes.next().await.unwrap().iter().map(spell).collect();
    assert_eq!(batch, ["+addr:127.0.0.1:2"]);
}

#[tokio::test]
async fn not_known_says_nothing_and_the_last_snapshot_is_told_after_the_provider_is_gone() {
    let (publisher, reader) = watch::channel(None);
    let mut changes = Changes::new(reader, Snapshot::default());
    assert!(changes.next().now_or_never().is_none());
    publisher.send_replace(Some(ports([1])));
    drop(publisher);
    assert_eq!(changes.next().await.unwrap().len(), 1);
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn the_stream_feeds_any_discover() {
    let (publisher, reader) = watch::channel(None);
    publisher.send_replace(Some(ports([1, 2])));
    let stream = Changes::new(reader, Snapshot::default()).into_stream();
    drop(publisher);
    let all: Vec<_> = stream
        .map(|change| spell(&change.unwrap_or_else(|never| match never {})))
        .collect()
        .await;
    assert_eq!(all, ["+addr:127.0.0.1:1", "+addr:127.0.0.1:2"]);
}

#[tokio::test]
async fn a_fed_balance_follows_its_snapshots() {
    let (publisher, reader) = watch::channel(None);
    let balance = balance();
    let mut feed = Box::pin(feed(balance.clone(), reader));
    assert!(feed.as_mut().now_or_never().is_none() && !balance.known());
    publisher.send_replace(Some(ports([1, 2])));
    assert!(feed.as_mut().now_or_never().is_none() && balance.known());
    assert_eq!(listed(&balance), [1, 2]);
    publisher.send_replace(Some(ports([2, 3])));
    assert!(feed.as_mut().now_or_never().is_none());
    assert_eq!(listed(&balance), [2, 3]);
    drop(publisher);
    feed.await;
    assert_eq!(
        listed(&balance),
        [2, 3],
        "the end of a provider takes no endpoint away"
    );
}

#[tokio::test]
async fn an_empty_service_is_known_to_be_empty() {
    let (publisher, reader) = watch::channel(None);
    publisher.send_replace(Some(Snapshot::default()));
    drop(publisher);
    let mut balance = balance();
    feed(balance.clone(), reader).await;
    assert_eq!(balance.call(Pick::new()).await.unwrap_err(), Unavailable::Empty);
}

/// A reload moves a service to another registry. Its endpoints stay in use until that one has answered.
#[tokio::test]
async fn a_new_source_replaces_the_endpoints_of_the_old_one_when_it_answers() {
    let balance = balance();
    let (old, reader) = watch::channel(None);
    old.send_replace(Some(ports([1, 2])));
    drop(old);
    feed(balance.clone(), reader).await;
    let (new, reader) = watch::channel(None);
    let mut feed = Box::pin(feed(balance.clone(), reader));
    assert!(feed.as_mut().now_or_never().is_none());
    assert_eq!(listed(&balance), [1, 2]);
    new.send_replace(Some(ports([2, 9])));
    assert!(feed.as_mut().now_or_never().is_none());
    assert_eq!(listed(&balance), [2, 9]);
}
