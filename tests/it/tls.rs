//! TLS with clients: which certificate they see, who gets in, what they may ask for, and files that change under them.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

const LISTENER: &str = "tls: { certificate: tls.crt, key: tls.key }";
const NAME: &str = "chat.example.com";

/// A router whose listener has these keys and finds these files.
async fn start(config: Config, files: &[(&str, &str)]) -> Router {
    let dir = Dir::new();
    for (name, text) in files {
        dir.replace(name, text);
    }
    let path = dir.replace("longhaul.yaml", &config.text());
    Router::start_at(dir, &path).await
}

/// A router with one certificate, for [`NAME`] and 127.0.0.1, before an echo backend; and who believes it.
async fn one(listener: &str) -> (Router, Backend, Authority, Arc<ClientConfig>) {
    let authority = Authority::new("authority");
    let own = authority.certify(&[NAME, "127.0.0.1"]);
    let backend = Backend::echo().await;
    let config = Config::to(&[&backend]).listener(listener);
    let files = [
        ("tls.crt", &*own.certificate),
        ("tls.key", &own.key),
        ("ca.pem", &authority.pem),
    ];
    let router = start(config, &files).await;
    let client = authority.client(None);
    (router, backend, authority, client)
}

/// The subject of the certificate that is shown under a name.
async fn subject(router: &Router, name: Option<&str>) -> String {
    let naming = match name {
        Some(name) => vec!["-servername", name],
        None => vec!["-noservername"],
    };
    let text = s_client(router.address(), &naming).await;
    let subject = text.lines().find_map(|line| line.strip_prefix("subject="));
    let Some(subject) = subject else {
        panic!("no certificate: {text}")
    };
    subject.rsplit('=').next().unwrap_or_default().trim().to_owned()
}

async fn handshakes(router: &Router, result: &str, count: f64) {
    router
        .metric_becomes("longhaul_tls_handshakes_total", &[("result", result)], count)
        .await;
}

#[test]
fn each_name_gets_its_certificate_and_who_names_none_the_first() {
    run(async {
        let authority = Authority::new("authority");
        let certified = [
            authority.certify(&["first.test"]),
            authority.certify(&["*.example.com"]),
            authority.certify(&["chat.example.com"]),
        ];
        let backend = Backend::echo().await;
        let pair = |n: usize| format!("{{ certificate: {n}.crt, key: {n}.key }}");
        let tls = format!("tls: {{ certificates: [{}, {}, {}] }}", pair(0), pair(1), pair(2));
        let dir = Dir::new();
        for (n, own) in certified.iter().enumerate() {
            dir.replace(&format!("{n}.crt"), &own.certificate);
            dir.replace(&format!("{n}.key"), &own.key);
        }
        let path = dir.replace("longhaul.yaml", &Config::to(&[&backend]).listener(&tls).text());
        let router = Router::start_at(dir, &path).await;
        for (name, expected) in [
            (Some("chat.example.com"), "chat.example.com"),
            (Some("other.example.com"), "*.example.com"),
            (Some("a.b.example.com"), "first.test"),
            (Some("first.test"), "first.test"),
            (Some("unknown.test"), "first.test"),
            (None, "first.test"),
        ] {
            assert_eq!(subject(&router, name).await, expected, "{name:?}");
        }
        // A client that verifies what it is shown, under each name.
        for name in ["first.test", "other.example.com", "chat.example.com"] {
            let mut socket = wss(router.address(), name, &authority.client(None)).await;
            socket.send(Message::text(name)).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(name));
        }
    });
}

#[test]
fn a_request_for_a_host_that_the_certificate_does_not_cover_gets_421() {
    run(async {
        let (router, backend, _, client) = one(LISTENER).await;
        for (host, status) in [
            (NAME, "101"),
            ("CHAT.example.com:8443", "101"),
            ("127.0.0.1", "101"),
            ("127.0.0.2", "421"),
            ("other.example.com", "421"),
            ("example.com", "421"),
        ] {
            let mut stream = tls_connect(router.address(), NAME, &client).await.unwrap();
            let request = Request::upgrade("/").with("Host", host);
            stream.write_all(&request.bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer[9..], status.as_bytes(), "{host}");
        }
        assert_eq!(backend.accepted(), 3, "no backend is asked for the others");
        let labels = [("outcome", "misdirected"), ("route", "none")];
        router
            .metric_becomes("longhaul_handshakes_total", &labels, 3.0)
            .await;
        // Without SNI the first certificate is in use, and a host that it covers is fine.
        let (address, ca) = (router.address(), router.dir.path("ca.pem"));
        let url = format!("https://{address}/");
        let arguments = ["--cacert", ca.to_str().unwrap(), &url];
        let (status, text) = curl(&arguments).await;
        assert_eq!(status, "200 2", "{text}");
    });
}

