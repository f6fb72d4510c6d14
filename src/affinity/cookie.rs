//! The cookie that ties a browser to an endpoint: a random id with the tag of [`super::tag`].
//!
//! In: the request's `Cookie` fields. Out: what they say, and the `Set-Cookie` of an answer.
//!
//! - It is set on any answer of a backend, also a 101: a client's first request may be its WebSocket. Not on one by which
//!   the backend says that it cannot serve (502, 503, 504).
//! - It is set again when its endpoint is gone or another one has answered in its place, so that the next request
//!   follows the last.
//! - It lasts as long as the browser runs, and no script can read it. It is `Secure` whenever the client came over TLS,
//!   and where browsers take it with nothing else (`SameSite=None`, `Partitioned`).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    secrets::{Keyring, nonce},
    tag::{Flags, Kind, Opened},
};
use crate::config::{AffinityCookie, SameSite};

/// The first cookie of this name that a key made; without one, whether there was a forged one.
pub(super) fn read<'h>(
    headers: &'h HeaderMap,
    name: &str,
    open: impl Fn(&'h [u8]) -> Opened<'h>,
) -> Opened<'h> {
    let mut best = Opened::Plain;
    for value in values(headers, name) {
        match open(value) {
            tagged @ Opened::Tagged { flags, .. } if flags.kind == Kind::Cookie => return tagged,
            _ => best = Opened::Forged,
        }
    }
    best
}

/// The field that ties the browser to an endpoint from now on.
pub(super) fn set(
    cookie: &AffinityCookie,
    keyring: &Keyring,
    service: &str,
    identity: &discovery::Identity,
    tls: bool,
) -> Option<HeaderValue> {
    let id = nonce()?;
    let tag = keyring.tag(service, identity, Flags::of(Kind::Cookie), id.as_bytes())?;
    let mut text = format!("{}={id}{tag}; Path={}; HttpOnly", cookie.name, cookie.path);
    if let Some(domain) = &cookie.domain {
        text += "; Domain=";
        text += domain;
    }
    text += match cookie.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    };
    if tls || cookie.partitioned || cookie.same_site == SameSite::None {
        text += "; Secure";
    }
    if cookie.partitioned {
        text += "; Partitioned";
    }
    HeaderValue::try_from(text).ok()
}

/// Whether the client's own connection is encrypted, as the backend is told.
pub(super) fn is_tls(headers: &HeaderMap, listener: bool) -> bool {
    let first = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    listener
        || first(&X_FORWARDED_PROTO).is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
        || first(&header::FORWARDED).is_some_and(|chain| {
            let client = chain.split(',').next().unwrap_or_default();
            let mut pairs = client.split(';');
            pairs.any(|pair| pair.trim().eq_ignore_ascii_case("proto=https"))
        })
}

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

fn values<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b';'))
        .filter_map(move |pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            // Some clients put quotes around it.
            Some(
                value
                    .strip_prefix(b"\"")
                    .map_or(value, |inner| inner.strip_suffix(b"\"").unwrap_or(inner)),
            )
        })
}

#[cfg(test)]
mod tests {
    use discovery::Identity;

    use super::*;

    fn cookie(same_site: SameSite, partitioned: bool) -> AffinityCookie {
        AffinityCookie {
            name: "node".into(),
            path: "/".into(),
            domain: None,
            same_site,
            partitioned,
        }
    }

    fn ring() -> Keyring {
        Keyring::of([&[1; 32][..]])
    }

    fn written(cookie: &AffinityCookie, tls: bool) -> String {
        let value = set(cookie, &ring(), "chat", &Identity::from("pod:1"), tls).unwrap();
        value.to_str().unwrap().to_owned()
    }

    fn of(lines: &[&str]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|line| (header::COOKIE, HeaderValue::from_str(line).unwrap()));
        lines.collect()
    }

    #[test]
    fn what_is_set_is_read_back_from_among_others() {
        let text = written(&cookie(SameSite::Lax, false), false);
        let (pair, attributes) = text.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        let ring = ring();
        for lines in [
            &[pair][..],
            &["a=b; x=y", &format!("node2=1; {pair}; z")],
            &[&format!("node=stale;{pair}")],
            &[&pair.replace('=', "=\"").replacen("node", " node", 1)],
        ] {
            let headers = of(lines);
            let opened = read(&headers, "node", |text| ring.open("chat", text));
            assert!(matches!(opened, Opened::Tagged { .. }), "{lines:?}");
        }
        let headers = of(&["mynode=1; node2=2; Node=3"]);
        assert_eq!(
            read(&headers, "node", |text| ring.open("chat", text)),
            Opened::Plain
        );
        let headers = of(&[&pair.replacen("node=", "node=x", 1)]);
        assert_eq!(
            read(&headers, "node", |text| ring.open("chat", text)),
            Opened::Forged
        );
    }

    #[test]
    fn the_attributes_are_what_browsers_ask_for() {
        assert!(written(&cookie(SameSite::Strict, false), true).ends_with("; SameSite=Strict; Secure"));
        assert!(
            written(&cookie(SameSite::None, true), false).ends_with("; SameSite=None; Secure; Partitioned")
        );
        let scoped = AffinityCookie {
            path: "/chat".into(),
            domain: Some("example.com".into()),
            ..cookie(SameSite::Lax, false)
        };
        let text = written(&scoped, false);
        assert!(
            text.contains("; Path=/chat; HttpOnly; Domain=example.com; "),
            "{text}"
        );
    }

    #[test]
    fn a_client_came_over_tls_when_the_backend_is_told_so() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            headers
        };
        assert!(is_tls(&HeaderMap::new(), true) && !is_tls(&HeaderMap::new(), false));
        assert!(is_tls(&with("x-forwarded-proto", "https"), false));
        assert!(!is_tls(&with("x-forwarded-proto", "http"), false));
        assert!(is_tls(
            &with("forwarded", "for=1.2.3.4;proto=https, for=x"),
            false
        ));
        assert!(!is_tls(
            &with("forwarded", "for=1.2.3.4, for=x;proto=https"),
            false
        ));
    }
}
