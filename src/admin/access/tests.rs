use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use axum::http::Request;

use super::*;

/// A token file that is gone with the test.
struct Secret(PathBuf);

impl Secret {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("longhaul-access-{}-{number}.token", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn file(&self) -> Arc<TokenFile> {
        TokenFile::new(Some(self.0.clone()))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn loopback(token: &Arc<TokenFile>) -> Rules {
    Rules::new("127.0.0.1:9901".parse().unwrap(), Arc::clone(token))
}

fn public(token: &Arc<TokenFile>) -> Rules {
    Rules::new("0.0.0.0:9901".parse().unwrap(), Arc::clone(token))
}

fn no_token() -> Arc<TokenFile> {
    TokenFile::new(None)
}

fn ask(rules: &Rules, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
    let request = Request::builder().method(method).uri(target);
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    rules.check(&request.body(()).unwrap().into_parts().0)
}

fn ask_host(rules: &Rules, host: &str) -> Result<(), Refusal> {
    ask(rules, "GET", "/api/services", &[("host", host)])
}

const LOCAL: (&str, &str) = ("host", "127.0.0.1:9901");
const REBOUND: (&str, &str) = ("host", "evil.example:9901");

#[test]
fn loopback_takes_loopback_names_only() {
    let rules = loopback(&no_token());
    for host in [
        "127.0.0.1:9901",
        "127.0.0.1",
        "localhost:9901",
        "LOCALHOST",
        "[::1]:9901",
        "127.3.2.1",
        "[::ffff:127.0.0.1]",
    ] {
        assert_eq!(ask_host(&rules, host), Ok(()), "{host}");
    }
    for host in [
        "evil.example:9901",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0:9901",
        "192.0.2.1",
        "[::]:9901",
        "localhost.",
    ] {
        assert_eq!(ask_host(&rules, host), Err(Refusal::ForeignHost), "{host}");
    }
}

#[test]
fn a_rebound_host_gets_nothing_on_any_path_even_with_the_token() {
    let secret = Secret::new("swordfish");
    let rules = loopback(&secret.file());
    let token = ("authorization", "Bearer swordfish");
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/console.js",
        "/api/sessions",
        "/demo",
        "/unknown",
    ] {
        assert_eq!(
            ask(&rules, "GET", path, &[REBOUND, token]),
            Err(Refusal::ForeignHost),
            "{path}"
        );
    }
    let answer = ask(&rules, "DELETE", "/api/sessions/1", &[REBOUND, token]);
    assert_eq!(answer, Err(Refusal::ForeignHost));
}

#[test]
fn a_host_that_could_be_read_two_ways_is_none() {
    let rules = loopback(&no_token());
    let ask = |target, headers: &[(&str, &str)]| ask(&rules, "GET", target, headers);
    assert_eq!(ask("/livez", &[]), Err(Refusal::NoHost));
    assert_eq!(ask("/livez", &[("host", "")]), Err(Refusal::NoHost));
    assert_eq!(ask("/livez", &[LOCAL, LOCAL]), Err(Refusal::NoHost));
    assert_eq!(
        ask("/livez", &[("host", "evil@127.0.0.1:9901")]),
        Err(Refusal::NoHost)
    );
    assert_eq!(ask("http://evil.example/livez", &[LOCAL]), Err(Refusal::NoHost));
    assert_eq!(ask("http://127.0.0.1:9901/livez", &[LOCAL]), Ok(()));
}

#[test]
fn only_http_1_0_may_come_without_a_host() {
    let rules = loopback(&no_token());
    let old = |headers: &[(&str, &str)]| {
        let request = Request::builder().version(Version::HTTP_10).uri("/livez");
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        rules.check(&request.body(()).unwrap().into_parts().0)
    };
    assert_eq!(old(&[]), Ok(()));
    assert_eq!(old(&[REBOUND]), Err(Refusal::ForeignHost));
    assert_eq!(
        old(&[("origin", "http://127.0.0.1:9901")]),
        Err(Refusal::ForeignOrigin)
    );
}

#[test]
fn another_origin_gets_nothing_even_with_the_token() {
    let secret = Secret::new("swordfish");
    let token = ("authorization", "Bearer swordfish");
    for rules in [loopback(&secret.file()), public(&secret.file())] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            let ask = |origin| {
                ask(
                    &rules,
                    method,
                    "/api/sessions",
                    &[LOCAL, token, ("origin", origin)],
                )
            };
            for origin in [
                "http://evil.example",
                "http://127.0.0.1:8080",
                "http://127.0.0.1",
                "http://localhost:9901",
                "http://127.0.0.1:9901.evil.example",
                "127.0.0.1:9901",
                "null",
                "",
            ] {
                assert_eq!(ask(origin), Err(Refusal::ForeignOrigin), "{method} from {origin}");
            }
            assert_eq!(ask("http://127.0.0.1:9901"), Ok(()));
            assert_eq!(ask("https://127.0.0.1:9901"), Ok(()));
        }
    }
    let two = [
        LOCAL,
        ("origin", "http://127.0.0.1:9901"),
        ("origin", "http://evil.example"),
    ];
    assert_eq!(
        ask(&loopback(&no_token()), "GET", "/", &two),
        Err(Refusal::ForeignOrigin)
    );
}