#[test]
fn on_a_shared_connection_a_host_that_is_not_covered_gets_421_and_the_others_go_on() {
    run(async {
        let backend = Backend::echo().await;
        let entry = Door::Http2Tls.open(Config::to(&[&backend])).await;
        let mut visitor = entry.visitor().await;
        let mut session = visitor.start(&Request::upgrade("/")).await;
        assert_eq!(session.head().await.unwrap().status(), 200);
        for request in [Request::upgrade("/"), Request::plain("/")] {
            let mut client = visitor.ask(&request.with("Host", "other.example.com")).await;
            assert_eq!(client.response().await.status(), 421);
            session.echoes("not my fault").await;
        }
        handshakes(&entry.router, "ok", 1.0).await;
        assert_eq!(backend.accepted(), 1);
    });
}

#[test]
fn a_handshake_is_resumed_under_its_own_name_only_and_never_renegotiated() {
    run(async {
        let authority = Authority::new("authority");
        let own = authority.certify(&["a.example.com", "b.example.com"]);
        let backend = Backend::echo().await;
        let config = Config::to(&[&backend]).listener(LISTENER);
        let router = start(config, &[("tls.crt", &own.certificate), ("tls.key", &own.key)]).await;
        let file = router.dir.path("session");
        let file = file.to_str().unwrap();
        let began = s_client(
            router.address(),
            &["-tls1_2", "-servername", "a.example.com", "-sess_out", file],
        )
        .await;
        assert!(began.contains("New, TLSv1.2"), "{began}");
        // rustls has no renegotiation at all, so there is none that a client could begin.
        assert!(began.contains("Secure Renegotiation IS supported"), "{began}");
        for (name, word) in [
            ("a.example.com", "Reused, TLSv1.2"),
            ("b.example.com", "New, TLSv1.2"),
        ] {
            let text = s_client(
                router.address(),
                &["-tls1_2", "-servername", name, "-sess_in", file],
            )
            .await;
            assert!(text.contains(word), "{name}: {text}");
        }
    });
}

#[test]
fn backends_are_told_that_it_was_https() {
    run(async {
        let authority = Authority::new("authority");
        let own = authority.certify(&[NAME]);
        let backend = Backend::manual().await;
        let config = Config::over(&[&backend], "", "forwarded: both").listener(LISTENER);
        let router = start(config, &[("tls.crt", &own.certificate), ("tls.key", &own.key)]).await;
        let client = authority.client(None);
        let mut stream = tls_connect(router.address(), NAME, &client).await.unwrap();
        stream.write_all(&Request::upgrade("/").bytes()).await.unwrap();
        let head = backend.arrival().await.accept_upgrade().await;
        assert_eq!(head.value("x-forwarded-proto"), Some("https"));
        let port = router.address().port().to_string();
        assert_eq!(head.value("x-forwarded-port"), Some(&*port));
        let forwarded = head.value("forwarded").unwrap();
        assert!(forwarded.contains("proto=https"), "{forwarded}");
    });
}

#[test]
fn http_2_is_offered_unless_it_is_off_and_nothing_older_than_tls_1_2_is_spoken() {
    run(async {
        let offer = ["-alpn", "h2,http/1.1"];
        let (other, _backend, ..) = one(&format!("{LISTENER}, http2: false")).await;
        let agreed = s_client(other.address(), &offer).await;
        assert!(agreed.contains("ALPN protocol: http/1.1"), "{agreed}");
        let (router, _backend, ..) = one(LISTENER).await;
        let address = router.address();
        let agreed = s_client(address, &offer).await;
        assert!(agreed.contains("ALPN protocol: h2"), "{agreed}");
        for (version, arguments) in [("TLSv1.2", &["-tls1_2"][..]), ("TLSv1.3", &["-tls1_3"])] {
            let text = s_client(address, arguments).await;
            assert!(text.contains(&format!("New, {version}")), "{text}");
        }
        handshakes(&router, "ok", 3.0).await;
        let unknown = s_client(address, &["-alpn", "mqtt"]).await;
        assert!(unknown.contains("no application protocol"), "{unknown}");
        handshakes(&router, "incompatible", 1.0).await;
        // OpenSSL itself speaks these only at its lowest level of security.
        for old in ["-tls1", "-tls1_1"] {
            let text = s_client(address, &[old, "-cipher", "ALL:@SECLEVEL=0"]).await;
            assert!(
                text.contains("New, (NONE)") && text.contains("SSL alert number"),
                "{text}"
            );
        }
        handshakes(&router, "incompatible", 3.0).await;
        let early = s_client(address, &["-tls1_3"]).await;
        assert!(!early.contains("Max Early Data: 1"), "{early}");
    });
}

