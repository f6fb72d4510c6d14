//! Which addresses a registry may name.
//!
//! In: the addresses that a registry announces, the networks that its operator allows, the addresses that this process
//! itself listens on. Out: the endpoints that may be dialled, and one line in the log for each address that may not,
//! which says what to write to allow it.
//!
//! Whoever can write to a registry chooses where the router connects to. An address that means another machine to the
//! router than to whoever registered it (loopback, link-local) or that gives away more than it should (metadata services)
//! is refused unless `allow` lists it; what is no address of a machine, and the router's own listeners, are refused
//! whatever `allow` says, for a session that is sent to ourselves comes back for ever.
//!
//! Promises: an address is judged by what it reaches, so an IPv4 address in IPv6 form is judged as the IPv4 address.
//!
//! Not here: static lists and files, which the operator wrote.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

use crate::{Endpoint, Snapshot};

/// What a source may name.
#[derive(Debug)]
pub struct Rules {
    /// Where the operator writes what is allowed, such as `providers.consul.allow`.
    key: &'static str,
    allow: Vec<IpNet>,
    own: Own,
    /// The addresses that the log has named.
    said: Mutex<HashSet<SocketAddr>>,
}

/// The addresses that this process listens on. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Own(Arc<Mutex<Vec<SocketAddr>>>);

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is one that this process listens on.
    Own,
    /// It stands for no machine.
    NoMachine,
    /// It is this machine to the router, and another to whoever registered it.
    Loopback,
    /// It is one that clouds serve credentials from.
    Metadata,
    /// It depends on the network card.
    LinkLocal,
}

// === impl Rules ===

impl Rules {
    /// Allows what is harmless and what is in `allow`, for which the operator's key is `key`, but nothing of `own`.
    pub fn new(key: &'static str, allow: impl IntoIterator<Item = IpNet>, own: Own) -> Self {
        Self {
            key,
            allow: allow.into_iter().collect(),
            own,
            said: Mutex::default(),
        }
    }

    /// Whether `address` is refused, and why.
    pub fn refusal(&self, address: SocketAddr) -> Option<Refusal> {
        let ip = address.ip().to_canonical();
        if self.own.has(SocketAddr::new(ip, address.port())) {
            return Some(Refusal::Own);
        }
        let refusal = class(ip).or((address.port() == 0).then_some(Refusal::NoMachine))?;
        let allowed = refusal != Refusal::NoMachine && self.allow.iter().any(|network| network.contains(&ip));
        (!allowed).then_some(refusal)
    }

    /// What of `endpoints` may be dialled; what may not be gets a line in the log, once, under the source's `name`.
    pub(crate) fn admit(&self, name: &str, endpoints: Snapshot) -> Snapshot {
        let refused = |endpoint: &Endpoint| self.refusal(endpoint.address);
        if endpoints.iter().all(|endpoint| refused(endpoint).is_none()) {
            return endpoints;
        }
        let admitted = endpoints.iter().filter(|endpoint| match refused(endpoint) {
            Some(refusal) => {
                self.say(name, endpoint.address, refusal);
                false
            }
            None => true,
        });
        admitted.cloned().collect()
    }

    fn say(&self, name: &str, address: SocketAddr, refusal: Refusal) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() > MAX_SAID || !said.insert(address) {
            return;
        }
        if said.len() > MAX_SAID {
            tracing::warn!(
                source = name,
                "more addresses are refused; this is the last line about them"
            );
            return;
        }
        let advice = match refusal {
            Refusal::Own | Refusal::NoMachine => "register the endpoint's own address".to_owned(),
            Refusal::Loopback | Refusal::Metadata | Refusal::LinkLocal => {
                format!(
                    "to allow it write `{}: [{}]`",
                    self.key,
                    address.ip().to_canonical()
                )
            }
        };
        tracing::warn!(source = name, %address, "refused an endpoint: {refusal}; {advice}");
    }
}

/// Why an address of this kind is refused, if it is.
fn class(ip: IpAddr) -> Option<Refusal> {
    if METADATA.contains(&ip) {
        return Some(Refusal::Metadata);
    }
    if ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST {
        return Some(Refusal::NoMachine);
    }
    if ip.is_loopback() {
        return Some(Refusal::Loopback);
    }
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    link_local.then_some(Refusal::LinkLocal)
}

/// Whether `ip` is of this machine: to one of its own addresses the kernel sends from that very address.
fn is_local(ip: IpAddr) -> bool {
    let from: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: connecting a datagram socket only asks for the route.
    let source = UdpSocket::bind((from, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

// === impl Own ===

impl Own {
    /// Replaces the addresses, each as bound: the port is known, and an unspecified address is all of the machine's.
    pub fn set(&self, addresses: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn has(&self, address: SocketAddr) -> bool {
        let own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().any(|own| {
            let (bound, ip) = (own.ip().to_canonical(), address.ip());
            // A socket on `::` takes IPv4 too.
            let all = bound.is_unspecified() && (bound.is_ipv6() || ip.is_ipv4());
            own.port() == address.port()
                && (bound == ip || all && (ip.is_loopback() || ip.is_unspecified() || is_local(ip)))
        })
    }
}

// === impl Refusal ===

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "this is an address that the router itself listens on",
            Self::NoMachine => "this is no address of one machine",
            Self::Loopback => "a loopback address is another machine to the registry than to the router",
            Self::Metadata => "this is the address of a cloud's metadata service",
            Self::LinkLocal => "a link-local address is not the same machine everywhere",
        })
    }
}