#[test]
fn changes_need_the_token_on_every_address_and_path() {
    let secret = Secret::new("swordfish\n");
    for rules in [loopback(&secret.file()), public(&secret.file())] {
        for method in ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "ODD"] {
            for path in ["/api/sessions/1", "/livez", "/metrics", "/unknown"] {
                let ask = |headers: &[(&str, &str)]| ask(&rules, method, path, &[&[LOCAL], headers].concat());
                assert_eq!(ask(&[]), Err(Refusal::WrongToken), "{method} {path}");
                assert_eq!(
                    ask(&[("authorization", "Bearer swordfish")]),
                    Ok(()),
                    "{method} {path}"
                );
            }
        }
    }
}

#[test]
fn only_the_whole_token_passes() {
    let secret = Secret::new("  swordfish\n");
    let rules = loopback(&secret.file());
    let ask = |value| ask(&rules, "POST", "/", &[LOCAL, ("authorization", value)]);
    for value in ["Bearer swordfish", "bearer swordfish", "BEARER  swordfish "] {
        assert_eq!(ask(value), Ok(()), "{value}");
    }
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer s",
        "Bearer swordfis",
        "Bearer swordfisH",
        "Bearer swordfishswordfish",
        "Bearer swordfish x",
        "Basic swordfish",
        "swordfish",
    ] {
        assert_eq!(ask(value), Err(Refusal::WrongToken), "{value}");
    }
}

#[test]
fn two_authorizations_are_none() {
    let secret = Secret::new("swordfish");
    let right = ("authorization", "Bearer swordfish");
    let answer = ask(&loopback(&secret.file()), "POST", "/", &[LOCAL, right, right]);
    assert_eq!(answer, Err(Refusal::WrongToken));
}

#[test]
fn without_a_token_file_nothing_can_be_changed() {
    let empty = ("authorization", "Bearer ");
    for rules in [loopback(&no_token()), public(&no_token())] {
        for headers in [&[LOCAL][..], &[LOCAL, empty]] {
            let answer = ask(&rules, "DELETE", "/api/sessions/1", headers);
            assert_eq!(answer, Err(Refusal::NoTokenFile));
        }
    }
}

#[test]
fn an_empty_or_missing_token_file_lets_nobody_in() {
    for text in ["", " \n"] {
        let secret = Secret::new(text);
        for given in ["Bearer ", "Bearer  "] {
            let answer = ask(
                &loopback(&secret.file()),
                "POST",
                "/",
                &[LOCAL, ("authorization", given)],
            );
            assert_eq!(answer, Err(Refusal::UnreadableToken));
        }
    }
    let missing = TokenFile::new(Some(Path::new("/nonexistent/token").to_path_buf()));
    let answer = ask(
        &loopback(&missing),
        "POST",
        "/",
        &[LOCAL, ("authorization", "Bearer x")],
    );
    assert_eq!(answer, Err(Refusal::UnreadableToken));
}

#[test]
fn a_replaced_token_counts_at_once() {
    let secret = Secret::new("first");
    let file = secret.file();
    let rules = loopback(&file);
    let ask = |value| ask(&rules, "POST", "/", &[LOCAL, ("authorization", value)]);
    assert_eq!(ask("Bearer first"), Ok(()));
    fs::write(&secret.0, "after").unwrap();
    assert_eq!(ask("Bearer first"), Err(Refusal::WrongToken));
    assert_eq!(ask("Bearer after"), Ok(()));
    let other = Secret::new("other");
    file.set(Some(other.0.clone()));
    assert_eq!(ask("Bearer other"), Ok(()));
    file.set(None);
    assert_eq!(ask("Bearer other"), Err(Refusal::NoTokenFile));
}

#[test]
fn elsewhere_reading_needs_the_token_too_except_probes_and_metrics() {
    let secret = Secret::new("swordfish");
    let rules = public(&secret.file());
    let host = ("host", "longhaul.default.svc:9901");
    for path in ["/livez", "/readyz", "/metrics", "/console.js", "/console.css"] {
        assert_eq!(ask(&rules, "GET", path, &[host]), Ok(()), "{path}");
    }
    for path in [
        "/",
        "/api/services",
        "/api/sessions",
        "/demo",
        "/unknown",
        "/livez/",
        "/livez/../api/services",
    ] {
        assert_eq!(
            ask(&rules, "GET", path, &[host]),
            Err(Refusal::WrongToken),
            "{path}"
        );
        let right = [host, ("authorization", "Bearer swordfish")];
        assert_eq!(ask(&rules, "GET", path, &right), Ok(()), "{path}");
    }
    assert_eq!(
        ask(&public(&no_token()), "GET", "/", &[host]),
        Err(Refusal::NoTokenFile)
    );
}

#[test]
fn on_loopback_reading_needs_no_token() {
    let mapped = Rules::new("[::ffff:127.0.0.1]:9901".parse().unwrap(), no_token());
    for rules in [loopback(&no_token()), mapped] {
        for path in ["/", "/api/services", "/api/sessions", "/livez"] {
            assert_eq!(ask(&rules, "GET", path, &[LOCAL]), Ok(()), "{path}");
            assert_eq!(ask(&rules, "HEAD", path, &[LOCAL]), Ok(()), "{path}");
        }
    }
}