#[test]
fn who_is_slow_or_speaks_no_tls_is_closed_and_counted() {
    run(async {
        let backend = Backend::echo().await;
        let own = Authority::new("authority").certify(&[NAME]);
        let config = Config::to(&[&backend])
            .listener(LISTENER)
            .line("limits: { request_deadline: 700ms }");
        let router = start(config, &[("tls.crt", &own.certificate), ("tls.key", &own.key)]).await;

        let mut plain = Conn::connect(router.address()).await;
        plain.write(&Request::upgrade("/").bytes()).await;
        let (answer, _) = plain.rest().await;
        assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
        handshakes(&router, "not_tls", 1.0).await;

        let mut gone = Conn::connect(router.address()).await;
        gone.write(b"\x16\x03\x01").await;
        gone.finish().await;
        handshakes(&router, "client_gone", 1.0).await;

        // The beginning of a record with a ClientHello, and then nothing.
        let mut slow = Conn::connect(router.address()).await;
        let started = tokio::time::Instant::now();
        slow.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").await;
        slow.rest().await;
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        handshakes(&router, "timeout", 1.0).await;

        // One deadline for TLS and for the request: the handshake does not start it anew.
        let mut silent = Conn::connect(router.address()).await;
        let started = tokio::time::Instant::now();
        silent.rest().await;
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        handshakes(&router, "timeout", 2.0).await;

        // A hello that says it is longer than any.
        let mut large = Conn::connect(router.address()).await;
        large.write(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff").await;
        large.try_write(&[0; 16 * 1024]).await.ok();
        large.rest().await;
        handshakes(&router, "invalid", 1.0).await;
        assert_eq!(backend.accepted(), 0);
    });
}

#[test]
fn with_a_client_ca_only_its_clients_get_in() {
    run(async {
        let (router, backend, authority, nobody) =
            one("tls: { certificate: tls.crt, key: tls.key, client_ca: ca.pem }").await;
        let member = authority.certify(&["client.test"]);
        let stranger = Authority::new("strangers").certify(&["client.test"]);
        let mut session = wss(router.address(), NAME, &authority.client(Some(&member))).await;
        session.send(Message::text("in")).await.unwrap();
        assert_eq!(session.next().await.unwrap().unwrap(), Message::text("in"));
        for (count, client) in [(1.0, nobody), (2.0, authority.client(Some(&stranger)))] {
            let refused = try_wss(router.address(), NAME, &client).await;
            assert!(refused.is_err());
            handshakes(&router, "client_certificate", count).await;
        }
        assert_eq!(backend.accepted(), 1);

        // The file is emptied, then gone: what was believed is believed, and nobody else.
        for text in ["", "nonsense"] {
            router.dir.replace("ca.pem", text);
            let kept = |line: &serde_json::Value| {
                let error = line["error"].as_str().unwrap_or_default();
                line["message"] == "TLS files cannot be used; the ones before stay"
                    && error.contains("ca.pem")
            };
            router.log.wait("a line about the file", 1, kept).await;
        }
        std::fs::remove_file(router.dir.path("ca.pem")).unwrap();
        router
            .reload(
                &Config::to(&[&backend])
                    .listener("tls: { certificate: tls.crt, key: tls.key, client_ca: ca.pem }"),
            )
            .await;
        let refused = try_wss(router.address(), NAME, &authority.client(None)).await;
        assert!(refused.is_err());
        wss(router.address(), NAME, &authority.client(Some(&member))).await;
    });
}

#[test]
fn files_that_cannot_be_used_stop_the_start_and_the_reload_that_brings_them() {
    run(async {
        let (router, backend, authority, client) = one(LISTENER).await;
        let config = |tls: &str| Config::to(&[&backend]).listener(tls);
        for (tls, file) in [
            ("tls: { certificate: none.crt, key: tls.key }", "none.crt"),
            ("tls: { certificate: tls.crt, key: tls.crt }", "tls.crt"),
            (
                "tls: { certificate: tls.crt, key: tls.key, client_ca: none.pem }",
                "none.pem",
            ),
            (
                "tls: { certificate: tls.crt, key: tls.key, client_ca: tls.key }",
                "tls.key",
            ),
        ] {
            router.dir.replace("other.yaml", &config(tls).text());
            let other = router.dir.path("other.yaml");
            let ended = longhaul(&["run", "--config", other.to_str().unwrap()]).await;
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(ended.status.code(), Some(1), "{said}");
            assert!(said.contains("cannot use the TLS files of listener"), "{said}");
            assert!(said.contains(file) && !said.contains("BEGIN"), "{said}");

            router.reload(&config(tls)).await;
            let labels = [("result", "ok")];
            let reloads = router
                .metrics()
                .await
                .sum("longhaul_config_reloads_total", &labels);
            assert_eq!(reloads, 0.0, "{tls}");
            wss(router.address(), NAME, &client).await;
        }
        drop(authority);
    });
}

#[test]
fn a_pair_is_replaced_under_live_sessions_and_half_of_one_is_not() {
    run(async {
        let (router, _backend, authority, client) = one(LISTENER).await;
        let mut sessions = Vec::new();
        for _ in 0..20 {
            sessions.push(wss(router.address(), NAME, &client).await);
        }
        assert_eq!(subject(&router, Some(NAME)).await, NAME);
        let new = authority.certify(&["new.example.com", NAME]);

        // The key first: for now the two do not fit.
        router.dir.replace("tls.key", &new.key);
        let lines = |count, words: &'static str| {
            let kept = move |line: &serde_json::Value| {
                let error = line["error"].as_str().unwrap_or_default();
                line["message"] == "TLS files cannot be used; the ones before stay" && error.contains(words)
            };
            router.log.wait(words, count, kept)
        };
        lines(1, "is not the certificate of the key").await;
        assert_eq!(subject(&router, Some(NAME)).await, NAME);
        // Half of the new certificate.
        router
            .dir
            .replace("tls.crt", &new.certificate[..new.certificate.len() / 2]);
        lines(2, "tls.crt").await;
        assert_eq!(subject(&router, Some(NAME)).await, NAME);
        wss(router.address(), NAME, &client).await;

        router.dir.replace("tls.crt", &new.certificate);
        let started = tokio::time::Instant::now();
        eventually(Duration::from_secs(5), "the new certificate", || async {
            (subject(&router, Some(NAME)).await == "new.example.com").then_some(())
        })
        .await;
        println!("new handshakes saw it after {:?}", started.elapsed());
        for session in &mut sessions {
            session.send(Message::text("still")).await.unwrap();
            assert_eq!(session.next().await.unwrap().unwrap(), Message::text("still"));
        }
        // Only the check for half a pair has opened and closed one.
        assert!(router.log.all("session ended").len() <= 1);
    });
}

