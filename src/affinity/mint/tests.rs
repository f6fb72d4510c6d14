//! Answers that are changed, and those that must come out as they went in.

use std::convert::Infallible;

use futures_util::{StreamExt, stream};
use http::HeaderValue;
use http_body_util::{Full, StreamBody};

use super::*;

fn answer(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_static("\"1\""));
    headers.insert("content-digest", HeaderValue::from_static("sha-256=:x:"));
    headers.insert("x-kept", HeaderValue::from_static("yes"));
    response
}

fn full(bytes: &'static [u8]) -> Body {
    Body::new(Full::new(Bytes::from_static(bytes)))
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    let body = response.into_body().collect().await.unwrap();
    body.to_bytes().to_vec()
}

fn double(text: &str) -> Result<String, Untouched> {
    Ok(text.repeat(2))
}

#[tokio::test]
async fn a_changed_body_has_its_own_length_and_nothing_that_vouched_for_the_old_one() {
    let mut response = answer(full(b"abc"));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
    let (response, done) = rewrite(response, double).await;
    assert_eq!(done, Ok(()));
    let headers = response.headers();
    assert_eq!(headers[header::CONTENT_LENGTH], "6");
    assert!(!headers.contains_key(header::ETAG) && !headers.contains_key("content-digest"));
    assert_eq!(headers["x-kept"], "yes");
    assert_eq!(bytes(response).await, b"abcabc");
}

#[tokio::test]
async fn what_is_no_answer_with_an_id_comes_out_as_it_went_in() {
    let mut failed = answer(full(b"abc"));
    *failed.status_mut() = StatusCode::FORBIDDEN;
    let mut packed = answer(full(b"\x1f\x8babc"));
    packed
        .headers_mut()
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    for (response, why) in [
        (failed, Untouched::NoId),
        (packed, Untouched::Unmintable),
        (answer(full(b"\xff\xfe")), Untouched::Unmintable),
    ] {
        let head = response.headers().clone();
        let (response, done) = rewrite(response, |_| Err(Untouched::NoId)).await;
        assert_eq!((done, response.headers()), (Err(why), &head));
        assert!(!bytes(response).await.is_empty());
    }
}

#[tokio::test]
async fn a_long_body_is_held_to_the_limit_and_streams_on() {
    const PIECE: usize = 1000;
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&taken);
    let pieces = stream::iter(0..1000).map(move |_| {
        count.fetch_add(PIECE, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; PIECE])))
    });
    let (response, done) = rewrite(answer(Body::new(StreamBody::new(pieces))), double).await;
    assert_eq!(done, Err(Untouched::Unmintable));
    let held = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!((LONGEST..=LONGEST + PIECE).contains(&held), "{held}");
    assert_eq!(bytes(response).await.len(), 1000 * PIECE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_goes_on_after_a_while() {
    let pieces = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"first")))]);
    let body = StreamBody::new(pieces.chain(stream::pending()));
    let start = Instant::now();
    let (response, done) = rewrite(answer(Body::new(body)), double).await;
    assert_eq!((done, start.elapsed()), (Err(Untouched::Unmintable), PATIENCE));
    let mut body = response.into_body();
    assert_eq!(body.size_hint().lower(), 5);
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first");
}

#[tokio::test]
async fn a_body_that_fails_fails_where_it_did() {
    let pieces = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"first"))),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    let (response, done) = rewrite(answer(Body::new(StreamBody::new(pieces))), double).await;
    assert_eq!(done, Err(Untouched::Unmintable));
    let mut body = response.into_body();
    assert!(!body.is_end_stream());
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().await.unwrap().is_err());
}
