//! TLS with clients, as one listener speaks it.
//!
//! In: certificates and who may have signed those of clients. Out: for each connection the certificate that fits the name
//! the client asks for, and a stream of what it says.
//!
//! - A name that stands in a certificate comes before one that a wildcard covers; a client that names none, or one that
//!   nobody has, gets the first certificate.
//! - Each certificate has a configuration of its own and with it ticket keys of its own: a session that began under one
//!   certificate is not resumed under another, nor on another listener, nor after any of its files has changed.
//! - Where clients need a certificate nothing is resumed at all: a ticket would outlive the certificate that it was given
//!   for.
//!
//! Not here: what a request under the wrong name gets ([`crate::route`]).

use std::{collections::HashMap, io, net::IpAddr, sync::Arc};

use rustls::{
    AlertDescription, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier,
    pki_types::{CertificateDer, DnsName, ServerName},
    server::{Acceptor, NoServerSessionStorage, WantsServerCert, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::LazyConfigAcceptor;
use webpki::EndEntityCert;

use super::{
    files::{self, BadFile},
    provider,
};
use crate::{
    config::ListenerTls,
    relay::{Joinable, Leg, Stream},
    telemetry::metrics::TlsEnd,
};

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct Server {
    identities: Vec<Identity>,
    /// Which of them, by a name in its certificate.
    exact: HashMap<Box<str>, usize>,
    /// The same by what follows `*.`.
    wildcard: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
struct Identity {
    config: Arc<ServerConfig>,
    certificate: Arc<Certificate>,
}

/// A certificate of ours, as a client was shown it.
#[derive(Debug)]
pub struct Certificate(CertificateDer<'static>);

/// A connection with a client.
pub(crate) type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

impl Stream for ServerStream {}

impl Joinable for ServerStream {
    type Session = Self;

    fn into_session(self, _: Leg) -> Self {
        self
    }
}

// === impl Server ===

impl Server {
    /// Reads the files. `http2` offers HTTP/2 to clients that know it.
    pub fn load(settings: &ListenerTls, http2: bool) -> Result<Self, BadFile> {
        let clients = match &settings.client_ca {
            Some(file) => Some((file, files::roots(file)?)),
            None => None,
        };
        let mut server = Self {
            identities: Vec::new(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        };
        for pair in &settings.certificates {
            let certified = files::certified(pair)?;
            let bad = |error: webpki::Error| BadFile::new(&pair.certificate, error.to_string());
            let leaf = certified.cert[0].clone();
            let parsed = EndEntityCert::try_from(&leaf).map_err(bad)?;
            if let Some(wrong) = files::wrong_dates(&parsed) {
                tracing::warn!(file = %pair.certificate.display(), "{wrong}");
            }
            server.remember_names(&parsed);
            let builder = builder().map_err(|error| BadFile::new(&pair.certificate, error))?;
            let builder = match &clients {
                None => builder.with_no_client_auth(),
                Some((file, roots)) => verified(builder, roots).map_err(|error| BadFile::new(file, error))?,
            };
            server.identities.push(Identity {
                config: Arc::new(config(builder, certified, http2, clients.is_some())),
                certificate: Arc::new(Certificate(leaf)),
            });
        }
        Ok(server)
    }

    /// The first certificate that has a name keeps it.
    fn remember_names(&mut self, certificate: &EndEntityCert<'_>) {
        let index = self.identities.len();
        for name in certificate.valid_dns_names() {
            let name = name.to_ascii_lowercase();
            let (names, name) = match name.strip_prefix("*.") {
                Some(suffix) => (&mut self.wildcard, suffix),
                None => (&mut self.exact, &*name),
            };
            names.entry(name.into()).or_insert(index);
        }
    }

    fn choose(&self, name: Option<&str>) -> &Identity {
        &self.identities[self.chosen(name)]
    }

    pub(super) fn chosen(&self, name: Option<&str>) -> usize {
        let index = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let parent = name.split_once('.').map(|(_, parent)| parent);
            let wildcard = || self.wildcard.get(parent?);
            self.exact.get(&*name).or_else(wildcard)
        });
        index.copied().unwrap_or(0)
    }

    /// Does the handshake, to its end; the caller bounds the time. With the stream comes the certificate that was shown.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
    ) -> io::Result<(tokio_rustls::server::TlsStream<S>, Arc<Certificate>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let identity = self.choose(start.client_hello().server_name());
        let stream = start.into_stream(Arc::clone(&identity.config)).await?;
        Ok((stream, Arc::clone(&identity.certificate)))
    }
}

type Builder<State> = ConfigBuilder<ServerConfig, State>;

fn builder() -> Result<Builder<WantsVerifier>, rustls::Error> {
    ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

fn verified(
    builder: Builder<WantsVerifier>,
    roots: &RootCertStore,
) -> Result<Builder<WantsServerCert>, rustls::server::VerifierBuilderError> {
    let roots = Arc::new(roots.clone());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
    Ok(builder.with_client_cert_verifier(verifier))
}

fn config(
    builder: Builder<WantsServerCert>,
    certified: CertifiedKey,
    http2: bool,
    mutual: bool,
) -> ServerConfig {
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // What a client may come back with is kept by the client: a herd of thousands finds no table here to push others out of.
    match rustls::crypto::aws_lc_rs::Ticketer::new() {
        Ok(ticketer) if !mutual => config.ticketer = ticketer,
        _ => config.send_tls13_tickets = 0,
    }
    config
}

// === impl Certificate ===

impl Certificate {
    /// Whether a request for this host may come over a connection that showed this certificate.
    pub fn covers(&self, host: &str) -> bool {
        let Some(name) = name(host) else { return false };
        let parsed = EndEntityCert::try_from(&self.0);
        parsed.is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(&name).is_ok())
    }
}

/// A host, with an IPv6 address in brackets, as what a certificate can be for.
fn name(host: &str) -> Option<ServerName<'_>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => Some(address.into()),
        Err(_) => DnsName::try_from(host).ok().map(Into::into),
    }
}

// === impl TlsEnd ===

impl From<&io::Error> for TlsEnd {
    fn from(error: &io::Error) -> Self {
        use rustls::Error::{
            AlertReceived, InvalidCertificate, InvalidMessage, NoApplicationProtocol,
            NoCertificatesPresented, PeerIncompatible,
        };
        let Some(error) = error.get_ref().and_then(|error| error.downcast_ref()) else {
            return Self::ClientGone;
        };
        match error {
            InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Self::NotTls,
            InvalidCertificate(_) | NoCertificatesPresented => Self::ClientCertificate,
            PeerIncompatible(_) | NoApplicationProtocol => Self::Incompatible,
            AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => Self::ClientGone,
            AlertReceived(_) => Self::RefusedByClient,
            _ => Self::Invalid,
        }
    }
}
