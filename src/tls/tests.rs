use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, HandshakeKind, pki_types::ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client::TlsStream};
use webpki::EndEntityCert;

use super::*;
use crate::config::{ListenerTls, Pair, ServiceTls};

/// An authority and a folder for what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
    ca: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { issuer, folder, ca }
    }

    fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A certificate for these names, in files that begin with `file`.
    fn pair(&self, file: &str, names: &[&str]) -> Pair {
        self.pair_with(file, names, |_| {})
    }

    fn pair_with(&self, file: &str, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: self.write(&format!("{file}.crt"), &certificate.pem()),
            key: self.write(&format!("{file}.key"), &key.serialize_pem()),
        }
    }

    fn server(&self, pairs: &[Pair]) -> Server {
        Server::load(&listener(pairs, None), false).unwrap()
    }

    fn client(&self, own: Option<Pair>) -> Arc<ClientConfig> {
        let settings = ServiceTls {
            ca: Some(self.ca.clone()),
            server_name: None,
            own,
            skip_verify: false,
        };
        let target = Client::load(&settings)
            .unwrap()
            .target(Some("one.example.com"), true);
        target.config()
    }
}

fn listener(pairs: &[Pair], client_ca: Option<&Path>) -> ListenerTls {
    ListenerTls {
        certificates: pairs.to_vec(),
        client_ca: client_ca.map(Path::to_owned),
    }
}

/// Both ends of a connection, once both have said something.
async fn connected(
    server: &Server,
    client: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<(TlsStream<DuplexStream>, Arc<Certificate>)> {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::clone(client)).connect(name, near);
    let accepting = async {
        let (mut stream, certificate) = server.accept(far).await?;
        stream.write_all(b"!").await?;
        Ok::<_, std::io::Error>((stream, certificate))
    };
    let (client, server) = tokio::join!(connecting, accepting);
    let (_stream, certificate) = server?;
    let mut client = client?;
    // Tickets come with what is read.
    client.read_u8().await?;
    Ok((client, certificate))
}

fn why(result: Result<Server, BadFile>) -> String {
    result.expect_err("a file that cannot be used").to_string()
}

#[test]
fn a_name_in_a_certificate_comes_before_a_wildcard_and_the_first_stands_for_all_others() {
    let authority = Authority::new();
    let server = authority.server(&[
        authority.pair("0", &["first.test"]),
        authority.pair("1", &["*.example.com", "EXAMPLE.org"]),
        authority.pair("2", &["one.example.com", "example.com"]),
        authority.pair("3", &["*.example.com", "one.example.com"]),
    ]);
    for (name, expected) in [
        (Some("one.example.com"), 2),
        (Some("ONE.example.com"), 2),
        (Some("two.example.com"), 1),
        (Some("example.com"), 2),
        (Some("example.org"), 1),
        (Some("a.b.example.com"), 0),
        (Some("com"), 0),
        (Some("*.example.com"), 1),
        (Some("nobody.test"), 0),
        (Some("first.test"), 0),
        (None, 0),
    ] {
        assert_eq!(server.chosen(name), expected, "{name:?}");
    }
}

