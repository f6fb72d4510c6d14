//! TLS for tests: authorities, certificates, clients that take what they are told to, and backends behind TLS.

use std::{io, net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, tungstenite};

use super::{SOON, within};

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate in PEM form.
    pub(crate) pem: String,
}

/// A certificate and its key in PEM form.
#[derive(Clone)]
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A WebSocket of a client within TLS.
pub(crate) type TlsSocket = WebSocketStream<TlsStream<TcpStream>>;

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("randomness");
        let pem = params.self_signed(&key).expect("a signature").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate that is called like the first of these names.
    pub(crate) fn certify(&self, names: &[&str]) -> Certified {
        self.certify_until(names, 4000)
    }

    /// The same, valid until this year.
    pub(crate) fn certify_until(&self, names: &[&str], year: i32) -> Certified {
        let list: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(list).expect("names");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signature");
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM"))
            .expect("a certificate");
        Arc::new(roots)
    }

    /// A client that believes this authority.
    pub(crate) fn client(&self, own: Option<&Certified>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots());
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder
                .with_client_auth_cert(own.chain(), own.private())
                .expect("a pair"),
        })
    }

    /// The same, which offers these protocols by ALPN.
    pub(crate) fn client_of(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = Arc::unwrap_or_clone(self.client(None));
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// A server with this certificate; `mutual`: for clients of this authority only.
    pub(crate) fn server(&self, own: &Certified, mutual: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots(), provider);
        let builder = match mutual {
            false => builder.with_no_client_auth(),
            true => builder.with_client_cert_verifier(verifier.build().expect("a verifier")),
        };
        let config = builder.with_single_cert(own.chain(), own.private());
        Arc::new(config.expect("a pair"))
    }
}

impl Certified {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM")]
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM")
    }
}

/// Connects under this name.
pub(crate) async fn tls_connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = within(SOON, address, TcpStream::connect(address)).await?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    within(SOON, "a TLS handshake", connecting).await
}

/// Opens a session at `wss://NAME/`; what went wrong, if anything.
pub(crate) async fn try_wss(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> Result<TlsSocket, tungstenite::Error> {
    let stream = tls_connect(address, name, config).await?;
    let opening = tokio_tungstenite::client_async(format!("wss://{name}/"), stream);
    let (socket, _) = within(SOON, "an answer", opening).await?;
    Ok(socket)
}

/// As [`try_wss`], where it works.
pub(crate) async fn wss(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> TlsSocket {
    match try_wss(address, name, config).await {
        Ok(socket) => socket,
        Err(error) => panic!("no session with {name}: {error}"),
    }
}

/// A backend within TLS that sends messages back and answers a Close.
pub(crate) struct TlsBackend {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsBackend {
    pub(crate) async fn echo(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let acceptor = TlsAcceptor::from(config);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream));
            }
        });
        Self { address, task }
    }

    /// Takes TLS off before a backend that speaks none.
    pub(crate) async fn before(backend: SocketAddr, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let acceptor = TlsAcceptor::from(config);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(join(acceptor.clone(), stream, backend));
            }
        });
        Self { address, task }
    }
}

impl Drop for TlsBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(acceptor: TlsAcceptor, stream: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut outer = acceptor.accept(stream).await?;
    let mut inner = TcpStream::connect(backend).await?;
    inner.set_nodelay(true)?;
    copy_bidirectional(&mut outer, &mut inner).await?;
    Ok(())
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    // A Close is answered when the socket is read on.
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Runs `openssl s_client` with nothing to say to this address; all that it prints.
pub(crate) async fn s_client(address: SocketAddr, arguments: &[&str]) -> String {
    let running = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(Duration::from_secs(20), arguments, running)
        .await
        .expect("openssl");
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Runs `curl`; the status that it got, and what came with it.
pub(crate) async fn curl(arguments: &[&str]) -> (String, String) {
    let running = Command::new("curl")
        .args(["-sS", "--max-time", "10", "-w", "\n%{http_code} %{http_version}"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(Duration::from_secs(20), arguments, running)
        .await
        .expect("curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or(("", &text));
    let error = String::from_utf8_lossy(&output.stderr);
    (status.to_owned(), format!("{body}{error}"))
}
