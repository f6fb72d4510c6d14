use http::Request;
use proptest::prelude::*;

use super::*;

const GOOD: [(&str, &str); 5] = [
    ("host", "chat.example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn parts(method: &str, version: Version, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).version(version).uri("/chat");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn get(fields: &[(&str, &str)]) -> Result<Kind, BadHandshake> {
    classify(&parts("GET", Version::HTTP_11, fields))
}

/// A good handshake whose field of this name is replaced by others.
fn with(name: &str, fields: &[(&str, &str)]) -> Result<Kind, BadHandshake> {
    let kept = GOOD.iter().filter(|(other, _)| *other != name);
    get(&kept.chain(fields).copied().collect::<Vec<_>>())
}

fn is_websocket(kind: Result<Kind, BadHandshake>) -> bool {
    matches!(kind, Ok(Kind::WebSocket(_)))
}

#[test]
fn the_handshake_of_the_rfc_has_the_accept_of_the_rfc() {
    let Ok(Kind::WebSocket(upgrade)) = get(&GOOD) else {
        panic!("not a WebSocket")
    };
    assert_eq!(&upgrade.accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn spelling_and_neighbours_do_not_matter() {
    assert!(is_websocket(with("upgrade", &[("upgrade", "WebSocket")])));
    assert!(is_websocket(with("upgrade", &[("upgrade", " ,websocket,\t")])));
    assert!(is_websocket(with(
        "connection",
        &[("connection", "keep-alive, UPGRADE")]
    )));
    assert!(is_websocket(with(
        "connection",
        &[("connection", "keep-alive"), ("connection", "upgrade")]
    )));
    assert!(is_websocket(with("", &[("content-length", "0")])));
    // 22 digits carry 132 bits, four more than 16 bytes
    assert!(is_websocket(with(
        "sec-websocket-key",
        &[("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAA/==")]
    )));
}

#[test]
fn any_other_upgrade_is_a_plain_request() {
    for fields in [
        &[][..],
        &[("upgrade", "h2c")],
        &[("upgrade", "h2c, foo")],
        &[("upgrade", "h2c"), ("upgrade", "TLS/1.0")],
        &[("upgrade", "")],
        &[("upgrade", "websocket/13")],
        &[("upgrade", "websockets")],
    ] {
        assert_eq!(with("upgrade", fields), Ok(Kind::Plain), "{fields:?}");
    }
    let old = [&GOOD[..], &[("content-length", "5")]].concat();
    assert_eq!(classify(&parts("GET", Version::HTTP_10, &old)), Ok(Kind::Plain));
    assert_eq!(classify(&parts("GET", Version::HTTP_2, &GOOD)), Ok(Kind::Plain));
}

#[test]
fn websocket_among_others_is_refused() {
    for fields in [
        &[("upgrade", "h2c, websocket")][..],
        &[("upgrade", "websocket, h2c")],
        &[("upgrade", "proto1, WebSocket, proto2")],
        &[("upgrade", "websocket"), ("upgrade", "h2c")],
        &[("upgrade", "websocket"), ("upgrade", "websocket")],
    ] {
        assert_eq!(with("upgrade", fields), Err(BadHandshake::Among), "{fields:?}");
    }
}

#[test]
fn what_only_looks_like_a_handshake_is_refused() {
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "get"] {
        let kind = classify(&parts(method, Version::HTTP_11, &GOOD));
        assert_eq!(kind, Err(BadHandshake::Method), "{method}");
    }
    assert_eq!(with("connection", &[]), Err(BadHandshake::Connection));
    assert_eq!(
        with("connection", &[("connection", "keep-alive")]),
        Err(BadHandshake::Connection)
    );
    assert_eq!(
        with("connection", &[("connection", "upgraded")]),
        Err(BadHandshake::Connection)
    );
    for version in ["1337", "8", "", "013", "13, 8", "+13"] {
        let fields = [("sec-websocket-version", version)];
        assert_eq!(
            with("sec-websocket-version", &fields),
            Err(BadHandshake::Version),
            "{version}"
        );
    }
    assert_eq!(with("sec-websocket-version", &[]), Err(BadHandshake::Version));
    assert_eq!(
        with("", &[("sec-websocket-version", "13")]),
        Err(BadHandshake::Version)
    );
}

#[test]
fn a_key_is_sixteen_bytes_in_base64() {
    for key in [
        "",
        "==",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j-Q==",
        "dGhlIHNhbXBsZSBub25jZSE=",
    ] {
        let fields = [("sec-websocket-key", key)];
        assert_eq!(
            with("sec-websocket-key", &fields),
            Err(BadHandshake::Key),
            "{key}"
        );
    }
    assert_eq!(with("sec-websocket-key", &[]), Err(BadHandshake::Key));
    assert_eq!(
        with("", &[GOOD[4]]),
        Err(BadHandshake::Key),
        "two equal keys are two"
    );
}

#[test]
fn no_body_comes_with_a_handshake() {
    assert_eq!(with("", &[("content-length", "1")]), Err(BadHandshake::Body));
    assert_eq!(
        with("", &[("transfer-encoding", "chunked")]),
        Err(BadHandshake::Body)
    );
    assert_eq!(
        with("", &[("content-length", "0"), ("content-length", "0")]),
        Err(BadFraming::ContentLength.into())
    );
}

#[test]
fn the_end_of_a_body_has_one_reading() {
    let framing =
        |version, fields: &[(&str, &str)]| classify(&parts("POST", version, &[&GOOD[..1], fields].concat()));
    let new = |fields: &[(&str, &str)]| framing(Version::HTTP_11, fields);
    for length in ["0", "5", "18446744073709551615"] {
        assert_eq!(new(&[("content-length", length)]), Ok(Kind::Plain), "{length}");
    }
    for length in [
        "",
        "+5",
        "-1",
        "5, 5",
        "5 5",
        "0x5",
        "5.0",
        "18446744073709551616",
    ] {
        assert_eq!(
            new(&[("content-length", length)]),
            Err(BadFraming::ContentLength.into()),
            "{length}"
        );
    }
    let twice = [("content-length", "5"), ("content-length", "5")];
    assert_eq!(new(&twice), Err(BadFraming::ContentLength.into()));
    for coding in ["chunked", "Chunked", "\tchunked ,"] {
        assert_eq!(new(&[("transfer-encoding", coding)]), Ok(Kind::Plain), "{coding}");
    }
    for coding in [
        "",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "xchunked",
        "chunked;a=b",
        "\"chunked\"",
    ] {
        assert_eq!(
            new(&[("transfer-encoding", coding)]),
            Err(BadFraming::Coding.into()),
            "{coding}"
        );
    }
    let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
    assert_eq!(new(&twice), Err(BadFraming::Coding.into()));
    let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
    assert_eq!(new(&both), Err(BadFraming::Both.into()));
    assert_eq!(framing(Version::HTTP_10, &both), Err(BadFraming::Both.into()));
    assert_eq!(
        framing(Version::HTTP_10, &both[1..]),
        Err(BadFraming::Http10.into())
    );
    assert_eq!(framing(Version::HTTP_10, &both[..1]), Ok(Kind::Plain));
}

#[test]
fn there_is_one_host() {
    assert_eq!(with("host", &[]), Err(BadHandshake::Host));
    assert_eq!(with("", &[GOOD[0]]), Err(BadHandshake::Host));
    assert_eq!(classify(&parts("GET", Version::HTTP_10, &[])), Ok(Kind::Plain));
    assert_eq!(
        classify(&parts("GET", Version::HTTP_10, &[GOOD[0], GOOD[0]])),
        Err(BadHandshake::Host)
    );
}

#[test]
fn each_refusal_has_its_status() {
    assert_eq!(
        classify(&parts("CONNECT", Version::HTTP_11, &GOOD)),
        Err(BadHandshake::Connect)
    );
    let answer = |bad: BadHandshake| {
        (
            bad.status().as_u16(),
            bad.closes(),
            bad.field().map(|(name, _)| name),
        )
    };
    assert_eq!(answer(BadHandshake::Connect), (405, true, Some(header::ALLOW)));
    assert_eq!(
        answer(BadHandshake::Version),
        (426, false, Some(header::SEC_WEBSOCKET_VERSION))
    );
    assert_eq!(answer(BadHandshake::Key), (400, true, None));
    assert_eq!(answer(BadFraming::Both.into()), (400, true, None));
}

proptest! {
    #[test]
    fn every_key_that_a_client_can_make_is_taken(bytes in any::<[u8; 16]>()) {
        let key = STANDARD.encode(bytes);
        prop_assert!(is_websocket(with("sec-websocket-key", &[("sec-websocket-key", &key)])));
    }

    #[test]
    fn no_head_with_a_doubtful_length_passes_and_every_other_does(
        lengths in proptest::collection::vec("[0-9+ ,x]{0,3}", 0..3),
        codings in proptest::collection::vec("(chunked|gzip|,| |x){0,3}", 0..3),
        websocket in any::<bool>(),
    ) {
        let mut fields = if websocket { GOOD.to_vec() } else { GOOD[..1].to_vec() };
        fields.extend(lengths.iter().map(|value| ("content-length", value.as_str())));
        fields.extend(codings.iter().map(|value| ("transfer-encoding", value.as_str())));
        let digits = |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let clear = match (&lengths[..], &codings[..]) {
            ([], []) => true,
            ([length], []) => digits(length),
            ([], codings) => {
                let joined = codings.join(",").replace(' ', "");
                joined.split(',').filter(|it| !it.is_empty()).eq(["chunked"])
            }
            _ => false,
        };
        if websocket {
            prop_assert!(clear || get(&fields).is_err());
        } else {
            prop_assert_eq!(get(&fields).is_ok(), clear);
        }
    }
}
