//! Consul's answer to a question for the instances of a service: whatever it is, it becomes a proper set or an error.
//! The first byte chooses which address is wanted.
#![no_main]

use discovery::provider::consul::{AddressOf, fuzzed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, body)) = bytes.split_first() else {
        return;
    };
    let wanted = match how % 3 {
        0 => AddressOf::Service,
        1 => AddressOf::Node,
        _ => AddressOf::Wan,
    };
    let Some((endpoints, unusable)) = fuzzed::answer(body, wanted) else {
        return;
    };
    assert!(
        endpoints.is_sorted_by(|a, b| a.identity < b.identity),
        "each once, in order"
    );
    assert!(
        endpoints.len() + unusable <= body.len(),
        "nothing comes from nothing"
    );
    for endpoint in endpoints.iter() {
        assert!(endpoint.identity.as_str().starts_with("consul:"));
        assert_ne!(endpoint.address.port(), 0);
        assert_eq!(endpoint.address.ip(), endpoint.address.ip().to_canonical());
        assert!(!endpoint.address.ip().is_unspecified());
        assert_ne!(endpoint.zone.as_deref(), Some(""));
    }
});
