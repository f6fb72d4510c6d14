//! Tags against what they promise, for any id, and against an adversary that changes them.

use proptest::{arbitrary::any, collection::vec, prop_assert, prop_assert_eq, prop_assume, proptest};

use super::*;

fn key(seed: u8) -> Key {
    Key::new(&[seed; 32])
}

fn pod() -> Identity {
    Identity::from("pod:6f1c")
}

/// `id` tagged for `pod` of the service `chat`.
fn tagged(key: &Key, flags: Flags, id: &[u8]) -> Vec<u8> {
    let endpoint = key.fingerprint("chat", &pod());
    let mut text = id.to_vec();
    text.extend_from_slice(key.tag("chat", endpoint, flags, id).as_bytes());
    text
}

fn signalr() -> Flags {
    Flags::of(Kind::SignalR)
}

proptest! {
    #[test]
    fn a_tag_reads_back_what_it_was_made_of(
        id in vec(any::<u8>(), 1..200), kind in 0..3u8, stateful in any::<bool>(), version_0 in any::<bool>(),
    ) {
        let kind = [Kind::SignalR, Kind::SocketIo, Kind::Cookie][usize::from(kind)];
        let flags = Flags { kind, stateful, version_0 };
        let text = tagged(&key(1), flags, &id);
        prop_assert_eq!(text.len(), id.len() + LENGTH);
        prop_assert!(text[id.len()..].iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b)));
        let fingerprint = key(1).fingerprint("chat", &pod());
        let read = Opened::Tagged { id: &id, flags, fingerprint };
        prop_assert_eq!(open(&[key(2), key(1)], "chat", &text), read);
    }

    #[test]
    fn any_flipped_bit_of_the_tag_or_the_id_is_refused(id in vec(any::<u8>(), 1..60), at in any::<usize>(), bit in 0..8_u8) {
        let mut text = tagged(&key(1), signalr(), &id);
        let at = at % text.len();
        text[at] ^= 1_u8 << bit;
        let opened = open(&[key(1)], "chat", &text);
        let is_refused = !matches!(opened, Opened::Tagged { .. });
        prop_assert!(is_refused);
    }

    #[test]
    fn a_tag_that_is_moved_to_another_id_is_forged(one in vec(any::<u8>(), 1..60), other in vec(any::<u8>(), 1..60)) {
        prop_assume!(one != other);
        let text = tagged(&key(1), signalr(), &one);
        let moved = [&other, &text[one.len()..]].concat();
        prop_assert_eq!(open(&[key(1)], "chat", &moved), Opened::Forged);
    }

    #[test]
    fn a_truncated_tag_is_none(id in "[a-zA-Z0-9_-]{1,40}", cut in 1..LENGTH) {
        let text = tagged(&key(1), signalr(), id.as_bytes());
        let cut = &text[..text.len() - cut];
        let opened = open(&[key(1)], "chat", cut);
        let is_refused = !matches!(opened, Opened::Tagged { .. });
        prop_assert!(is_refused);
    }

    #[test]
    fn no_text_makes_reading_it_panic(text in vec(any::<u8>(), 0..80), like in "[a-z]{0,4}\\.[A-Za-z0-9_-]{20,30}") {
        for text in [&text[..], like.as_bytes()] {
            let opened = open(&[key(1)], "chat", text);
            let is_refused = !matches!(opened, Opened::Tagged { .. });
            prop_assert!(is_refused);
        }
    }
}

#[test]
fn another_service_or_another_key_is_forged() {
    let text = tagged(&key(1), signalr(), b"abc");
    assert_eq!(open(&[key(1)], "rooms", &text), Opened::Forged);
    assert_eq!(open(&[key(2), key(3)], "chat", &text), Opened::Forged);
    assert_eq!(open(&[], "chat", &text), Opened::Forged);
}

#[test]
fn fields_that_only_together_are_equal_are_not_equal() {
    let one = key(1).fingerprint("ab", &Identity::from("c"));
    assert_ne!(one, key(1).fingerprint("a", &Identity::from("bc")));
}

#[test]
fn tags_of_one_endpoint_have_nothing_in_common_to_see() {
    let one = tagged(&key(1), signalr(), b"aaaa");
    let other = tagged(&key(1), signalr(), b"aaab");
    // The flags and the first bits of what hides the endpoint share a digit; from there on they differ.
    assert_ne!(one[8..17], other[8..17]);
    assert_eq!(one[4..6], other[4..6], "a dot and the key's id");
}

#[test]
fn a_tag_of_a_kind_that_this_version_does_not_know_is_forged() {
    let key = key(1);
    let bytes = {
        let hidden = [0; 8];
        let mac = key.mac("chat", 0x50, &hidden, b"id").finalize().into_bytes();
        [&[0x50][..], &hidden, &mac[..9]].concat()
    };
    let text = format!("id.{}{}", char::from(key.kid), URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(open(&[key], "chat", text.as_bytes()), Opened::Forged);
}

#[test]
fn what_replicas_of_other_versions_minted_is_read_for_ever() {
    // Computed once by an independent implementation of the same formula; a change breaks every rolling upgrade.
    let key = key(7);
    let text = tagged(&key, signalr(), b"Q2hhdA");
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "Q2hhdA.5AJmFliVkglfELZLytVLKldWa"
    );
}

#[test]
fn a_key_shows_nothing_of_its_secret() {
    assert_eq!(format!("{:?}", key(0x41)), "Key { .. }");
}
