//! What a configuration says of TLS, on either side.

use std::path::PathBuf;

use rustls::pki_types::ServerName;

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// `certificate:` and `key:`, or `certificates:` a list of such pairs. The client's SNI chooses; the first stands for
    /// clients that name no host, and for names that no certificate has.
    pub certificates: Vec<Pair>,
    /// `client_ca:` who must have signed a client's certificate; absent: clients need none.
    pub client_ca: Option<PathBuf>,
}

/// A certificate chain and its key, each a file in PEM form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The chain, the own certificate first.
    pub certificate: PathBuf,
    /// The key of the first.
    pub key: PathBuf,
}

/// How the endpoints of a service are spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTls {
    /// `ca:` who must have signed an endpoint's certificate; absent: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// `server_name:` the name that the certificate must have; absent: that of the Host sent, or the endpoint's address.
    pub server_name: Option<ServerName<'static>>,
    /// `client_certificate:` and `client_key:` what is shown to an endpoint that asks for a certificate.
    pub own: Option<Pair>,
    /// `insecure_skip_verify: false`: take any certificate.
    pub skip_verify: bool,
}
