//! A request's head: what is taken for a WebSocket asks for one in every way that RFC 6455 4.2.1 demands, and where its
//! body ends can be read in one way only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longhaul::listen::handshake::{Kind, classify};
use longhaul_fuzz::head::{elements, request};

fuzz_target!(|bytes: &[u8]| {
    let Some(parts) = request(bytes) else { return };
    let Ok(kind) = classify(&parts) else { return };
    assert_ne!(parts.method, "CONNECT");
    if parts.version > http::Version::HTTP_11 {
        return;
    }
    let fields = &parts.headers;
    let count = |name| fields.get_all(name).iter().count();
    assert!(count("host") <= 1);
    assert!(count("content-length") == 0 || count("transfer-encoding") == 0);
    if let Kind::WebSocket(upgrade) = kind {
        assert_eq!(
            (&parts.method, parts.version),
            (&http::Method::GET, http::Version::HTTP_11)
        );
        assert_eq!(elements(fields, "upgrade"), [b"websocket"]);
        assert!(elements(fields, "connection").contains(&b"upgrade".to_vec()));
        assert_eq!(
            (
                count("host"),
                count("sec-websocket-key"),
                count("transfer-encoding")
            ),
            (1, 1, 0)
        );
        assert_eq!(fields["sec-websocket-version"], "13");
        let key = fields["sec-websocket-key"].as_bytes();
        assert!(key.len() == 24 && key.ends_with(b"=="));
        assert!(upgrade.accept().ends_with(b"="));
    }
});
