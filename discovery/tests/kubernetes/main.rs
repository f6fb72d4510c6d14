//! The Kubernetes provider as others use it, against an API server in this process, over TCP and through a kubeconfig
//! file. What real servers do is tried by the router's tests, which can make a network for them.

#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken assumption by panicking"
)]

mod server;

use std::{num::NonZeroU16, time::Duration};

use discovery::{
    Answer, Condition, Endpoint, Provider, Publisher, Reader, Snapshot, State, provider,
    provider::kubernetes::{Access, Cluster, PortChoice, Target},
};
use tokio::{task::JoinHandle, time::timeout};

use self::server::Server;

fn cluster(server: &Server) -> Cluster {
    Cluster::new(Access::Kubeconfig(server.kubeconfig()))
}

/// A provider at work.
struct Running {
    reader: Reader,
    task: JoinHandle<Result<std::convert::Infallible, provider::Error>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn follow(cluster: &Cluster, service: &str) -> Running {
    let target = Target::try_new(service).unwrap().in_namespace("default").unwrap();
    let mut provider = cluster.provider(target.on(PortChoice::Named("ws".into())));
    let (publisher, reader) = Publisher::channel();
    let task = tokio::spawn(async move { provider.run(&publisher).await });
    Running { reader, task }
}

/// Waits for a state of the source, not for a time; the time is only how long a broken test may hang.
async fn until(running: &mut Running, what: &str, wanted: impl Fn(&mut Reader) -> bool) {
    let waiting = async {
        while !wanted(&mut running.reader) {
            assert!(running.reader.changed().await);
        }
    };
    timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| {
            panic!(
                "not seen: {what}; last: {:?} {:?}",
                running.reader.answer(),
                running.reader.status()
            );
        });
}

async fn until_pods(running: &mut Running, pods: &[&str]) {
    until(running, &format!("{pods:?}"), |reader| {
        let identities = |e: Snapshot| e.iter().map(|e| e.identity.to_string()).collect::<Vec<_>>();
        reader.answer().is_some_and(|answer| match answer {
            Answer::Endpoints(endpoints) => {
                identities(endpoints) == pods.iter().map(|pod| format!("pod:{pod}")).collect::<Vec<_>>()
            }
            Answer::Nothing => false,
        })
    })
    .await;
}

async fn until_condition(running: &mut Running, condition: Condition) {
    until(running, &format!("{condition:?}"), |reader| {
        reader.answer();
        reader.status().condition == condition
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_follows_each_change() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a", "b"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a", "b"]).await;
    let expected = Endpoint {
        identity: "pod:a".into(),
        ..Endpoint::at("10.0.0.1:9001".parse().unwrap())
    };
    assert_eq!(chat.reader.endpoints().unwrap()[0], expected);
    server.put("chat-2", "chat", &["c"]);
    until_pods(&mut chat, &["a", "b", "c"]).await;
    server.put("chat-1", "chat", &["b"]);
    until_pods(&mut chat, &["b", "c"]).await;
    server.delete("chat-1");
    until_pods(&mut chat, &["c"]).await;
    server.put("chat-2", "chat", &[]);
    until_pods(&mut chat, &[]).await;
    server.delete("chat-2");
    until(&mut chat, "nothing", |reader| {
        reader.answer() == Some(Answer::Nothing)
    })
    .await;
    assert_eq!((server.lists(), server.watches()), (1, 1));
}

#[tokio::test]
async fn endpoints_of_no_pod_are_known_by_their_address() {
    let server = Server::start().await;
    let address = "10.77.0.9:9001".parse().unwrap();
    server.put_addresses("chat-1", "chat", &[address]);
    let mut chat = follow(&cluster(&server), "chat");
    until(&mut chat, "one endpoint", |reader| {
        reader.endpoints() == Some(Snapshot::from_iter([Endpoint::at(address)]))
    })
    .await;
}

