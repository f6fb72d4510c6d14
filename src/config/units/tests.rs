use proptest::prelude::*;

use super::*;

#[test]
fn durations_are_read_with_their_units() {
    for (text, millis) in [
        ("0", 0),
        ("0s", 0),
        ("30s", 30_000),
        (" 30s ", 30_000),
        ("30 s", 30_000),
        ("250ms", 250),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("1.5h", 5_400_000),
        ("7d", 604_800_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn a_wrong_duration_says_what_to_write() {
    for (text, says) in [
        ("30", "has no unit; write `30s`"),
        ("1h 30", "has no unit; write `30s`"),
        ("30x", "unknown unit `x`"),
        ("30S", "unknown unit `S`"),
        ("1 30m", "two numbers in a row"),
        ("-5s", "is no duration"),
        ("", "is no duration"),
        ("soon", "is no duration"),
        ("99999999999s", "too large"),
        ("18446744073709551615s 1000000000ns", "too large"),
        ("0.5ns", "too precise"),
    ] {
        let error = duration(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn sizes_are_read_with_their_units() {
    for (text, bytes) in [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("16KiB", 16 << 10),
        ("1 MiB", 1 << 20),
        ("3GiB", 3 << 30),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
}

#[test]
fn a_wrong_size_says_what_to_write() {
    for (text, says) in [
        ("16k", "write `KiB`"),
        ("16KB", "write `KiB`"),
        ("1M", "write `MiB`"),
        ("1mib", "unknown unit `mib`"),
        ("16 bytes", "unknown unit `bytes`"),
        ("1.5KiB", "is no size"),
        ("KiB", "is no size"),
        ("-1", "is no size"),
        ("", "is no size"),
        ("99999999999999999999", "too large"),
        ("99999999999GiB", "too large"),
    ] {
        let error = size(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn a_duration_is_read_as_it_was_shown(seconds in 0u64..9_999_999_999, nanos in 0u32..1_000_000_000) {
        let value = Duration::new(seconds, nanos);
        prop_assert_eq!(duration(&show_duration(value)), Ok(value));
    }

    #[test]
    fn a_size_is_read_as_it_was_shown(bytes: u64) {
        prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
    }

    #[test]
    fn no_text_panics(
        text in "\\PC{0,40}",
        close in "[0-9]{0,22}(\\.[0-9]{0,22})?(s|ns|y|KiB|GiB| |µs){1,3}[0-9]{0,22}(ns|y)?",
    ) {
        for text in [text, close] {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}
