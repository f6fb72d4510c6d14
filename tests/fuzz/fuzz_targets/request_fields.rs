//! The fields of a request on their way to the backend: nothing of the client's connection goes on, and nobody who is not
//! trusted has a say in who the client is.
#![no_main]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use longhaul::{
    config::{Route, parse},
    listen::handshake::{Kind, classify},
    policy::headers::{Forwarding, Peer, to_backend},
};
use longhaul_fuzz::head::{elements, request};

static ROUTES: LazyLock<Vec<Arc<Route>>> = LazyLock::new(|| {
    let modes = ["x-forwarded", "forwarded", "both", "none"];
    let routes =
        modes.map(|mode| format!("  - {{ match: {{ path: /{mode} }}, service: a, forwarded: {mode} }}\n"));
    let text = format!(
        "listeners: [{{ address: 127.0.0.1:1 }}]\nservices: {{ a: {{ discovery: {{ static: [127.0.0.1:2] }} }} }}\nroutes:\n{}",
        routes.concat()
    );
    parse(&text, Path::new("fuzz")).expect("a config").routes
});

const PEER: &str = "192.0.2.7";

fuzz_target!(|bytes: &[u8]| {
    let Some((how, head)) = bytes.split_first() else {
        return;
    };
    let Some(mut parts) = request(head) else { return };
    let Ok(kind) = classify(&parts) else { return };
    let trusted = how & 4 != 0;
    let proxies = if trusted {
        vec!["192.0.2.0/24".parse().expect("a network")]
    } else {
        vec![]
    };
    let forwarding = Arc::new(Forwarding::new(8080, false, &proxies));
    let peer = Peer::new(SocketAddr::new(PEER.parse().expect("an address"), 5), &forwarding);
    let mode = usize::from(how % 4);
    let trailers = elements(&parts.headers, "te").contains(&b"trailers".to_vec());
    let client = to_backend(&mut parts.headers, &peer, &ROUTES[mode], kind);

    let fields = &parts.headers;
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "http2-settings",
    ] {
        assert!(!fields.contains_key(name), "{name}");
    }
    match kind {
        Kind::WebSocket(_) => {
            assert_eq!(
                (&fields["upgrade"], &fields["connection"]),
                (&"websocket".parse().unwrap(), &"Upgrade".parse().unwrap())
            );
            assert!(!fields.contains_key("trailer"), "nothing follows a handshake");
        }
        Kind::Plain => {
            assert!(!fields.contains_key("upgrade") && (trailers || !fields.contains_key("connection")))
        }
    }
    for name in fields.keys() {
        assert!(
            !name.as_str().replace('_', "-").starts_with("x-forwarded-") || !name.as_str().contains('_'),
            "{name}"
        );
    }
    assert_eq!(fields.get_all("x-request-id").iter().count(), 1);
    let (x, standard) = (mode == 0 || mode == 2, mode == 1 || mode == 2);
    assert_eq!(fields.contains_key("x-forwarded-for"), x);
    assert_eq!(fields.contains_key("forwarded"), standard);
    if x {
        let chain = elements(fields, "x-forwarded-for");
        assert_eq!(chain.last().map(Vec::as_slice), Some(PEER.as_bytes()));
        assert!(trusted || chain.len() == 1, "a word of nobody is nobody's");
    }
    if !trusted {
        assert_eq!(client.to_string(), PEER);
    }
});
