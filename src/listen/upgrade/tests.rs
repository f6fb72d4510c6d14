//! Which requests are read without hyper, and that both read them alike.

use std::{convert::Infallible, sync::Mutex};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::{collection::vec, prelude::*};
use tokio::runtime;

use super::*;

const LIMITS: Limits = Limits {
    connections: None,
    request_head: 16 * 1024,
    request_headers: 100,
    request_deadline: std::time::Duration::from_secs(10),
};

fn read(text: &str) -> Option<Asked> {
    Asked::read(&Bytes::copy_from_slice(text.as_bytes()), &LIMITS)
}

const GOOD: &str = "GET /room?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nX: 1\r\nx: 2\r\n\r\n";

#[test]
fn a_whole_head_is_read_as_it_came_and_what_follows_is_left() {
    let asked = read(&format!("{GOOD}frames")).unwrap();
    assert_eq!(asked.length, GOOD.len());
    assert_eq!(asked.head.uri, "/room?x=1");
    assert_eq!(asked.head.version, Version::HTTP_11);
    let twice: Vec<_> = asked.head.headers.get_all("x").iter().collect();
    assert_eq!(twice, ["1", "2"]);
}

#[test]
fn whatever_is_not_plainly_a_request_for_a_websocket_is_hypers() {
    for other in [
        &GOOD[..GOOD.len() - 1],
        &GOOD.replace("GET", "POST"),
        &GOOD.replace("GET /", "GET http://a/"),
        &GOOD.replace("1.1", "1.0"),
        &GOOD.replace("Upgrade", "Downgrade"),
        &GOOD.replace("X:", "Content-Length:"),
        &GOOD.replace("X:", "Transfer-Encoding:"),
        &GOOD.replace("X:", "Expect:"),
        &GOOD.replace("X:", "X :"),
        &GOOD.replace("Host: a", "Host: a\r\n b"),
        &GOOD.replace("X: 1\r\n", &"X: 1\r\n".repeat(FIELDS)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert!(read(other).is_none(), "{other}");
    }
}

#[test]
fn a_head_beyond_the_limits_is_hypers_to_refuse() {
    let seen = Bytes::from_static(GOOD.as_bytes());
    let length = Limits {
        request_head: GOOD.len() - 1,
        ..LIMITS
    };
    assert!(Asked::read(&seen, &length).is_none());
    let fields = Limits {
        request_headers: 3,
        ..LIMITS
    };
    assert!(Asked::read(&seen, &fields).is_none());
}

/// What hyper makes of the first request of these bytes.
fn by_hyper(bytes: &[u8]) -> Option<Parts> {
    let first = Mutex::new(None);
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        first.lock().unwrap().get_or_insert(request.into_parts().0);
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        // An error is its word on what follows the first request.
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    first.into_inner().unwrap()
}

/// A good request with some bytes replaced, inserted and taken out.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b" \t\r\n:,-GH1x\0"[..])];
    let change = (0..3_u8, any::<prop::sample::Index>(), byte);
    vec(change, 0..6).prop_map(|changes| {
        let mut request = GOOD.as_bytes().to_vec();
        for (how, place, byte) in changes {
            let at = place.index(request.len());
            match how {
                0 => request[at] = byte,
                1 => request.insert(at, byte),
                _ => drop(request.remove(at)),
            }
        }
        request
    })
}

proptest! {
    #[test]
    fn a_head_that_is_read_here_is_the_same_to_hyper(request in nearly_good()) {
        let Some(asked) = Asked::read(&request.clone().into(), &LIMITS) else {
            return Ok(());
        };
        let theirs = by_hyper(&request).expect("hyper takes what is taken here");
        prop_assert_eq!(&asked.head.method, &theirs.method);
        prop_assert_eq!(&asked.head.uri, &theirs.uri);
        prop_assert_eq!(asked.head.version, theirs.version);
        let fields = |head: &Parts| format!("{:?}", head.headers.iter().collect::<Vec<_>>());
        prop_assert_eq!(fields(&asked.head), fields(&theirs));
    }
}
