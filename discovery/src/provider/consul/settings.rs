//! What an operator says of Consul: where it is, who asks, and which instances are wanted.
//!
//! In: text and numbers of a config file. Out: values that compare equal when nothing has changed, so that a reload of
//! something else leaves the watches alone. Files are named here and read where they are used, again and again: tokens
//! and certificates are rotated.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// One Consul cluster, as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Agents or servers of it; the next one is asked when one fails. At least one.
    pub addresses: Vec<Address>,
    /// The file that holds the ACL token.
    pub token_file: Option<PathBuf>,
    /// For `https` addresses.
    pub tls: Tls,
    /// Where in the registry.
    pub scope: Scope,
    /// How long ago the server that answers may have heard of its leader, before the leader itself is asked.
    pub stale_limit: Duration,
    /// Connections at once to an agent that speaks HTTP/1 only; at least [`FEWEST_CONNECTIONS`].
    pub connections: usize,
    /// How long a request may wait for a change; a silent connection is noticed a sixteenth of it and
    /// [`SLACK`](super::SLACK) later.
    pub wait: Duration,
}

/// Where an agent is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// `https`.
        tls: bool,
        /// A name or an address, without brackets.
        host: Box<str>,
        /// The port.
        port: u16,
        /// What stands before `/v1`, for a proxy; empty or `/a/b`.
        prefix: Box<str>,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// The files of TLS. PEM, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may have signed the agent's certificate; absent: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key, for agents that ask for one.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The name in the agent's certificate, where it is not the one in its address.
    pub server_name: Option<Box<str>>,
}

/// Where in the registry. What is absent is left to the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The datacenter.
    pub datacenter: Option<Box<str>>,
    /// The namespace; Enterprise only.
    pub namespace: Option<Box<str>>,
    /// The admin partition; Enterprise only.
    pub partition: Option<Box<str>>,
}

/// Which instances, and which of their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The service's name in Consul.
    pub service: Box<str>,
    /// Tags that an instance must have, all of them; none with both kinds of quotes, `\`` and `"`, in it.
    pub tags: Vec<Box<str>>,
    /// An expression of Consul's filter language that an instance must meet.
    pub filter: Option<Box<str>>,
    /// Which of its addresses is dialled.
    pub address: AddressOf,
}

/// Which address of an instance is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressOf {
    /// The service's own, else its node's.
    #[default]
    Service,
    /// Its node's.
    Node,
    /// That tagged `lan`, of either family.
    Lan,
    /// That tagged `lan_ipv4`.
    LanIpv4,
    /// That tagged `lan_ipv6`.
    LanIpv6,
    /// That tagged `wan`, of either family.
    Wan,
    /// That tagged `wan_ipv4`.
    WanIpv4,
    /// That tagged `wan_ipv6`.
    WanIpv6,
}

/// Why a text is no [`Address`]: the rest of a sentence that begins with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(&'static str);

/// Fewer connections than this leave no room for one watch, one read and a registration.
pub const FEWEST_CONNECTIONS: usize = 8;

// === impl Settings ===

impl Settings {
    /// An agent without TLS or token, and otherwise the defaults.
    pub fn of_agent(address: Address) -> Self {
        Self {
            addresses: vec![address],
            token_file: None,
            tls: Tls::default(),
            scope: Scope::default(),
            stale_limit: STALE_LIMIT,
            connections: CONNECTIONS,
            wait: WAIT,
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// All instances of a service.
    pub fn service(name: &str) -> Self {
        Self {
            service: name.into(),
            tags: Vec::new(),
            filter: None,
            address: AddressOf::Service,
        }
    }
}

// === impl Address ===

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(AddressError(
                    "is no socket; write its whole path, as in `unix:///run/consul.sock`",
                )),
            };
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => {
                return Err(AddressError(
                    "has another scheme; write `http://`, `https://` or `unix://`",
                ));
            }
            None => (false, text),
        };
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let prefix = prefix.trim_end_matches('/');
        if prefix
            .bytes()
            .any(|b| !b.is_ascii_graphic() || b"?#".contains(&b))
        {
            return Err(AddressError(
                "has a query or a blank; write no more than a path after the port",
            ));
        }
        let authority: http::uri::Authority = authority
            .parse()
            .map_err(|_| AddressError("is no address; write one such as `http://127.0.0.1:8500`"))?;
        if authority.as_str().contains('@') {
            return Err(AddressError(
                "has a password in it; write a `token_file` beside it",
            ));
        }
        let port = match (&authority.as_str()[authority.host().len()..], tls) {
            ("", false) => HTTP,
            ("", true) => HTTPS,
            (port, _) => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .ok_or(AddressError("has no port of a machine; write one such as `8500`"))?,
        };
        let host = host(authority.host()).filter(|_| port != 0).ok_or(AddressError(
            "is no address; write one such as `http://127.0.0.1:8500`",
        ))?;
        Ok(Self::Tcp {
            tls,
            host,
            port,
            prefix: prefix.into(),
        })
    }
}

/// A name, or an address of which IPv6 alone stands in brackets, there and here without them.
fn host(written: &str) -> Option<Box<str>> {
    match written.strip_prefix('[') {
        Some(rest) => {
            let inner = rest.strip_suffix(']')?;
            inner.parse::<std::net::Ipv6Addr>().ok()?;
            Some(inner.into())
        }
        None if written.is_empty() || written.contains([':', ']']) => None,
        None => Some(written.into()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp {
                tls,
                host,
                port,
                prefix,
            } => {
                let scheme = if *tls { "https" } else { "http" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}{prefix}"),
                    false => write!(f, "{scheme}://{host}:{port}{prefix}"),
                }
            }
        }
    }
}

/// An election takes some seconds; a server that heard nothing for this long is cut off from its own.
pub const STALE_LIMIT: Duration = Duration::from_secs(30);
/// Half of what an agent allows one client address by default, so that two routers of one machine fit.
pub const CONNECTIONS: usize = 100;
/// With what a server adds and what an election takes, silence is noticed within a minute.
const WAIT: Duration = Duration::from_secs(45);
/// What Consul listens on unless told otherwise.
const HTTP: u16 = 8500;
const HTTPS: u16 = 8501;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_written_as_urls_and_without_a_port_mean_consuls_own() {
        for (text, full) in [
            ("http://127.0.0.1:8500", "http://127.0.0.1:8500"),
            ("127.0.0.1:8600", "http://127.0.0.1:8600"),
            ("consul.internal", "http://consul.internal:8500"),
            ("https://consul.internal", "https://consul.internal:8501"),
            ("http://[::1]:9", "http://[::1]:9"),
            ("https://proxy/consul/a/", "https://proxy:8501/consul/a"),
            ("unix:///run/consul.sock", "unix:///run/consul.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn what_is_no_address_says_what_to_write() {
        for (text, says) in [
            ("", "no address"),
            ("http://", "no address"),
            ("[]", "no address"),
            ("http://[a]:1", "no address"),
            ("http://a:b", "no port"),
            ("http://a:99999", "no port"),
            ("http://a:0", "no address"),
            ("ftp://a", "another scheme"),
            ("unix://run", "whole path"),
            ("http://me:secret@a", "token_file"),
            ("http://a/b?c", "query"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn an_address_survives_its_own_spelling(text in "(https?://|unix://)?[a-z0-9.:/\\[\\]@ -]{0,20}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
