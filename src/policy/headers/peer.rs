//! Who is at the other end of a client connection, and whether its word on who is behind it counts.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::{IpNet, Ipv4Net};

use crate::listen::handshake::tokens;

/// What one listener says of itself and whom it believes; built once per listener.
#[derive(Clone, Debug)]
pub struct Forwarding {
    trusted: Vec<IpNet>,
    proto: HeaderValue,
    port: HeaderValue,
}

/// The other end of a client connection; built once per connection.
#[derive(Clone, Debug)]
pub struct Peer {
    address: IpAddr,
    text: HeaderValue,
    trusted: bool,
    forwarding: Arc<Forwarding>,
}

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

// === impl Forwarding ===

impl Forwarding {
    /// `port` is the one that the listener is bound to, `tls` whether it terminates TLS.
    pub fn new(port: u16, tls: bool, trusted_proxies: &[IpNet]) -> Self {
        Self {
            trusted: trusted_proxies.iter().map(canonical).collect(),
            proto: HeaderValue::from_static(if tls { "https" } else { "http" }),
            port: HeaderValue::from(port),
        }
    }

    pub(super) fn proto(&self) -> &HeaderValue {
        &self.proto
    }

    pub(super) fn port(&self) -> &HeaderValue {
        &self.port
    }

    /// Whether what this peer says of others is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }
}

// === impl Peer ===

impl Peer {
    /// The peer at `address`, which connected to the listener that `forwarding` was built for.
    pub fn new(address: SocketAddr, forwarding: &Arc<Forwarding>) -> Self {
        // A listener on [::] sees IPv4 clients as ::ffff:a.b.c.d; rules and backends know them as a.b.c.d.
        let address = address.ip().to_canonical();
        Self {
            address,
            text: text(address),
            trusted: forwarding.trusts(address),
            forwarding: Arc::clone(forwarding),
        }
    }

    /// Its address, IPv4 as such.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether its forwarded headers are believed.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether its listener terminates TLS.
    pub fn came_over_tls(&self) -> bool {
        self.forwarding.proto == "https"
    }

    pub(super) fn text(&self) -> &HeaderValue {
        &self.text
    }

    pub(super) fn forwarding(&self) -> &Forwarding {
        &self.forwarding
    }

    /// The client behind it: the first address in `X-Forwarded-For`, from the right, that is no trusted proxy.
    ///
    /// Each entry is the word of the host to its right, so the walk ends at the first that is not trusted or that is no
    /// address; what is left of that anyone may have made up.
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        let mut client = self.address;
        if !self.trusted {
            return client;
        }
        for entry in tokens(headers, &X_FORWARDED_FOR).rev() {
            match parse_address(entry) {
                Some(address) => client = address,
                None => break,
            }
            if !self.forwarding.trusts(client) {
                break;
            }
        }
        client
    }
}

/// An address as a field's value. By hand where it is short: every connection needs it, and formatting takes forty times as
/// long.
fn text(address: IpAddr) -> HeaderValue {
    let value = match address {
        IpAddr::V4(address) => {
            let mut text = [b'.'; "255.255.255.255".len()];
            let mut end = 0;
            for octet in address.octets() {
                let digits = [octet / 100, octet / 10 % 10, octet % 10];
                let zeros = digits[..2].iter().take_while(|digit| **digit == 0).count();
                for digit in &digits[zeros..] {
                    text[end] = b'0' + digit;
                    end += 1;
                }
                // Over its dot.
                end += 1;
            }
            HeaderValue::from_bytes(&text[..end - 1])
        }
        IpAddr::V6(address) => HeaderValue::from_bytes(address.to_string().as_bytes()),
    };
    value.expect("an address makes a field value")
}

/// Reads an entry of `X-Forwarded-For`: an address, with a port from some proxies.
pub(super) fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()?;
    Some(address.to_canonical())
}

/// The form in which a net is compared with canonical addresses.
fn canonical(net: &IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let (Some(v4), Some(prefix)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
        && let Ok(v4) = Ipv4Net::new(v4, prefix)
    {
        return v4.into();
    }
    *net
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_is_written_as_the_standard_library_writes_it(address: IpAddr) {
            prop_assert_eq!(text(address), address.to_string());
        }
    }

    #[test]
    fn an_address_has_no_leading_zeros_and_no_digit_is_lost() {
        for address in ["0.0.0.0", "1.10.100.255", "9.99.109.200"] {
            assert_eq!(text(address.parse().unwrap()), address);
        }
    }
}
