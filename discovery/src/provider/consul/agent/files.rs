//! Files that are rotated under a running router: the token, and what TLS needs.
//!
//! In: their names. Out: what they hold now, looked at for each request: they are small, and a request goes out about
//! once a minute. A file that cannot be used, because it is half written or gone, leaves what was there before in use;
//! only what has never worked is a failure.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderValue;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::super::{answer::Failure, settings::Tls};

/// The ACL token.
#[derive(Debug, Default)]
pub(super) struct Token {
    last: Mutex<Option<HeaderValue>>,
}

/// What is needed to open a TLS connection.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    last: Mutex<Option<Loaded>>,
}

#[derive(Clone, Debug)]
struct Loaded {
    contents: Contents,
    trust: Trust,
}

/// A TLS configuration, and how many there were before it.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub(super) config: Arc<ClientConfig>,
    pub(super) generation: u64,
}

/// The files as they were read: what has not changed in content has not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    ca: Option<Vec<u8>>,
    own: Option<(Vec<u8>, Vec<u8>)>,
}

type Reason = Box<dyn std::error::Error + Send + Sync>;

// === impl Token ===

impl Token {
    pub(super) fn current(&self, file: &Path) -> Result<HeaderValue, Failure> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (token(file), &*last) {
            (Ok(token), _) => *last = Some(token),
            (Err(error), Some(_)) => {
                tracing::warn!(file = %file.display(), %error, "the token file cannot be used; keeping the last token");
            }
            (Err(source), None) => {
                return Err(Failure::File {
                    file: file.display().to_string(),
                    source,
                });
            }
        }
        Ok(last.clone().expect("it was there or was just put there"))
    }
}

fn token(file: &Path) -> Result<HeaderValue, Reason> {
    let text = fs::read_to_string(file)?;
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".into());
    }
    // The error of the conversion would quote the token.
    let mut token = HeaderValue::from_str(text).map_err(|_| "it holds more than one line of plain text")?;
    token.set_sensitive(true);
    Ok(token)
}

// === impl Certificates ===

impl Certificates {
    pub(super) fn current(&self, files: &Tls) -> Result<Trust, Failure> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Contents::read(files);
        if let (Ok(contents), Some(loaded)) = (&read, &*last)
            && *contents == loaded.contents
        {
            return Ok(loaded.trust.clone());
        }
        let generation = last.as_ref().map_or(0, |loaded| loaded.trust.generation + 1);
        match (
            read.and_then(|contents| Ok((config(&contents)?, contents))),
            &*last,
        ) {
            (Ok((config, contents)), _) => {
                let config = Arc::new(config);
                let trust = Trust { config, generation };
                *last = Some(Loaded { contents, trust });
            }
            (Err(error), Some(_)) => {
                tracing::warn!(%error, "the files of TLS cannot be used; keeping the last ones");
            }
            (Err(source), None) => {
                let file = "the files of TLS".to_owned();
                return Err(Failure::File { file, source });
            }
        }
        Ok(last
            .as_ref()
            .expect("it was there or was just put there")
            .trust
            .clone())
    }
}

impl Contents {
    fn read(files: &Tls) -> Result<Self, Reason> {
        let read = |file: &Path| fs::read(file).map_err(|error| format!("{}: {error}", file.display()));
        Ok(Self {
            ca: files.ca.as_deref().map(read).transpose()?,
            own: match &files.own {
                Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
                None => None,
            },
        })
    }
}

fn config(contents: &Contents) -> Result<ClientConfig, Reason> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(contents.ca.as_deref())?);
    let mut config = match &contents.own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
            let key =
                PrivateKeyDer::from_pem_slice(key).map_err(|_| "the file of the key holds no PEM key")?;
            builder.with_client_auth_cert(chain, key)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, Reason> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
        }
        None => {
            // Some systems carry certificates that no parser takes; the others count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no certificate to trust".into());
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A folder of this test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("longhaul-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, text: &str) -> PathBuf {
            let file = self.0.join("file");
            fs::write(&file, text).unwrap();
            file
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_token_is_read_again_and_a_broken_file_keeps_the_last_one() {
        let folder = Folder::new("token");
        let token = Token::default();
        let file = folder.write(" one\n");
        assert_eq!(token.current(&file).unwrap(), "one");
        folder.write("two");
        assert_eq!(token.current(&file).unwrap(), "two");
        for broken in ["", "a\nb", "\u{1}"] {
            folder.write(broken);
            assert_eq!(token.current(&file).unwrap(), "two");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(token.current(&file).unwrap(), "two");
        assert!(
            !format!("{token:?}").contains("two"),
            "a token in a log is no secret"
        );
    }

    #[test]
    fn a_token_that_never_worked_is_a_failure_that_names_the_file_and_not_the_token() {
        let folder = Folder::new("no-token");
        let file = folder.write("secret\nsecret");
        let failure = Token::default().current(&file).unwrap_err();
        let words = format!("{failure:?}");
        assert!(words.contains("file") && !words.contains("secret"), "{words}");
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_a_failure() {
        let folder = Folder::new("ca");
        let tls = Tls {
            ca: Some(folder.write("no pem")),
            ..Tls::default()
        };
        let failure = Certificates::default().current(&tls).unwrap_err();
        assert!(matches!(failure, Failure::File { .. }), "{failure:?}");
    }
}
