//! Against a scripted API server behind kube's client, with paused time: what it may answer and what it may leave out.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

use super::*;

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// What the server does with the next request.
enum Act {
    Say(u16, String),
    /// A 200 with these pieces, and then the end.
    Stream(Vec<String>),
    /// A 200 with these pieces, and then nothing for ever.
    Freeze(Vec<String>),
    /// As `Stream`, but the connection breaks after the pieces.
    Break(Vec<String>),
    /// No head at all.
    Silence,
}

/// An API whose server does these in turn, and the queries that it was asked.
fn scripted(acts: impl IntoIterator<Item = Act>) -> (Api, Arc<Mutex<Vec<String>>>) {
    let mut acts: Vec<_> = acts.into_iter().collect();
    acts.reverse();
    let acts = Arc::new(Mutex::new(acts));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        log.lock().unwrap().push(request.uri().to_string());
        let act = acts.lock().unwrap().pop().expect("no more requests than acts");
        async move {
            let answer = match act {
                Act::Silence => std::future::pending().await,
                Act::Say(status, text) => {
                    let body = Full::from(text).map_err(|never: Infallible| match never {});
                    Response::builder()
                        .status(status)
                        .body(body.boxed_unsync())
                        .unwrap()
                }
                Act::Stream(pieces) => streamed(pieces, stream::empty()),
                Act::Freeze(pieces) => streamed(pieces, stream::pending()),
                Act::Break(pieces) => streamed(
                    pieces,
                    stream::once(async { Err(std::io::ErrorKind::ConnectionReset.into()) }),
                ),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    (Api::new(Client::new(service, "own"), Some("default")), asked)
}

fn streamed(
    pieces: Vec<String>,
    end: impl futures_util::Stream<Item = std::io::Result<Frame<Bytes>>> + Send + 'static,
) -> Answer {
    let pieces = stream::iter(pieces).map(|piece| Ok(Frame::data(Bytes::from(piece))));
    Response::new(StreamBody::new(pieces.chain(end)).boxed_unsync())
}

fn slice(name: &str, version: u64) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","resourceVersion":"{version}","labels":{{"kubernetes.io/service-name":"chat"}}}},"addressType":"IPv4","endpoints":[{{"addresses":["10.0.0.1"]}}]}}"#
    )
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn page(version: &str, more: &str, items: &[String]) -> Act {
    let items = items.join(",");
    let text =
        format!(r#"{{"metadata":{{"resourceVersion":"{version}","continue":"{more}"}},"items":[{items}]}}"#);
    Act::Say(200, text)
}

fn status(code: u16) -> String {
    format!(r#"{{"kind":"Status","code":{code},"message":"for a reason"}}"#)
}

/// All that a watch says, and how it ended.
async fn watched(act: Act) -> (Vec<String>, Result<(), Error>) {
    let (api, _) = scripted([act]);
    let mut said = Vec::new();
    let mut watch = match api.watch("5", Duration::from_secs(50)).await {
        Ok(watch) => watch,
        Err(error) => return (said, Err(error)),
    };
    loop {
        match watch.next().await {
            Ok(Some((Event::Put(slice), version))) => said.push(format!("put {} {version}", slice.name)),
            Ok(Some((Event::Deleted(slice), version))) => {
                said.push(format!("deleted {} {version}", slice.name))
            }
            Ok(Some((Event::Bookmark, version))) => said.push(format!("bookmark {version}")),
            Ok(None) => return (said, Ok(())),
            Err(error) => return (said, Err(error)),
        }
    }
}

#[tokio::test]
async fn a_list_is_read_page_by_page_with_what_the_server_gave_to_go_on() {
    let (api, asked) = scripted([
        page("7", "a/b=", &[slice("a", 1), slice("b", 2)]),
        page("7", "", &[slice("c", 3)]),
    ]);
    let listed = api.list().await.unwrap();
    let names: Vec<_> = listed.slices.iter().map(|slice| &*slice.name).collect();
    assert_eq!((names.as_slice(), &*listed.version), (&["a", "b", "c"][..], "7"));
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name&limit=100";
    assert_eq!(
        *asked.lock().unwrap(),
        [path.to_owned(), format!("{path}&continue=a%2Fb%3D")]
    );
}

#[tokio::test]
async fn without_a_namespace_it_is_the_clients_own() {
    let (api, asked) = scripted([page("7", "", &[])]);
    let api = Api::new(api.client, None);
    api.list().await.unwrap();
    assert!(asked.lock().unwrap()[0].contains("/namespaces/own/"));
}

#[tokio::test]
async fn a_list_without_an_end_is_no_list() {
    let (api, asked) = scripted((0..=PAGES).map(|_| page("7", "more", &[slice("a", 1)])));
    assert!(matches!(api.list().await, Err(Error::Endless(PAGES))));
    assert_eq!(asked.lock().unwrap().len(), PAGES);
}

#[tokio::test]
async fn half_a_list_is_no_list() {
    let (api, _) = scripted([page("7", "more", &[slice("a", 1)]), Act::Say(410, status(410))]);
    assert!(api.list().await.unwrap_err().is_gone());
    let whole = format!(
        r#"{{"metadata":{{"resourceVersion":"7"}},"items":[{}]}}"#,
        slice("a", 1)
    );
    let (half, _) = whole.split_at(whole.len() / 2);
    let (api, _) = scripted([Act::Stream(vec![half.to_owned()])]);
    assert!(matches!(api.list().await.unwrap_err(), Error::Garbage(_)));
    let (api, _) = scripted([Act::Break(vec![half.to_owned()])]);
    assert!(matches!(api.list().await.unwrap_err(), Error::Broken(_)));
}

#[tokio::test]
async fn garbage_in_place_of_a_list_is_an_error() {
    for garbage in [
        "",
        "null",
        "[]",
        "<html>",
        r#"{"items":[]}"#,
        r#"{"metadata":{"resourceVersion":"1"},"items":[null]}"#,
    ] {
        let (api, _) = scripted([Act::Say(200, garbage.to_owned())]);
        assert!(matches!(api.list().await, Err(Error::Garbage(_))), "{garbage}");
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_cut_at_a_size() {
    let piece = " ".repeat(1 << 20);
    let (api, _) = scripted([Act::Freeze(vec![piece; 65])]);
    assert!(matches!(api.list().await, Err(Error::Huge(_))));
}

#[tokio::test(start_paused = true)]
async fn every_wait_for_a_frozen_server_ends() {
    let begin = Instant::now();
    let (api, _) = scripted([Act::Silence, Act::Freeze(vec!["{".to_owned()]), Act::Silence]);
    assert!(matches!(api.list().await, Err(Error::Silent(_))));
    assert!(begin.elapsed() <= HEAD + Duration::from_millis(1));
    assert!(matches!(api.list().await, Err(Error::Silent(_))));
    assert!(matches!(api.watch("1", HEAD).await, Err(Error::Silent(_))));
    let begin = Instant::now();
    let (said, end) = watched(Act::Freeze(vec![event("ADDED", &slice("a", 6))])).await;
    assert_eq!(said, ["put a 6"]);
    assert!(matches!(end, Err(Error::Silent(_))));
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "a dead watch is noticed within a minute"
    );
}

#[tokio::test]
async fn a_watch_says_what_happened_in_order_however_it_is_cut_into_pieces() {
    let text = [
        event("ADDED", &slice("a", 6)),
        event("MODIFIED", &slice("a", 7)),
        event(
            "BOOKMARK",
            r#"{"kind":"EndpointSlice","metadata":{"resourceVersion":"9","labels":null}}"#,
        ),
        event("DELETED", &slice("a", 10)),
    ]
    .concat();
    let expected = ["put a 6", "put a 7", "bookmark 9", "deleted a 10"];
    for size in [1, 7, 100, text.len()] {
        let pieces = text
            .as_bytes()
            .chunks(size)
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap());
        let (said, end) = watched(Act::Stream(pieces.collect())).await;
        assert_eq!(said, expected, "in pieces of {size}");
        end.unwrap();
    }
}

#[tokio::test]
async fn a_watch_asks_for_bookmarks_and_an_end() {
    let (api, asked) = scripted([Act::Stream(vec![])]);
    api.watch("5", Duration::from_secs(50)).await.unwrap();
    let asked = asked.lock().unwrap();
    assert!(
        asked[0].ends_with("&watch=1&allowWatchBookmarks=true&resourceVersion=5&timeoutSeconds=50"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn half_an_event_is_not_taken_for_one() {
    let whole = event("ADDED", &slice("a", 6));
    let (half, _) = whole.split_at(whole.len() - 20);
    for act in [Act::Stream as fn(Vec<String>) -> Act, Act::Break] {
        let (said, end) = watched(act(vec![event("ADDED", &slice("b", 5)), half.to_owned()])).await;
        assert_eq!(said, ["put b 5"]);
        let error = end.unwrap_err();
        assert!(matches!(error, Error::Cut | Error::Broken(_)), "{error:?}");
        assert!(!error.is_garbage(), "what came before is known to be complete");
    }
}

#[tokio::test]
async fn an_event_that_makes_no_sense_is_an_error_after_which_nothing_is_known_for_sure() {
    for garbage in [
        "\n",
        "null\n",
        "<html>\n",
        "{}\n",
        "{\"type\":\"ADDED\",\"object\":{}}\n",
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"},\"endpoints\":7}}\n",
        "{\"type\":\"ERROR\",\"object\":7}\n",
        "{\"type\":\"SURPRISE\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}}\n",
        "\u{0}\n",
    ] {
        let (said, end) = watched(Act::Stream(vec![garbage.to_owned()])).await;
        assert!(said.is_empty());
        assert!(end.unwrap_err().is_garbage(), "{garbage:?}");
    }
    let (_, end) = watched(Act::Freeze(vec!["x".repeat(1 << 20); 9])).await;
    assert!(matches!(end, Err(Error::Huge(_))));
}

#[tokio::test]
async fn a_version_that_is_too_old_is_told_apart_whether_in_the_head_or_in_an_event() {
    let (_, end) = watched(Act::Say(410, status(410))).await;
    assert!(end.unwrap_err().is_gone());
    let (_, end) = watched(Act::Stream(vec![event("ERROR", &status(410))])).await;
    assert!(end.unwrap_err().is_gone());
    let (_, end) = watched(Act::Stream(vec![event("ERROR", &status(500))])).await;
    assert!(!end.unwrap_err().is_gone());
}

#[tokio::test]
async fn a_refusal_is_told_apart_from_a_failure_and_neither_is_an_empty_list() {
    use crate::provider::Error as Failure;
    for (code, refused) in [
        (401, true),
        (403, true),
        (404, true),
        (429, true),
        (500, false),
        (503, false),
    ] {
        let (api, _) = scripted([Act::Say(code, status(code))]);
        let error = api.list().await.unwrap_err();
        assert_eq!(error.is_of_access(), code == 401);
        assert_eq!(
            error.to_string(),
            format!(
                "the API server said {}: for a reason",
                StatusCode::from_u16(code).unwrap()
            )
        );
        assert_eq!(
            matches!(Failure::from(error), Failure::Rejected(_)),
            refused,
            "{code}"
        );
    }
}

#[tokio::test]
async fn what_a_server_says_of_its_refusal_is_bounded_and_on_one_line() {
    let long = format!(r#"{{"message":"a\nb{}"}}"#, "c".repeat(1000));
    let (api, _) = scripted([Act::Say(403, long), Act::Say(502, "<html>".to_owned())]);
    let said = api.list().await.unwrap_err().to_string();
    assert!(said.contains(": abc") && said.len() < 400, "{said}");
    assert!(
        api.list()
            .await
            .unwrap_err()
            .to_string()
            .ends_with("502 Bad Gateway: no reason given")
    );
}
