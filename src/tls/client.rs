//! TLS with the endpoints of one service.
//!
//! In: whom to believe, which name to expect, what to show when asked. Out: for each handshake a [`Target`], and streams
//! from it.
//!
//! - The name that an endpoint's certificate must have is the service's `server_name`; where there is none the Host that
//!   the endpoint is sent; where that is no name its address.
//! - An endpoint is not blamed for a name that a client chose, nor for what is wrong with our own certificate: else anyone
//!   who asks for enough nonsense could have every endpoint left out.
//!
//! Not here: which endpoint and how long ([`crate::dial`]).

use std::{fmt, io, net::IpAddr, path::Path, sync::Arc};

use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, DnsName, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    files::{self, BadFile},
    provider,
};
use crate::{
    config::ServiceTls,
    relay::{Joinable, Leg, Stream},
};

/// How the endpoints of a service are spoken to.
#[derive(Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// The same for one handshake: with the name that it expects. A connection that was opened for one may be used for another
/// only if both are equal: else what was verified is another name, or by files that have been replaced since.
#[derive(Clone, Debug)]
pub struct Target {
    config: Arc<ClientConfig>,
    /// `None`: the address that is dialled.
    name: Option<ServerName<'static>>,
    /// A client chose the name.
    theirs: bool,
}

impl Stream for Box<TlsStream<TcpStream>> {}

impl Joinable for Box<TlsStream<TcpStream>> {
    type Session = Self;

    fn into_session(self, _: Leg) -> Self {
        self
    }
}

// === impl Client ===

impl Client {
    /// Reads the files.
    pub fn load(settings: &ServiceTls) -> Result<Self, BadFile> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| BadFile::new(Path::new("TLS"), error))?;
        let builder = if settings.skip_verify {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone)
        } else {
            builder.with_root_certificates(match &settings.ca {
                Some(file) => files::roots(file)?,
                None => system()?,
            })
        };
        let mut config = match &settings.own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let certified = files::certified(pair)?;
                let own = rustls::sign::SingleCertAndKey::from(certified);
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            server_name: settings.server_name.clone(),
        })
    }

    /// For a handshake that sends this Host; `theirs`: as the client wrote it.
    pub fn target(&self, host: Option<&str>, theirs: bool) -> Target {
        let own = self.server_name.clone();
        let of_host = host.and_then(dns_name).map(ServerName::from);
        Target {
            config: Arc::clone(&self.config),
            theirs: theirs && own.is_none() && of_host.is_some(),
            name: own.or(of_host),
        }
    }
}

/// The name in a Host, if it is one and no address.
fn dns_name(host: &str) -> Option<DnsName<'static>> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name);
    // An IPv4 address has the form of a name.
    let is_address = name.parse::<IpAddr>().is_ok();
    (!is_address).then(|| DnsName::try_from(name.to_ascii_lowercase()).ok())?
}

/// Whom the system trusts.
fn system() -> Result<RootCertStore, BadFile> {
    let mut roots = RootCertStore::empty();
    // Some systems carry certificates that no parser takes; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(BadFile::new(
            Path::new("the system's certificates"),
            "there are none; install them, or write `ca`",
        )),
        false => Ok(roots),
    }
}

// === impl Target ===

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Target {
    /// Does the handshake on a connection to `address`, to its end; the caller bounds the time.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        address: IpAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = self.name.clone().unwrap_or_else(|| address.to_canonical().into());
        let connector = TlsConnector::from(Arc::clone(&self.config));
        connector.connect(name, stream).await
    }

    #[cfg(test)]
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> Option<String> {
        self.name.as_ref().map(|name| name.to_str().into_owned())
    }

    /// Whether a failed handshake says something about the endpoint.
    pub(crate) fn blames_endpoint(&self, error: &io::Error) -> bool {
        !refuses_our_certificate(error) && !self.theirs
    }
}

/// Whether an endpoint ended the connection for what we showed it. With TLS 1.3 that comes after the handshake.
pub(crate) fn refuses_our_certificate(error: &io::Error) -> bool {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(
        error,
        Some(rustls::Error::AlertReceived(
            AccessDenied
                | BadCertificate
                | CertificateExpired
                | CertificateRequired
                | CertificateRevoked
                | CertificateUnknown
                | UnknownCA
                | UnsupportedCertificate
        ))
    )
}

/// Takes any certificate, as it was told to; who holds it must still prove that.
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Anyone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anyone")
    }
}
