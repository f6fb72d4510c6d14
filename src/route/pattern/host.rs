//! The `host:` of a route's match.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use super::PatternError;
use crate::route::host::HostBuffer;

/// The hosts of a route: a name, `*.suffix` for one or more labels before it, or `*` for any.
#[derive(Clone, Debug)]
pub struct HostPattern {
    text: Box<str>,
    hosts: Hosts,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hosts {
    Any,
    /// Without the `*.` before it.
    Below(Box<str>),
    Exact(Box<str>),
}

impl HostPattern {
    /// Every host, and requests without one.
    pub fn any() -> Self {
        Self {
            text: "*".into(),
            hosts: Hosts::Any,
        }
    }

    /// Reads `chat.example.com`, `*.example.com`, `[::1]` or `*`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::any());
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        let Ok(host) = HostBuffer::of(name) else {
            return Err(match text.rsplit_once(':') {
                Some((host, port)) if is_port(port) && Self::parse(host).is_ok() => {
                    PatternError::Port(host.to_owned())
                }
                _ => PatternError::Host(text.to_owned()),
            });
        };
        let hosts = match wildcard {
            true if name.starts_with('[') => return Err(PatternError::Host(text.to_owned())),
            true => Hosts::Below(host.as_str().into()),
            false => Hosts::Exact(host.as_str().into()),
        };
        Ok(Self {
            text: text.into(),
            hosts,
        })
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.hosts
    }
}

impl PartialEq for HostPattern {
    fn eq(&self, other: &Self) -> bool {
        self.hosts == other.hosts
    }
}

impl Eq for HostPattern {}

impl Hash for HostPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hosts.hash(state);
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}
