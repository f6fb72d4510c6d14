//! The stream of a watch on EndpointSlices, in one piece and cut anywhere: the same comes out, and it is a proper set.
//! The first byte chooses the port, the second how the stream is cut.
#![no_main]

use std::num::NonZeroU16;

use discovery::{
    Answer, State,
    provider::kubernetes::{PortChoice, fuzzed},
};
use libfuzzer_sys::fuzz_target;
use longhaul_fuzz::Input;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else {
        return;
    };
    let Some(input) = Input::new(rest) else { return };
    let port = match how % 3 {
        0 => PortChoice::Only,
        1 => PortChoice::Named("ws".into()),
        _ => PortChoice::Number(NonZeroU16::new(9001).expect("it is not 0")),
    };
    let whole = fuzzed::watch([input.stream], &port);
    let cut = fuzzed::watch(input.chunks(), &port);
    assert_eq!(whole, cut, "a cut changes nothing");
    let Answer::Endpoints(endpoints) = whole.0 else {
        return;
    };
    assert!(
        endpoints.is_sorted_by(|a, b| a.identity < b.identity),
        "each once, in order"
    );
    let active = endpoints.iter().any(|endpoint| endpoint.state == State::Active);
    for endpoint in endpoints.iter() {
        let identity = endpoint.identity.as_str();
        assert!(identity.starts_with("pod:") || identity == format!("addr:{}", endpoint.address));
        assert_ne!(endpoint.address.port(), 0);
        assert_eq!(endpoint.address.ip(), endpoint.address.ip().to_canonical());
        assert!(
            active || endpoint.state == State::Unhealthy,
            "the last resort is used"
        );
    }
});
