//! Paths that every reader reads alike.
//!
//! A proxy and its backend that disagree on what a path names are a way around whatever the proxy demands of it. So a
//! path is not tidied up but judged: either every reader agrees on it, and it is matched and forwarded as it came, or
//! it is refused.
//!
//! Refused are: dot segments, also when a parameter follows (`..;x` is `..` for servlet containers) or when the slash
//! beside them is encoded; `%2E` anywhere; a backslash or `%5C` (a slash on Windows); `%00`; a `%` without two hexadecimal digits. `%2F` is reported, because
//! a route may allow it: some data models have a slash inside a name.
//! `//` and every other escape, such as `%20` or `%252F`, are kept.

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmbiguousPath {
    /// `.` or `..` as a segment, or an encoded dot.
    #[error("the path has a dot segment or an encoded dot")]
    Dots,
    /// `\` or `%5C`.
    #[error("the path has a backslash")]
    Backslash,
    /// NUL or `%00`.
    #[error("the path has a NUL")]
    Nul,
    /// `%` without two hexadecimal digits after it.
    #[error("the path has a malformed percent escape")]
    Escape,
}

/// Whether a path that all readers read alike has an encoded slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncodedSlash {
    Absent,
    Present,
}

/// Refuses a path that two readers could read differently.
pub(crate) fn judge(path: &str) -> Result<EncodedSlash, AmbiguousPath> {
    let mut slash = EncodedSlash::Absent;
    let mut rest = path.as_bytes();
    // Whether only dots were seen since the last slash: a segment `.`, `..` or `..;x` is found where it ends.
    let mut dots = Some(0_usize);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' | b';' if matches!(dots, Some(1 | 2)) => return Err(AmbiguousPath::Dots),
            b'/' => dots = Some(0),
            b'.' => dots = dots.map(|seen| seen + 1),
            b'\\' => return Err(AmbiguousPath::Backslash),
            0 => return Err(AmbiguousPath::Nul),
            b'%' => {
                let before = dots.take();
                let (escape, after) = rest.split_at_checked(2).ok_or(AmbiguousPath::Escape)?;
                rest = after;
                match (hex(escape[0])? << 4) | hex(escape[1])? {
                    b'.' => return Err(AmbiguousPath::Dots),
                    b'\\' => return Err(AmbiguousPath::Backslash),
                    0 => return Err(AmbiguousPath::Nul),
                    b'/' if matches!(before, Some(1 | 2)) => return Err(AmbiguousPath::Dots),
                    b'/' => (slash, dots) = (EncodedSlash::Present, Some(0)),
                    _ => {}
                }
            }
            _ => dots = None,
        }
    }
    match dots {
        Some(1 | 2) => Err(AmbiguousPath::Dots),
        _ => Ok(slash),
    }
}

fn hex(digit: u8) -> Result<u8, AmbiguousPath> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(AmbiguousPath::Escape)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_readers_agree_on_passes_as_it_is() {
        for path in [
            "/",
            "//",
            "/a//b/",
            "/a.b",
            "/.well-known/x",
            "/...",
            "/a/..b",
            "/a%20b",
            "/%7Efoo",
            "/%252e%252e/",
            "/caf%C3%A9",
            "/a;v=1/b",
            "/;.",
            "/{x}|\"^",
            "/a:b@c",
            "/%0A",
            "/b\u{fc}cher",
        ] {
            assert_eq!(judge(path), Ok(EncodedSlash::Absent), "{path}");
        }
        assert_eq!(judge("/a%2fb"), Ok(EncodedSlash::Present));
        assert_eq!(judge("/%2F"), Ok(EncodedSlash::Present));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        use AmbiguousPath::{Backslash, Dots, Escape, Nul};
        for (path, why) in [
            ("/.", Dots),
            ("/..", Dots),
            ("/a/./b", Dots),
            ("/a/../b", Dots),
            ("/a/..", Dots),
            ("/%2e/", Dots),
            ("/%2E%2e/", Dots),
            ("/.%2e/", Dots),
            ("/a%2eb", Dots),
            ("/..;/admin", Dots),
            ("/.;x=1", Dots),
            ("/a\\b", Backslash),
            ("/..\\x", Backslash),
            ("/%5cx", Backslash),
            ("/a%5C", Backslash),
            ("/a%00", Nul),
            ("/\0", Nul),
            ("/%", Escape),
            ("/%2", Escape),
            ("/%2/", Escape),
            ("/%zz", Escape),
            ("/%u002e", Escape),
            ("/%+1", Escape),
            ("/%2F%2", Escape),
            ("/a%2F..%2Fb", Dots),
            ("/%2F./", Dots),
            ("/..%2Fa", Dots),
        ] {
            assert_eq!(judge(path), Err(why), "{path}");
        }
    }

    /// The rule in its plainest form: decode, look at each segment.
    fn refused(path: &str) -> bool {
        let lower = path.to_ascii_lowercase();
        let two_hex = |text: &str| text.len() >= 2 && text.bytes().take(2).all(|b| b.is_ascii_hexdigit());
        lower.split('%').skip(1).any(|after| !two_hex(after))
            || ["%2e", "%5c", "%00", "\\", "\0"]
                .iter()
                .any(|bad| lower.contains(bad))
            || lower
                .replace("%2f", "/")
                .split('/')
                .any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
    }

    proptest! {
        #[test]
        fn the_one_pass_agrees_with_the_plain_rule(path in "(/|\\.|\\.|;|%2e|%2F|%5C|%00|%|2|e|x|\\\\){0,12}") {
            prop_assert_eq!(judge(&path).is_err(), refused(&path));
            if let Ok(slash) = judge(&path) {
                prop_assert_eq!(slash == EncodedSlash::Present, path.contains("%2F"));
            }
        }
    }
}
