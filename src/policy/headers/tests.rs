use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::Request;
use ipnet::IpNet;
use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    config::{Forwarded, SessionLimits},
    listen::handshake::classify,
    route::{HostPattern, PathPattern, Pattern},
};

const CLIENT: &str = "198.51.100.7:5000";
const PROXY: &str = "10.0.0.9:5000";

fn route(forwarded: Forwarded, host: HostRewrite) -> Route {
    let path = PathPattern::parse("/{*rest}").unwrap();
    Route {
        name: "r".into(),
        pattern: Pattern::new(HostPattern::any(), path, vec![], vec![], false),
        service: "chat".into(),
        rewrite: None,
        host,
        forwarded,
        origins: None,
        cors: None,
        session: SessionLimits {
            idle_timeout: Duration::from_secs(3600),
            max_lifetime: None,
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
        },
    }
}

fn peer(address: &str) -> Peer {
    let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::/32"]
        .map(|net| net.parse().unwrap())
        .into();
    Peer::new(
        address.parse().unwrap(),
        &Arc::new(Forwarding::new(8443, true, &trusted)),
    )
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| -> (HeaderName, HeaderValue) {
        (
            name.parse().unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().map(pair) {
        headers.append(name, value);
    }
    headers
}

fn websocket() -> Kind {
    let request = Request::get("/")
        .header("host", "a")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    classify(&request.body(()).unwrap().into_parts().0).unwrap()
}

/// The fields of `headers` by this name, in order.
fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

fn sent(from: &str, forwarded: Forwarded, fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = map(fields);
    to_backend(
        &mut headers,
        &peer(from),
        &route(forwarded, HostRewrite::Preserve),
        Kind::Plain,
    );
    headers
}

#[test]
fn what_belongs_to_the_connection_goes_and_the_upgrade_is_said_anew() {
    let mut headers = map(&[
        ("host", "chat.example.com"),
        ("connection", "keep-alive, Upgrade, X-Secret"),
        ("connection", "x-other"),
        ("upgrade", "WebSocket"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("proxy-authorization", "x"),
        ("http2-settings", "x"),
        ("content-length", "0"),
        ("x-secret", "1"),
        ("X-Other", "2"),
        ("x-kept", "3"),
    ]);
    to_backend(
        &mut headers,
        &peer(CLIENT),
        &route(Forwarded::None, HostRewrite::Preserve),
        websocket(),
    );
    let names: BTreeSet<&str> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(
        names,
        BTreeSet::from(["connection", "host", "upgrade", "x-kept", "x-request-id"])
    );
    assert_eq!(all(&headers, "connection"), ["Upgrade"]);
    assert_eq!(all(&headers, "upgrade"), ["websocket"]);
}

#[test]
fn only_trailers_of_te_is_passed_on_and_nominated() {
    let headers = sent(
        CLIENT,
        Forwarded::None,
        &[("te", "gzip;q=0.5, Trailers"), ("connection", "te, upgrade")],
    );
    assert_eq!(
        (all(&headers, "te"), all(&headers, "connection")),
        (vec!["trailers"], vec!["te"])
    );
    let headers = sent(CLIENT, Forwarded::None, &[("te", "gzip"), ("connection", "te")]);
    assert!(!headers.contains_key("te") && !headers.contains_key("connection"));
}

#[test]
fn no_nomination_reaches_what_is_judged_or_set() {
    // CVE-2021-32813, CVE-2024-45410, CVE-2026-29054: the client has the proxy's own fields removed.
    let managed = [
        "X-Forwarded-For",
        "x-forwarded-host",
        "X-FORWARDED-PROTO",
        "x-forwarded-port",
        "Forwarded",
        "x-real-ip",
        "X-Request-Id",
        "Host",
        "cookie",
        "Authorization",
        "origin",
        "Sec-WebSocket-Key",
        "content-type",
    ];
    for from in [CLIENT, PROXY] {
        for kind in [Kind::Plain, websocket()] {
            let mut headers = map(&managed.map(|name| (name, "v")));
            headers.insert("connection", managed.join(",").parse().unwrap());
            to_backend(
                &mut headers,
                &peer(from),
                &route(Forwarded::Both, HostRewrite::Preserve),
                kind,
            );
            for name in managed {
                assert!(headers.contains_key(name), "{name} from {from}");
            }
        }
    }
}

#[test]
fn what_an_untrusted_peer_says_is_replaced() {
    let lies = [
        ("host", "chat.example.com:8443"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/admin"),
        ("x-real-ip", "1.1.1.1"),
        ("x-request-id", "mine"),
        ("forwarded", "for=1.1.1.1"),
    ];
    let headers = sent(CLIENT, Forwarded::Both, &lies);
    assert_eq!(all(&headers, "x-forwarded-for"), ["198.51.100.7"]);
    assert_eq!(all(&headers, "x-forwarded-host"), ["chat.example.com:8443"]);
    assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&headers, "x-forwarded-port"), ["8443"]);
    assert_eq!(all(&headers, "x-real-ip"), ["198.51.100.7"]);
    assert_eq!(
        all(&headers, "forwarded"),
        [r#"for=198.51.100.7;host="chat.example.com:8443";proto=https"#]
    );
    assert!(!headers.contains_key("x-forwarded-prefix"));
    let id = all(&headers, "x-request-id");
    assert!(
        id.len() == 1 && id[0].len() == 32 && id[0].bytes().all(|b| b.is_ascii_hexdigit()),
        "{id:?}"
    );
}

#[test]
fn a_trusted_proxy_is_believed_and_its_own_address_appended() {
    let said = [
        ("host", "chat.internal"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2, 10.0.0.1"),
        ("x-forwarded-host", "chat.example.com"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/app"),
        ("x-real-ip", "2.2.2.2"),
        ("x-request-id", "7-a"),
        ("forwarded", "for=2.2.2.2;proto=https"),
    ];
    let headers = sent(PROXY, Forwarded::Both, &said);
    assert_eq!(
        all(&headers, "x-forwarded-for"),
        ["1.1.1.1, 2.2.2.2, 10.0.0.1, 10.0.0.9"]
    );
    assert_eq!(all(&headers, "x-forwarded-host"), ["chat.example.com"]);
    assert_eq!(all(&headers, "x-forwarded-port"), ["443"]);
    assert_eq!(all(&headers, "x-forwarded-prefix"), ["/app"]);
    assert_eq!(all(&headers, "x-real-ip"), ["2.2.2.2"]);
    assert_eq!(all(&headers, "x-request-id"), ["7-a"]);
    assert_eq!(
        all(&headers, "forwarded"),
        ["for=2.2.2.2;proto=https, for=10.0.0.9;host=chat.internal;proto=https"]
    );
}

#[test]
fn a_family_that_the_route_does_not_set_is_dropped() {
    let said = [
        ("forwarded", "for=2.2.2.2"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-real-ip", "2.2.2.2"),
    ];
    for (mode, x, standard) in [
        (Forwarded::XForwarded, true, false),
        (Forwarded::Forwarded, false, true),
        (Forwarded::Both, true, true),
        (Forwarded::None, false, false),
    ] {
        for from in [PROXY, CLIENT] {
            let headers = sent(from, mode, &said);
            assert_eq!(headers.contains_key("x-forwarded-for"), x, "{mode:?} {from}");
            assert_eq!(headers.contains_key("x-real-ip"), x, "{mode:?} {from}");
            assert_eq!(headers.contains_key("forwarded"), standard, "{mode:?} {from}");
        }
    }
}

#[test]
fn a_trusted_chain_in_the_other_family_is_translated() {
    let said = [
        ("host", "chat.internal"),
        ("x-forwarded-for", "2001:db9::1, junk, 1.2.3.4:99"),
        ("x-forwarded-host", "chat\"x"),
        ("x-forwarded-proto", "https"),
    ];
    let headers = sent(PROXY, Forwarded::Forwarded, &said);
    let expected = r#"for="[2001:db9::1]";host="chat\"x";proto=https, for=unknown, for=1.2.3.4, for=10.0.0.9;host=chat.internal;proto=https"#;
    assert_eq!(all(&headers, "forwarded"), [expected]);
}

#[test]
fn aliases_with_underscores_are_dropped_whoever_sent_them() {
    let aliases = [
        "x_forwarded_for",
        "X-Forwarded_Proto",
        "x_real_ip",
        "x_request_id",
        "transfer_encoding",
        "content_length",
        "sec_websocket_key",
        "keep_alive",
        "proxy_connection",
    ];
    for from in [CLIENT, PROXY] {
        let mut fields = aliases.map(|name| (name, "v")).to_vec();
        fields.extend([("x_custom", "v"), ("x_real_ipv", "v"), ("_", "v")]);
        let headers = sent(from, Forwarded::XForwarded, &fields);
        assert!(
            aliases.iter().all(|name| !headers.contains_key(*name)),
            "{headers:?}"
        );
        assert!(
            ["x_custom", "x_real_ipv", "_"]
                .iter()
                .all(|name| headers.contains_key(*name)),
            "{headers:?}"
        );
    }
}

#[test]
fn the_client_is_the_first_untrusted_address_from_the_right() {
    let client = |from: &str, chain: &str| peer(from).client(&map(&[("x-forwarded-for", chain)])).to_string();
    assert_eq!(
        client(CLIENT, "1.1.1.1"),
        "198.51.100.7",
        "an untrusted peer is the client"
    );
    assert_eq!(client(PROXY, "1.1.1.1, 2.2.2.2, 10.1.1.1"), "2.2.2.2");
    assert_eq!(
        client(PROXY, "10.3.3.3, 10.1.1.1"),
        "10.3.3.3",
        "all trusted: the farthest"
    );
    assert_eq!(
        client(PROXY, "1.1.1.1, unknown, 10.1.1.1"),
        "10.1.1.1",
        "what is left of junk may be made up"
    );
    assert_eq!(client(PROXY, "[2001:db9::1]:99"), "2001:db9::1");
    assert_eq!(client(PROXY, "::ffff:1.2.3.4"), "1.2.3.4");
    assert_eq!(client(PROXY, "1.2.3.4:99 ,"), "1.2.3.4");
    assert_eq!(client(PROXY, ""), "10.0.0.9");
    assert_eq!(client("[2001:db8::5]:1", "[::1]"), "::1");
    let lines = map(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "10.1.1.1")]);
    assert_eq!(peer(PROXY).client(&lines).to_string(), "1.1.1.1");
}

#[test]
fn a_mapped_address_is_its_ipv4_address() {
    let mapped = peer("[::ffff:10.0.0.9]:5000");
    assert!(mapped.is_trusted());
    assert_eq!(mapped.address().to_string(), "10.0.0.9");
    assert!(!peer("[::ffff:198.51.100.7]:1").is_trusted());
    let trusted: IpNet = "::ffff:10.0.0.0/104".parse().unwrap();
    let forwarding = Arc::new(Forwarding::new(80, false, &[trusted]));
    assert!(Peer::new(PROXY.parse().unwrap(), &forwarding).is_trusted());
    assert!(!Peer::new("11.0.0.1:1".parse().unwrap(), &forwarding).is_trusted());
}

#[test]
fn a_trusted_id_that_cannot_be_logged_is_replaced() {
    for fields in [
        &[("x-request-id", "")][..],
        &[("x-request-id", "a b")],
        &[("x-request-id", "a"), ("x-request-id", "b")],
        &[("x-request-id", "ü")],
    ] {
        let headers = sent(PROXY, Forwarded::None, fields);
        assert_eq!(all(&headers, "x-request-id").concat().len(), 32, "{fields:?}");
    }
    let long = "a".repeat(LONGEST_ID + 1);
    assert_ne!(
        all(
            &sent(PROXY, Forwarded::None, &[("x-request-id", &long)]),
            "x-request-id"
        ),
        [&long]
    );
}

#[test]
fn the_host_is_kept_or_set_and_the_old_one_told() {
    let mut headers = map(&[("host", "chat.example.com")]);
    let fixed = HostRewrite::Set(HeaderValue::from_static("chat.internal"));
    to_backend(
        &mut headers,
        &peer(CLIENT),
        &route(Forwarded::XForwarded, fixed),
        Kind::Plain,
    );
    assert_eq!(all(&headers, "host"), ["chat.internal"]);
    assert_eq!(all(&headers, "x-forwarded-host"), ["chat.example.com"]);
}

#[test]
fn a_refusal_loses_what_belongs_to_the_backends_connection() {
    let fields = [
        ("connection", "close, X-Hop, Set-Cookie, upgrade"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "5"),
        ("x-hop", "1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("sec-websocket-version", "13"),
    ];
    let mut refusal = map(&fields);
    strip_response(StatusCode::FORBIDDEN, &mut refusal);
    assert_eq!(all(&refusal, "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(refusal.len(), 3, "{refusal:?}");
    let mut other_version = map(&fields);
    strip_response(StatusCode::UPGRADE_REQUIRED, &mut other_version);
    assert_eq!(all(&other_version, "upgrade"), ["websocket"]);
    assert_eq!(all(&other_version, "connection"), ["Upgrade"]);
    let mut other_protocol = map(&[("upgrade", "h2c"), ("connection", "upgrade")]);
    strip_response(StatusCode::UPGRADE_REQUIRED, &mut other_protocol);
    assert!(other_protocol.is_empty());
}

/// End-to-end fields, of which every value must come through in order.
const END_TO_END: [&str; 8] = [
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "sec-websocket-key",
    "origin",
    "cookie",
    "authorization",
    "host",
    "content-type",
];
/// Fields that anyone may send and nominate.
const FREE: [&str; 3] = ["x-a", "x-b", "cache-control"];
const MANAGED: [&str; 7] = [
    "x-forwarded-for",
    "x-forwarded-prefix",
    "x-real-ip",
    "forwarded",
    "x_forwarded_for",
    "x-request-id",
    "x_real-ip",
];

fn any_fields() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let hop: Vec<&str> = vec![
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "transfer-encoding",
        "proxy-authorization",
    ];
    let names: Vec<&str> = [&END_TO_END[..], &FREE, &MANAGED, &hop].concat();
    let value = "[ -~\u{e4}]{0,6}|(1\\.1\\.1\\.1|10\\.0\\.0\\.1|::1|, ?|trailers){0,3}";
    let tokens = proptest::collection::vec(select(names.clone()), 0..5).prop_map(|names| names.join(" ,"));
    let nominations = tokens.prop_flat_map(|text| select(vec![text.clone(), text.to_ascii_uppercase()]));
    let connection = nominations.prop_map(|value| ("connection", value));
    proptest::collection::vec(prop_oneof![3 => (select(names), value), 1 => connection], 0..16)
}

proptest! {
    #[test]
    fn nothing_of_the_connection_is_left_and_all_else_is_untouched(
        fields in any_fields(),
        trusted in any::<bool>(),
        upgrade in any::<bool>(),
        mode in select(vec![Forwarded::XForwarded, Forwarded::Forwarded, Forwarded::Both, Forwarded::None]),
    ) {
        let before = map(&fields.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>());
        let kind = if upgrade { websocket() } else { Kind::Plain };
        let (from, route) = (peer(if trusted { PROXY } else { CLIENT }), route(mode, HostRewrite::Preserve));
        let mut after = before.clone();
        to_backend(&mut after, &from, &route, kind);

        let nominated: Vec<_> = tokens(&before, &header::CONNECTION).map(<[u8]>::to_ascii_lowercase).collect();
        for name in END_TO_END.iter().chain(&FREE) {
            let gone = FREE.contains(name) && nominated.iter().any(|token| token == name.as_bytes());
            let kept: Vec<_> = if gone { vec![] } else { before.get_all(*name).iter().collect() };
            prop_assert_eq!(after.get_all(*name).iter().collect::<Vec<_>>(), kept, "{}", name);
        }
        for name in HOP_BY_HOP.iter().filter(|name| after.contains_key(**name)) {
            let ours: &[&str] = match (upgrade, *name) {
                (true, "connection") => &["Upgrade"],
                (true, "upgrade") => &["websocket"],
                (false, "connection") => &["te"],
                (false, "te") => &["trailers"],
                _ => &[],
            };
            prop_assert_eq!(all(&after, name), ours);
        }
        prop_assert!(!after.keys().any(is_alias));

        if !trusted {
            let mut again = after.clone();
            to_backend(&mut again, &from, &route, kind);
            again.remove(X_REQUEST_ID);
            after.remove(X_REQUEST_ID);
            prop_assert_eq!(again, after);
        }
    }

    #[test]
    fn an_untrusted_client_cannot_change_what_the_backend_hears_of_it(fields in any_fields()) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).filter(|it| it.0 != "host").collect();
        let (heard, plain) = (sent(CLIENT, Forwarded::Both, &fields), sent(CLIENT, Forwarded::Both, &[]));
        let family = |headers: &HeaderMap| -> Vec<String> {
            let ours = headers.iter().filter(|(name, _)| forwarded::is_forwarded(name));
            let mut lines: Vec<_> = ours.map(|field| format!("{field:?}")).collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(family(&heard), family(&plain));
    }
}