#[tokio::test]
async fn services_of_a_namespace_share_one_watch_and_see_only_what_concerns_them() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    server.put("rooms-1", "rooms", &["b"]);
    let cluster = cluster(&server);
    let mut chat = follow(&cluster, "chat");
    let mut rooms = follow(&cluster, "rooms");
    until_pods(&mut chat, &["a"]).await;
    until_pods(&mut rooms, &["b"]).await;
    server.put("rooms-1", "rooms", &["b", "c"]);
    until_pods(&mut rooms, &["b", "c"]).await;
    assert!(!chat.reader.has_changed());
    // Who comes later is told what is known.
    let mut absent = follow(&cluster, "absent");
    until(&mut absent, "nothing", |reader| {
        reader.answer() == Some(Answer::Nothing)
    })
    .await;
    let mut again = follow(&cluster, "rooms");
    until_pods(&mut again, &["b", "c"]).await;
    assert_eq!((server.lists(), server.watches()), (1, 1));
}

#[tokio::test]
async fn with_its_last_reader_a_namespace_ends_and_starts_anew_for_the_next() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let cluster = cluster(&server);
    let mut one = follow(&cluster, "chat");
    let mut two = follow(&cluster, "chat");
    until_pods(&mut one, &["a"]).await;
    until_pods(&mut two, &["a"]).await;
    drop(one);
    server.put("chat-1", "chat", &["b"]);
    until_pods(&mut two, &["b"]).await;
    drop(two);
    server.until_watched_by(0).await;
    let mut three = follow(&cluster, "chat");
    until_pods(&mut three, &["b"]).await;
    server.until_watched_by(1).await;
    assert_eq!((server.lists(), server.watches()), (2, 2));
}

#[tokio::test]
async fn a_watch_that_ends_is_taken_up_where_it_was() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a"]).await;
    server.until_watched_by(1).await;
    server.end_watches();
    server.put("chat-1", "chat", &["b"]);
    until_pods(&mut chat, &["b"]).await;
    assert_eq!((server.lists(), server.watches()), (1, 2));
    assert_eq!(
        chat.reader.status().condition,
        Condition::Answering,
        "an end is no failure"
    );
}

#[tokio::test]
async fn a_version_that_is_too_old_leads_to_another_list_without_a_gap() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a"]).await;
    server.until_watched_by(1).await;
    server.compact("chat-1", "chat-2", &["b"]);
    // From one set to the other: the test of each answer in between would see a gap.
    until(&mut chat, "b", |reader| {
        let endpoints = reader.endpoints().unwrap();
        assert_eq!(endpoints.len(), 1);
        endpoints[0].identity.as_str() == "pod:b"
    })
    .await;
    assert_eq!(server.lists(), 2);
    assert_eq!(chat.reader.status().condition, Condition::Answering);
}

#[tokio::test]
async fn a_server_that_forgets_every_version_is_failing_rather_than_asked_for_list_after_list() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a"]).await;
    server.until_watched_by(1).await;
    server.forget_all(true);
    until_condition(&mut chat, Condition::Failing).await;
    assert_eq!(chat.reader.endpoints().unwrap().len(), 1);
    server.forget_all(false);
    server.put("chat-1", "chat", &["b"]);
    until_pods(&mut chat, &["b"]).await;
    server.until_watched_by(1).await;
    until_condition(&mut chat, Condition::Answering).await;
}

#[tokio::test]
async fn versions_that_go_back_lead_to_another_list() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    server.put("chat-1", "chat", &["a"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a"]).await;
    server.until_watched_by(1).await;
    // A watch from a version that is yet to come shows nothing: neither that "a" is gone nor that "b" is there.
    server.restore("chat-1", &["b"]);
    server.send("{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"2\"}}}\n");
    until_pods(&mut chat, &["b"]).await;
    assert_eq!(server.lists(), 2);
}

#[tokio::test]
async fn a_kubeconfig_is_read_again_when_its_server_cannot_be_reached() {
    let [old, new] = [Server::start().await, Server::start().await];
    old.put("chat-1", "chat", &["a"]);
    new.put("chat-1", "chat", &["b"]);
    let mut chat = follow(&cluster(&old), "chat");
    until_pods(&mut chat, &["a"]).await;
    old.until_watched_by(1).await;
    std::fs::copy(new.kubeconfig(), old.kubeconfig()).unwrap();
    let _old = old
        .restart(|| async {
            until_pods(&mut chat, &["b"]).await;
            assert_eq!(new.lists(), 1, "versions of another server mean nothing");
        })
        .await;
}

#[tokio::test]
async fn garbage_in_a_watch_is_a_failure_that_keeps_the_set_and_leads_to_another_list() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a"]).await;
    server.until_watched_by(1).await;
    server.send("{\"type\":\"MODIFIED\",\"object\":{}}\n");
    until_condition(&mut chat, Condition::Failing).await;
    assert_eq!(chat.reader.endpoints().unwrap().len(), 1);
    assert!(chat.reader.status().error.unwrap().contains("makes no sense"));
    until_condition(&mut chat, Condition::Answering).await;
    assert_eq!(server.lists(), 2);
}