#[tokio::test]
async fn a_certificate_covers_its_names_wildcards_and_addresses_and_nothing_else() {
    let authority = Authority::new();
    let names = ["one.example.com", "*.example.org", "192.0.2.1", "2001:db8::1"];
    let server = authority.server(&[authority.pair("a", &names)]);
    let client = authority.client(None);
    let (_, certificate) = connected(&server, &client, "one.example.com").await.unwrap();
    for host in ["one.example.com", "a.example.org", "192.0.2.1", "[2001:db8::1]"] {
        assert!(certificate.covers(host), "{host}");
    }
    for host in [
        "example.com",
        "two.example.com",
        "example.org",
        "a.b.example.org",
        "192.0.2.2",
        "[::1]",
        "",
        "[",
    ] {
        assert!(!certificate.covers(host), "{host}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named_and_never_quoted() {
    let authority = Authority::new();
    let good = authority.pair("good", &["a.test"]);
    authority.pair("other", &["b.test"]);
    let text = std::fs::read_to_string(&good.certificate).unwrap();
    let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    authority.write("half.crt", &text[..text.len() / 2]);
    authority.write("empty.crt", "");
    authority.write("empty.key", "");
    authority.write("broken.key", broken);
    let unfit = "is not the certificate of the key";
    for (certificate, key, file, words) in [
        ("good.crt", "other.key", "good.crt: ", unfit),
        ("other.crt", "good.key", "other.crt: ", unfit),
        ("half.crt", "good.key", "half.crt: ", ""),
        ("empty.crt", "good.key", "empty.crt: ", "holds no certificate"),
        ("good.key", "good.key", "good.key: ", "holds no certificate"),
        ("none.crt", "good.key", "none.crt: ", "No such file"),
        ("good.crt", "empty.key", "empty.key: ", "holds no private key"),
        ("good.crt", "none.key", "none.key: ", "cannot be read"),
        ("good.crt", "broken.key", "broken.key: ", ""),
    ] {
        let pair = Pair {
            certificate: authority.folder.path().join(certificate),
            key: authority.folder.path().join(key),
        };
        let why = why(Server::load(&listener(&[pair], None), false));
        assert!(why.contains(file) && why.contains(words), "{why}");
        assert!(!why.contains("c2VjcmV0") && !why.contains("secret"), "{why}");
    }
}

#[test]
fn who_may_be_a_client_is_never_nobody_in_particular() {
    let authority = Authority::new();
    let pair = [authority.pair("good", &["a.test"])];
    let empty = authority.write("empty.pem", "");
    let missing = authority.folder.path().join("none.pem");
    for file in [empty, missing, pair[0].key.clone()] {
        let name = file.file_name().unwrap().to_str().unwrap();
        let why = why(Server::load(&listener(&pair, Some(&file)), false));
        assert!(why.contains(name), "{why}");
    }
}

#[test]
fn a_certificate_says_when_its_time_has_not_come_or_is_over() {
    let authority = Authority::new();
    let wrong = |pair: &Pair| {
        let certified = files::certified(pair).unwrap();
        files::wrong_dates(&EndEntityCert::try_from(&certified.cert[0]).unwrap())
    };
    let over = authority.pair_with("over", &["a.test"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    assert_eq!(wrong(&over), Some("a certificate has expired"));
    let early = authority.pair_with("early", &["a.test"], |params| {
        params.not_before = rcgen::date_time_ymd(3000, 1, 1);
    });
    assert_eq!(wrong(&early), Some("a certificate is not valid yet"));
    assert_eq!(wrong(&authority.pair("good", &["a.test"])), None);
}

#[tokio::test]
async fn a_session_is_resumed_where_it_began_and_nowhere_else() {
    let authority = Authority::new();
    let pairs = [
        authority.pair("one", &["one.example.com", "both.example.com"]),
        authority.pair("two", &["two.example.com"]),
    ];
    let server = authority.server(&pairs);
    let client = authority.client(None);
    let kind = async |server: &Server, name| {
        let (stream, _) = connected(server, &client, name).await.unwrap();
        stream.get_ref().1.handshake_kind().unwrap()
    };
    assert_eq!(kind(&server, "one.example.com").await, HandshakeKind::Full);
    assert_eq!(kind(&server, "one.example.com").await, HandshakeKind::Resumed);
    // The same files, on another listener or read again.
    let again = authority.server(&pairs);
    assert_eq!(kind(&again, "one.example.com").await, HandshakeKind::Full);
    // What was resumed on one is of no use under the name of another.
    let swapped = authority.server(&[authority.pair("both", &["one.example.com", "two.example.com"])]);
    assert_eq!(kind(&swapped, "two.example.com").await, HandshakeKind::Full);
    assert_eq!(kind(&server, "two.example.com").await, HandshakeKind::Full);
}

#[tokio::test]
async fn where_clients_need_a_certificate_they_show_it_every_time() {
    let authority = Authority::new();
    let pair = [authority.pair("one", &["one.example.com"])];
    let server = Server::load(&listener(&pair, Some(&authority.ca)), false).unwrap();
    let client = authority.client(Some(authority.pair("client", &["client.test"])));
    for _ in 0..2 {
        let (stream, _) = connected(&server, &client, "one.example.com").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
    let nobody = connected(&server, &authority.client(None), "one.example.com").await;
    assert!(nobody.is_err());
    let strangers = Authority::new();
    let mut stranger = authority.client(None);
    let own = files::certified(&strangers.pair("stranger", &["client.test"])).unwrap();
    let resolver = rustls::sign::SingleCertAndKey::from(own);
    Arc::make_mut(&mut stranger).client_auth_cert_resolver = Arc::new(resolver);
    assert!(connected(&server, &stranger, "one.example.com").await.is_err());
}

#[test]
fn an_endpoint_is_known_by_the_configured_name_then_by_the_host_then_by_its_address() {
    let settings = |server_name: Option<&'static str>| ServiceTls {
        ca: None,
        server_name: server_name.map(|name| name.try_into().unwrap()),
        own: None,
        skip_verify: true,
    };
    let named = Client::load(&settings(Some("chat.internal"))).unwrap();
    let unnamed = Client::load(&settings(None)).unwrap();
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    for (client, host, theirs, expected, blames) in [
        (&named, Some("evil.test"), true, Some("chat.internal"), true),
        (&unnamed, Some("Evil.test:8443"), true, Some("evil.test"), false),
        (&unnamed, Some("ours.test"), false, Some("ours.test"), true),
        (&unnamed, Some("ours.test."), false, Some("ours.test"), true),
        (&unnamed, Some("192.0.2.1"), true, None, true),
        (&unnamed, Some("192.0.2.1:443"), true, None, true),
        (&unnamed, Some("[::1]:443"), true, None, true),
        (&unnamed, Some("not a name"), true, None, true),
        (&unnamed, None, true, None, true),
    ] {
        let target = client.target(host, theirs);
        assert_eq!(target.name(), expected.map(str::to_owned), "{host:?}");
        assert_eq!(target.blames_endpoint(&reset), blames, "{host:?}");
    }
}

#[test]
fn a_connection_serves_another_handshake_only_for_the_same_name_by_the_same_files() {
    let settings = ServiceTls {
        ca: None,
        server_name: None,
        own: None,
        skip_verify: true,
    };
    let [before, after] = [(); 2].map(|()| Client::load(&settings).unwrap());
    let target = before.target(Some("a.test"), true);
    assert_eq!(target, before.target(Some("A.test:443"), false));
    assert_ne!(target, before.target(Some("b.test"), true));
    assert_ne!(target, before.target(None, true));
    assert_ne!(target, after.target(Some("a.test"), true));
}

#[test]
fn what_an_endpoint_says_of_our_certificate_is_not_its_fault() {
    use rustls::{AlertDescription, CertificateError, Error};
    let io = |error: Error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    let ours = io(Error::AlertReceived(AlertDescription::CertificateRequired));
    let theirs = io(Error::InvalidCertificate(CertificateError::UnknownIssuer));
    let refused = io(Error::AlertReceived(AlertDescription::HandshakeFailure));
    assert_eq!(
        [&ours, &theirs, &refused].map(refuses_our_certificate),
        [true, false, false]
    );
}
