//! The head of a backend's answer: what passes is a 101 that opens the WebSocket which was asked for, and no body.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use longhaul::{
    dial::verify::verify_101,
    listen::handshake::{Kind, Upgrade, classify},
};
use longhaul_fuzz::head::{answer, elements, request};

/// With the key of RFC 6455 1.3.
static UPGRADE: LazyLock<Upgrade> = LazyLock::new(|| {
    let head = b"GET / HTTP/1.1\nhost: a\nupgrade: websocket\nconnection: upgrade\nsec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    match classify(&request(head).expect("a head")) {
        Ok(Kind::WebSocket(upgrade)) => upgrade,
        other => panic!("{other:?}"),
    }
});

fuzz_target!(|bytes: &[u8]| {
    let Some(parts) = answer(bytes) else { return };
    if verify_101(&parts, &UPGRADE).is_err() {
        return;
    }
    let fields = &parts.headers;
    assert_eq!(parts.status, 101);
    assert_eq!(elements(fields, "upgrade"), [b"websocket"]);
    assert!(elements(fields, "connection").contains(&b"upgrade".to_vec()));
    let accepts: Vec<_> = fields.get_all("sec-websocket-accept").iter().collect();
    assert_eq!(accepts, ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert!(!fields.contains_key("content-length") && !fields.contains_key("transfer-encoding"));
});
