//! Host names in the one spelling in which they are compared.
//!
//! In: a name from a config file or a request, without a port. Out: the same name in lower case, without the dot that
//! may end it, an IPv6 address in brackets and in its shortest form. It is written into a [`HostBuffer`] on the
//! caller's stack, so a look-up allocates nothing.
//!
//! A name may hold letters, digits, `-`, `_` and dots between them: whatever else a `Host` field could carry (user
//! names, lists, escapes, raw Unicode) is read differently by different backends and is refused.

use std::{fmt::Write, net::Ipv6Addr};

/// The longest host name that DNS allows, and room for a dot at its end.
const LONGEST: usize = 254;

/// Room for one normalised host.
#[derive(Debug)]
pub(crate) struct HostBuffer {
    bytes: [u8; LONGEST],
    used: usize,
}

/// The host is none that DNS or RFC 3986 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHost;

// === impl HostBuffer ===

impl HostBuffer {
    /// The normal form of `host`.
    pub(crate) fn of(host: &str) -> Result<Self, BadHost> {
        let mut buffer = Self {
            bytes: [0; LONGEST],
            used: 0,
        };
        buffer.fill(host)?;
        Ok(buffer)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.used]).expect("only whole strings are written here")
    }

    fn fill(&mut self, host: &str) -> Result<(), BadHost> {
        if let Some(literal) = host.strip_prefix('[') {
            let address: Ipv6Addr = literal
                .strip_suffix(']')
                .and_then(|text| text.parse().ok())
                .ok_or(BadHost)?;
            return write!(self, "[{address}]").map_err(|_| BadHost);
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !name
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(allowed))
        {
            return Err(BadHost);
        }
        self.write_str(name).map_err(|_| BadHost)?;
        self.bytes[..self.used].make_ascii_lowercase();
        Ok(())
    }
}

impl Write for HostBuffer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.used + text.len();
        let room = self.bytes.get_mut(self.used..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(host: &str) -> Result<String, BadHost> {
        HostBuffer::of(host).map(|host| host.as_str().to_owned())
    }

    #[test]
    fn one_host_has_one_spelling() {
        assert_eq!(normal("Chat.EXAMPLE.com").as_deref(), Ok("chat.example.com"));
        assert_eq!(normal("chat.example.com.").as_deref(), Ok("chat.example.com"));
        assert_eq!(normal("127.0.0.1").as_deref(), Ok("127.0.0.1"));
        assert_eq!(normal("my_service").as_deref(), Ok("my_service"));
        assert_eq!(normal("[0:0:0::0:1]").as_deref(), Ok("[::1]"));
        assert_eq!(normal("[2001:DB8::A]").as_deref(), Ok("[2001:db8::a]"));
    }

    #[test]
    fn what_backends_read_differently_is_refused() {
        for host in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a,b",
            "user@a",
            "a%2eb",
            "a b",
            "bücher.de",
            "[::1",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "::1",
            "a/b",
            "a\\b",
            "a:80",
            "[]",
            "]",
        ] {
            assert_eq!(normal(host), Err(BadHost), "{host:?}");
        }
    }

    #[test]
    fn a_name_longer_than_dns_allows_is_refused() {
        assert!(normal(&format!("{}.", "a".repeat(253))).is_ok());
        assert_eq!(normal(&"a".repeat(255)), Err(BadHost));
    }
}
