//! Certificates and keys as they lie in files.
//!
//! In: names of PEM files. Out: what is in them, checked as far as that can be done without a peer.
//!
//! - A key is only taken together with its certificate: whoever replaces two files one after the other is seen between
//!   the two, and neither the old certificate with the new key nor the reverse is of use to anyone.
//! - An error names the file and never quotes it.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use rustls::{
    InconsistentKeys, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use webpki::{EndEntityCert, KeyUsage};

use super::provider;
use crate::config::Pair;

/// A file, or two that belong together, cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct BadFile {
    file: PathBuf,
    why: Reason,
}

type Reason = Box<dyn Error + Send + Sync>;

impl BadFile {
    pub(super) fn new(file: &Path, why: impl Into<Reason>) -> Self {
        Self {
            file: file.to_owned(),
            why: why.into(),
        }
    }
}

/// A certificate chain with its key.
pub(super) fn certified(pair: &Pair) -> Result<CertifiedKey, BadFile> {
    let chain = certificates(&pair.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&pair.key)
        // Its own error may say what stands in the file.
        .map_err(|_| BadFile::new(&pair.key, "holds no private key in PEM form, or cannot be read"))?;
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| BadFile::new(&pair.key, error))?;
    let certified = CertifiedKey::new(chain, key);
    let bad = |why: Reason| Err(BadFile::new(&pair.certificate, why));
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            bad(format!("is not the certificate of the key {}", pair.key.display()).into())
        }
        Err(error) => bad(error.into()),
    }
}

/// Whose signatures are believed.
pub(super) fn roots(file: &Path) -> Result<RootCertStore, BadFile> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots
            .add(certificate)
            .map_err(|error| BadFile::new(file, error))?;
    }
    Ok(roots)
}

/// All certificates of a file, of which there is at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let bad = |why: Reason| BadFile::new(file, why);
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(bad("holds no certificate in PEM form".into())),
        read => read.map_err(|error| bad(error.into())),
    }
}

/// What is wrong with the dates of a certificate: no client will take it then.
pub(super) fn wrong_dates(certificate: &EndEntityCert<'_>) -> Option<&'static str> {
    // Nobody is believed here: of what can be wrong with a certificate, its dates are looked at before its issuer.
    let usage = KeyUsage::server_auth();
    match certificate.verify_for_usage(&[], &[], &[], UnixTime::now(), usage, None, None) {
        Err(webpki::Error::CertExpired { .. }) => Some("a certificate has expired"),
        Err(webpki::Error::CertNotValidYet { .. }) => Some("a certificate is not valid yet"),
        _ => None,
    }
}