#[tokio::test]
async fn a_refusal_is_no_empty_answer_and_ends_when_the_permission_is_there() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    server.refuse(Some(403));
    let mut chat = follow(&cluster(&server), "chat");
    until_condition(&mut chat, Condition::Refused).await;
    assert_eq!(chat.reader.answer(), None);
    server.refuse(None);
    until_pods(&mut chat, &["a"]).await;
    assert_eq!(chat.reader.status().condition, Condition::Answering);
    for (code, condition) in [
        (403, Condition::Refused),
        (401, Condition::Refused),
        (500, Condition::Failing),
    ] {
        server.until_watched_by(1).await;
        server.refuse(Some(code));
        server.end_watches();
        until_condition(&mut chat, condition).await;
        assert_eq!(chat.reader.endpoints().unwrap().len(), 1, "after {code}");
        server.refuse(None);
        until_condition(&mut chat, Condition::Answering).await;
    }
    assert_eq!(server.lists(), 1, "a permission that comes back costs no list");
}

#[tokio::test]
async fn credentials_are_read_again_when_the_server_does_not_know_them_any_more() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a"]).await;
    server.until_watched_by(1).await;
    server.rotate("second");
    server.end_watches();
    until_condition(&mut chat, Condition::Refused).await;
    server.write_kubeconfig("second");
    until_condition(&mut chat, Condition::Answering).await;
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_yet_is_found_when_it_is() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    std::fs::remove_file(server.kubeconfig()).unwrap();
    let mut chat = follow(&cluster(&server), "chat");
    until_condition(&mut chat, Condition::Refused).await;
    assert_eq!(chat.reader.answer(), None);
    server.write_kubeconfig("first");
    until_pods(&mut chat, &["a"]).await;
}

#[tokio::test]
async fn a_server_that_is_away_takes_nothing_back() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let mut chat = follow(&cluster(&server), "chat");
    until_pods(&mut chat, &["a"]).await;
    let server = server.restart(|| async {
        until_condition(&mut chat, Condition::Failing).await;
        assert_eq!(chat.reader.endpoints().unwrap().len(), 1);
    });
    let server = server.await;
    server.put("chat-1", "chat", &["b"]);
    until_pods(&mut chat, &["b"]).await;
}

#[tokio::test]
async fn a_provider_that_is_run_again_says_again_what_is_known() {
    let server = Server::start().await;
    server.put("chat-1", "chat", &["a"]);
    let target = Target::try_new("chat").unwrap().in_namespace("default").unwrap();
    let mut provider =
        cluster(&server).provider(target.on(PortChoice::Number(NonZeroU16::new(9001).unwrap())));
    for _ in 0..2 {
        let (publisher, mut reader) = Publisher::channel();
        tokio::select! {
            stopped = provider.run(&publisher) => panic!("stopped: {stopped:?}"),
            endpoints = reader.wait_for(|_| true) => assert_eq!(endpoints.unwrap()[0].state, State::Active),
        }
    }
    assert_eq!(server.lists(), 1);
}

#[test]
fn names_that_cannot_be_part_of_a_path_are_refused() {
    for name in ["", "a/b", "a?b", "A", "a.b", "..", "a b", "ä", &"a".repeat(64)] {
        assert!(Target::try_new(name).is_err(), "{name:?}");
        assert!(Target::try_new("chat").unwrap().in_namespace(name).is_err());
    }
    assert!(Target::try_new(&"a".repeat(63)).is_ok());
    assert_eq!(
        Target::try_new("a/b").unwrap_err().to_string(),
        "`a/b` is no name of a Kubernetes object: those have 1 to 63 of a-z, 0-9 and `-`"
    );
}
