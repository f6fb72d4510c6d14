//! TLS of a run: an authority of its own, one certificate that all servers show, and what clients and backends speak.
//!
//! In: a folder. Out: files for the proxies (ECDSA P-256, in PEM form) and the settings of load generator and echo backend.
//! Those two take TLS 1.3 with AES-256-GCM and X25519 and nothing else, so every proxy does the same work on both sides
//! whatever it would prefer. Neither resumes a session: the load generator keeps no tickets, the backends give none.
//! Not here: bytes within TLS (`stream`), and how a proxy is told (`peers`).

use std::{
    fs,
    io::{self, Error},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::NoServerSessionStorage,
};

use crate::wire::HOST;

/// The files of a run, removed with it.
#[derive(Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
    /// What the load generator speaks.
    pub(crate) client: Arc<ClientConfig>,
}

impl Certificates {
    /// Makes an authority and a certificate.
    pub(crate) fn try_new(folder: PathBuf) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "longhaul-bench");
        let key = KeyPair::generate().map_err(Error::other)?;
        let authority = params.self_signed(&key).map_err(Error::other)?;
        let issuer = Issuer::new(params, key);

        let mut params = CertificateParams::new([HOST.to_owned()]).map_err(Error::other)?;
        params.distinguished_name.push(DnType::CommonName, HOST);
        let key = KeyPair::generate().map_err(Error::other)?;
        let own = params.signed_by(&key, &issuer).map_err(Error::other)?;

        let client = client(authority.der())?;
        fs::create_dir(&folder)?;
        let made = Self { folder, client };
        fs::write(made.authority(), authority.pem())?;
        fs::write(made.certificate(), own.pem())?;
        fs::write(made.key(), key.serialize_pem())?;
        fs::write(made.both(), own.pem() + &key.serialize_pem())?;
        Ok(made)
    }

    /// Who signed the certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("own.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("own.key")
    }

    /// Certificate and key in one file.
    pub(crate) fn both(&self) -> PathBuf {
        self.folder.join("own.pem")
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn client(authority: &CertificateDer<'static>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(Error::other)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

/// What the backends speak.
pub(crate) fn server(certificate: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from_pem_file(certificate).map_err(Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(Error::other)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}