#[test]
fn an_expired_certificate_is_in_use_and_said_to_be_expired() {
    run(async {
        let authority = Authority::new("authority");
        let own = authority.certify_until(&[NAME], 2020);
        let backend = Backend::echo().await;
        let config = Config::to(&[&backend]).listener(LISTENER);
        let router = start(config, &[("tls.crt", &own.certificate), ("tls.key", &own.key)]).await;
        let told = router.log.all("a certificate has expired");
        assert_eq!(told.len(), 1);
        assert!(told[0]["file"].as_str().unwrap().ends_with("tls.crt"));
        // It is the client that does not take it, and says so.
        let refused = try_wss(router.address(), NAME, &authority.client(None)).await;
        assert!(refused.is_err());
        handshakes(&router, "refused_by_client", 1.0).await;
    });
}

#[test]
fn a_reload_can_begin_and_end_tls_and_sessions_stay() {
    run(async {
        let (router, backend, _, client) = one(LISTENER).await;
        let mut secured = wss(router.address(), NAME, &client).await;
        router.reload(&Config::to(&[&backend])).await;
        let mut plain = open(&router).await;
        router.reload(&Config::to(&[&backend]).listener(LISTENER)).await;
        wss(router.address(), NAME, &client).await;
        plain.echoes("plain").await;
        secured.send(Message::text("secured")).await.unwrap();
        assert_eq!(secured.next().await.unwrap().unwrap(), Message::text("secured"));
    });
}

#[test]
fn a_client_that_asks_for_nothing_is_told_the_end_within_tls() {
    run(async {
        let backend = Backend::echo().await;
        let authority = Authority::new("authority");
        let own = authority.certify(&[NAME]);
        let config = Config::to(&[&backend])
            .listener(LISTENER)
            .line("limits: { request_deadline: 1s }");
        let router = start(config, &[("tls.crt", &own.certificate), ("tls.key", &own.key)]).await;
        let mut client = tls_connect(router.address(), NAME, &authority.client(None))
            .await
            .expect("TLS");
        // Without close_notify this is an error: the rest might have been cut off.
        let read = within(SOON, "the end", client.read(&mut [0; 1])).await;
        assert_eq!(read.expect("a proper end"), 0);
    });
}