/// AWS and those that took over its address; link-local too, but worth a word of their own.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];
/// Enough to see what is wrong; a registry that names thousands must not fill the log.
const MAX_SAID: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str]) -> Rules {
        let allow: Vec<IpNet> = allow.iter().map(|network| network.parse().unwrap()).collect();
        Rules::new("providers.consul.allow", allow, Own::default())
    }

    fn refusal(rules: &Rules, address: &str) -> Option<Refusal> {
        rules.refusal(address.parse().unwrap())
    }

    #[test]
    fn what_means_another_machine_to_the_registry_is_refused() {
        let rules = rules(&[]);
        for (address, why) in [
            ("127.0.0.1:80", Refusal::Loopback),
            ("127.8.8.8:80", Refusal::Loopback),
            ("[::1]:80", Refusal::Loopback),
            ("[::ffff:127.0.0.1]:80", Refusal::Loopback),
            ("169.254.0.7:80", Refusal::LinkLocal),
            ("[fe80::1]:80", Refusal::LinkLocal),
            ("169.254.169.254:80", Refusal::Metadata),
            ("[::ffff:169.254.169.254]:80", Refusal::Metadata),
            ("[fd00:ec2::254]:80", Refusal::Metadata),
            ("0.0.0.0:80", Refusal::NoMachine),
            ("[::]:80", Refusal::NoMachine),
            ("[::ffff:0.0.0.0]:80", Refusal::NoMachine),
            ("224.0.0.1:80", Refusal::NoMachine),
            ("[ff02::1]:80", Refusal::NoMachine),
            ("255.255.255.255:80", Refusal::NoMachine),
            ("10.0.0.1:0", Refusal::NoMachine),
        ] {
            assert_eq!(refusal(&rules, address), Some(why), "{address}");
        }
    }

    #[test]
    fn an_ordinary_address_is_admitted() {
        let rules = rules(&[]);
        for address in [
            "10.0.0.1:80",
            "192.168.1.1:80",
            "[fd00::1]:80",
            "[2001:db8::1]:80",
            "[::ffff:10.0.0.1]:80",
        ] {
            assert_eq!(refusal(&rules, address), None, "{address}");
        }
    }

    #[test]
    fn what_is_listed_is_allowed_in_either_form_and_nothing_beside_it() {
        let rules = rules(&["127.0.0.0/8", "169.254.169.254/32", "0.0.0.0/0"]);
        for address in ["127.0.0.1:80", "[::ffff:127.0.0.1]:80", "169.254.169.254:80"] {
            assert_eq!(refusal(&rules, address), None, "{address}");
        }
        assert_eq!(refusal(&rules, "[::1]:80"), Some(Refusal::Loopback));
        assert_eq!(refusal(&rules, "0.0.0.0:80"), Some(Refusal::NoMachine));
    }

    #[test]
    fn the_own_listener_is_refused_whatever_is_allowed() {
        let rules = rules(&["127.0.0.0/8", "::1/128"]);
        rules.own.set(vec!["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(refusal(&rules, "127.0.0.1:8080"), Some(Refusal::Own));
        assert_eq!(refusal(&rules, "[::ffff:127.0.0.1]:8080"), Some(Refusal::Own));
        assert_eq!(refusal(&rules, "127.0.0.1:8081"), None);
        assert_eq!(refusal(&rules, "127.0.0.2:8080"), None);
    }

    #[test]
    fn a_listener_on_all_addresses_is_refused_at_each_of_this_machine() {
        let rules = rules(&["127.0.0.0/8", "::1/128"]);
        rules.own.set(vec!["0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(refusal(&rules, "127.0.0.9:8080"), Some(Refusal::Own));
        assert_eq!(refusal(&rules, "[::1]:8080"), None, "that socket takes no IPv6");
        assert_eq!(refusal(&rules, "192.0.2.1:8080"), None, "that is another machine");
        rules.own.set(vec!["[::]:8080".parse().unwrap()]);
        assert_eq!(refusal(&rules, "[::1]:8080"), Some(Refusal::Own));
        assert_eq!(refusal(&rules, "127.0.0.1:8080"), Some(Refusal::Own));
    }

    #[test]
    fn the_kernel_knows_which_addresses_are_local() {
        assert!(is_local("127.0.0.1".parse().unwrap()));
        assert!(!is_local("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn refused_endpoints_are_left_out_and_the_others_stay() {
        let at = |address: &str| Endpoint::at(address.parse().unwrap());
        let good = at("10.0.0.1:80");
        let set = Snapshot::from_iter([good.clone(), at("127.0.0.1:80"), at("[fe80::1]:80")]);
        assert_eq!(&rules(&[]).admit("chat", set)[..], [good]);
    }

    #[test]
    fn an_address_is_named_once_however_often_it_is_announced() {
        let rules = rules(&[]);
        let set = Snapshot::from_iter([Endpoint::at("127.0.0.1:80".parse().unwrap())]);
        for _ in 0..3 {
            rules.admit("chat", set.clone());
        }
        assert_eq!(rules.said.lock().unwrap().len(), 1);
    }
}
