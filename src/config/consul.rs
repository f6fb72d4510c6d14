//! What a configuration says of Consul.

use std::net::IpAddr;

use discovery::provider::consul::Settings;
use ipnet::IpNet;

/// What all `consul` sources have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsulProvider {
    /// `address: http://127.0.0.1:8500`, or a list of which the next is asked when one fails; `token_file`, `tls`,
    /// `datacenter`, `namespace`, `partition`, `stale_limit: 30s` and `connections: 100`.
    pub agent: Settings,
    /// `allow: []`: networks of loopback, link-local and metadata addresses that instances may have.
    pub allow: Vec<IpNet>,
    /// `register:` this process as a service; absent: it is none.
    pub register: Option<Register>,
}

/// This process as a service in Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// `service: longhaul`: its name.
    pub service: Box<str>,
    /// `id:` which of its instances this is; absent: the name, the machine and the port.
    pub id: Option<Box<str>>,
    /// `address:` where clients connect; absent: that of the first listener, or if that is every one, the agent's.
    pub address: Option<IpAddr>,
    /// `port:` where clients connect; absent: that of the first listener.
    pub port: Option<u16>,
    /// `tags: []`.
    pub tags: Vec<Box<str>>,
    /// `check:` a URL that answers 200 while all is well; absent: `/readyz` of the admin address.
    pub check: Option<Box<str>>,
}
