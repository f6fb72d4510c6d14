use std::time::Duration;

use http::{Request, request::Parts};
use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    config::{Forwarded, HostRewrite, SessionLimits},
    route::{FieldMatch, HostPattern, PathPattern, Template},
};

#[derive(Clone, Debug, Default)]
struct Spec {
    host: String,
    path: String,
    headers: Vec<(&'static str, Option<&'static str>)>,
    query: Vec<(&'static str, Option<&'static str>)>,
    rewrite: Option<&'static str>,
    slash: bool,
}

fn spec(host: &str, path: &str) -> Spec {
    Spec {
        host: host.to_owned(),
        path: path.to_owned(),
        ..Spec::default()
    }
}

fn route(spec: &Spec, name: &str) -> Arc<Route> {
    let path = PathPattern::parse(&spec.path).unwrap();
    let headers = spec
        .headers
        .iter()
        .map(|(name, value)| FieldMatch::header(name, *value).unwrap())
        .collect();
    let query = spec
        .query
        .iter()
        .map(|(name, value)| FieldMatch::query(name, *value).unwrap())
        .collect();
    let rewrite = spec.rewrite.map(|text| Template::parse(text, &path).unwrap());
    let host = HostPattern::parse(&spec.host).unwrap();
    Arc::new(Route {
        name: name.into(),
        pattern: Pattern::new(host, path, headers, query, spec.slash),
        service: "chat".into(),
        rewrite,
        host: HostRewrite::Preserve,
        forwarded: Forwarded::XForwarded,
        origins: None,
        cors: None,
        session: SessionLimits {
            idle_timeout: Duration::from_secs(3600),
            max_lifetime: None,
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
        },
    })
}

/// A table whose routes are named by their place in the list.
fn table(specs: &[Spec]) -> Table {
    let routes: Vec<_> = specs
        .iter()
        .enumerate()
        .map(|(at, spec)| route(spec, &at.to_string()))
        .collect();
    Table::new(&routes)
}

fn head(host: Option<&str>, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(path);
    for (name, value) in host.map(|host| ("host", host)).iter().chain(headers) {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn find(table: &Table, parts: &Parts) -> Result<usize, NoRoute> {
    let found = table.find(&Target::of(parts).unwrap(), &parts.headers)?;
    Ok(found.route.name.parse().unwrap())
}

fn at(table: &Table, host: &str, path: &str) -> Option<usize> {
    find(table, &head(Some(host), path, &[])).ok()
}

#[test]
fn a_name_beats_the_longest_wildcard_and_that_beats_any() {
    let table = table(&[
        spec("*", "/{*rest}"),
        spec("*.com", "/{*rest}"),
        spec("*.example.com", "/{*rest}"),
        spec("chat.example.com", "/{*rest}"),
    ]);
    assert_eq!(at(&table, "CHAT.example.com:8080", "/x"), Some(3));
    assert_eq!(at(&table, "a.example.com", "/x"), Some(2));
    assert_eq!(
        at(&table, "a.b.example.com.", "/x"),
        Some(2),
        "a wildcard stands for one or more labels"
    );
    assert_eq!(
        at(&table, "example.com", "/x"),
        Some(1),
        "a wildcard does not stand for none"
    );
    assert_eq!(at(&table, "badexample.com", "/x"), Some(1));
    assert_eq!(at(&table, "com", "/x"), Some(0));
    assert_eq!(at(&table, "[::1]:80", "/x"), Some(0));
    assert_eq!(find(&table, &head(None, "/x", &[])), Ok(0));
}

#[test]
fn a_less_specific_host_serves_the_paths_that_a_more_specific_one_leaves() {
    let table = table(&[
        spec("*", "/b"),
        spec("a.example.com", "/a"),
        spec("*.example.com", "/{*rest}"),
    ]);
    assert_eq!(at(&table, "a.example.com", "/a"), Some(1));
    assert_eq!(at(&table, "a.example.com", "/b"), Some(2));
    assert_eq!(at(&table, "example.org", "/b"), Some(0));
    assert_eq!(at(&table, "example.org", "/a"), None);
}

#[test]
fn segments_are_compared_from_the_left() {
    let table = table(&[
        spec("*", "/{*rest}"),
        spec("*", "/{a}/b"),
        spec("*", "/a/{b}"),
        spec("*", "/a/{*rest}"),
        spec("*", "/a/b/c"),
        spec("*", "/a"),
    ]);
    assert_eq!(at(&table, "h", "/a/b"), Some(2));
    assert_eq!(at(&table, "h", "/x/b"), Some(1));
    assert_eq!(at(&table, "h", "/a/b/c"), Some(4));
    assert_eq!(
        at(&table, "h", "/a/b/d"),
        Some(3),
        "a branch that ends without a route is left again"
    );
    assert_eq!(
        at(&table, "h", "/a"),
        Some(5),
        "the end is more specific than a rest of nothing"
    );
    assert_eq!(at(&table, "h", "/x"), Some(0));
    assert_eq!(at(&table, "h", "/"), Some(0));
}

#[test]
fn a_rest_matches_nothing_too_and_a_parameter_does_not() {
    let table = table(&[
        spec("*", "/ws/{*rest}"),
        spec("*", "/r/{room}"),
        spec("*", "/s/{a}/t"),
    ]);
    for path in ["/ws", "/ws/", "/ws/a", "/ws//", "/ws/a/b%20c/"] {
        assert_eq!(at(&table, "h", path), Some(0), "{path}");
    }
    for path in [
        "/", "/w", "/wss", "/WS/", "//ws/", "/%77s/", "/r", "/r/", "/r/a/", "/r//a", "/s//t",
    ] {
        assert_eq!(at(&table, "h", path), None, "{path}");
    }
}

#[test]
fn more_header_and_query_matches_are_more_specific() {
    let table = table(&[
        spec("*", "/"),
        Spec {
            query: vec![("v", None)],
            ..spec("*", "/")
        },
        Spec {
            query: vec![("v", Some("2"))],
            ..spec("*", "/")
        },
        Spec {
            headers: vec![("x-env", None)],
            ..spec("*", "/")
        },
        Spec {
            headers: vec![("x-env", Some("beta"))],
            ..spec("*", "/")
        },
        Spec {
            headers: vec![("x-env", None)],
            query: vec![("v", None)],
            ..spec("*", "/")
        },
        Spec {
            headers: vec![("x-env", None), ("x-team", None)],
            ..spec("*", "/")
        },
    ]);
    let find = |path: &str, headers: &[(&str, &str)]| find(&table, &head(Some("h"), path, headers)).unwrap();
    assert_eq!(find("/", &[]), 0);
    assert_eq!(find("/?v=1", &[]), 1);
    assert_eq!(find("/?v=2", &[]), 2);
    assert_eq!(find("/", &[("x-env", "prod")]), 3);
    assert_eq!(find("/?v=2", &[("x-env", "prod")]), 5);
    assert_eq!(
        find("/?v=2", &[("x-env", "beta")]),
        4,
        "headers count before the query"
    );
    assert_eq!(find("/?v=2", &[("x-env", "beta"), ("x-team", "a")]), 6);
}

#[test]
fn the_order_of_the_file_decides_last() {
    let table = table(&[
        Spec {
            headers: vec![("x-a", None)],
            ..spec("*", "/")
        },
        Spec {
            headers: vec![("x-b", None)],
            ..spec("*", "/")
        },
        Spec {
            headers: vec![("x-a", None)],
            ..spec("*", "/")
        },
    ]);
    assert_eq!(
        find(&table, &head(Some("h"), "/", &[("x-b", "1"), ("x-a", "1")])),
        Ok(0)
    );
    assert_eq!(find(&table, &head(Some("h"), "/", &[("x-b", "1")])), Ok(1));
}

#[test]
fn an_encoded_slash_needs_a_route_that_allows_it() {
    let table = table(&[
        spec("*", "/files/{name}"),
        Spec {
            slash: true,
            ..spec("*", "/files/{*rest}")
        },
        spec("*", "/chat"),
    ]);
    let find = |path: &str| find(&table, &head(Some("h"), path, &[]));
    assert_eq!(find("/files/a"), Ok(0));
    assert_eq!(
        find("/files/a%2Fb"),
        Ok(1),
        "only a route that allows it takes it"
    );
    assert_eq!(find("/chat%2fx"), Err(NoRoute::EncodedSlash));
    assert_eq!(find("/chat/x"), Err(NoRoute::Nothing));
    assert_eq!(NoRoute::EncodedSlash.status(), 400);
    assert_eq!(NoRoute::Nothing.status(), 404);
}

fn upstream(spec: Spec, target: &str) -> Result<String, PathTooLong> {
    let parts = head(None, target, &[]);
    let target = Target::of(&parts).unwrap();
    let found = table(&[spec]).find(&target, &parts.headers).unwrap();
    found.upstream(&target).map(|it| it.as_str().to_owned())
}

#[test]
fn the_backend_is_asked_for_what_came_or_for_the_rewrite() {
    let plain = || spec("*", "/{*rest}");
    let hub = || Spec {
        rewrite: Some("/hub/{rest}"),
        ..spec("*", "/ws/{*rest}")
    };
    let sent = |spec, target| upstream(spec, target).unwrap();
    assert_eq!(sent(plain(), "/a//b%7e?x=%2F&&y=?"), "/a//b%7e?x=%2F&&y=?");
    assert_eq!(sent(plain(), "/a?"), "/a?");
    assert_eq!(sent(hub(), "/ws/a%20b/?x=%2F&&y=?"), "/hub/a%20b/?x=%2F&&y=?");
    assert_eq!(sent(hub(), "/ws?"), "/hub?");
    assert_eq!(sent(hub(), "/ws"), "/hub");
}

#[test]
fn an_absolute_target_is_sent_on_in_origin_form() {
    for (target, sent) in [
        ("http://h/a?b", "/a?b"),
        ("http://h", "/"),
        ("http://h?b=1", "/?b=1"),
    ] {
        assert_eq!(upstream(spec("*", "/{*rest}"), target).unwrap(), sent);
    }
}

#[test]
fn a_rewrite_longer_than_a_target_can_be_is_a_414() {
    let twice = Spec {
        rewrite: Some("/{a}/{a}"),
        ..spec("*", "/{a}")
    };
    assert!(upstream(twice.clone(), &format!("/{}", "a".repeat(30_000))).is_ok());
    assert_eq!(
        upstream(twice, &format!("/{}", "a".repeat(40_000))),
        Err(PathTooLong)
    );
}

// === what the table must agree with ===

/// How specific a match is; the greater wins.
type Rank = (usize, Vec<u8>, (usize, usize, usize, usize));

/// Matches one route in the plainest way.
fn rank(spec: &Spec, host: &str, path: &str, headers: &[(&str, &str)]) -> Option<Rank> {
    let host_rank = match spec.host.strip_prefix('*') {
        Some("") => 0,
        Some(suffix) => (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len())?,
        None => (host == spec.host).then_some(usize::MAX)?,
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let queries: Vec<_> = query
        .split('&')
        .map(|it| it.split_once('=').unwrap_or((it, "")))
        .collect();
    let has = |given: &[(&str, &str)], (name, value): &(&str, Option<&str>)| {
        given
            .iter()
            .any(|(other, is)| other == name && value.is_none_or(|value| value == *is))
    };
    let suits =
        spec.headers.iter().all(|it| has(headers, it)) && spec.query.iter().all(|it| has(&queries, it));
    if !suits || (path.contains("%2F") && !spec.slash) {
        return None;
    }
    let valued = |fields: &[(&str, Option<&str>)]| fields.iter().filter(|field| field.1.is_some()).count();
    let fields = (
        spec.headers.len(),
        valued(&spec.headers),
        spec.query.len(),
        valued(&spec.query),
    );
    Some((host_rank, path_rank(&spec.path, path)?, fields))
}

/// For each segment 3 for a literal, 2 for the end, 1 for a parameter, 0 for the rest.
fn path_rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let mut given = path.split('/').skip(1);
    let mut ranks = Vec::new();
    for wanted in pattern.split('/').skip(1) {
        if wanted.starts_with("{*") {
            ranks.push(0);
            return Some(ranks);
        }
        let segment = given.next()?;
        match wanted.starts_with('{') {
            true if segment.is_empty() => return None,
            true => ranks.push(1),
            false if wanted == segment => ranks.push(3),
            false => return None,
        }
    }
    ranks.push(2);
    given.next().is_none().then_some(ranks)
}

fn any_path() -> impl Strategy<Value = String> {
    let segments = proptest::collection::vec(select(&["a", "b", "", "{p}", "{p}"]), 1..4);
    (segments, any::<bool>()).prop_map(|(segments, rest)| {
        let named = segments
            .iter()
            .enumerate()
            .map(|(at, text)| text.replace('p', &format!("p{at}")));
        let path: String = named.map(|text| format!("/{text}")).collect();
        if rest { format!("{path}/{{*rest}}") } else { path }
    })
}

fn any_fields() -> impl Strategy<Value = Vec<(&'static str, Option<&'static str>)>> {
    let field = (select(&["x", "y"]), select(&[None, None, Some("1"), Some("2")]));
    // Two demands on one name may not both be counted by the plain matcher and the pattern alike.
    proptest::collection::btree_map(field.0, field.1, 0..3).prop_map(|fields| fields.into_iter().collect())
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let host = select(&["*", "*", "*.b.c", "*.c", "a.b.c", "b.c"]);
    (host, any_path(), any_fields(), any_fields(), any::<bool>()).prop_map(
        |(host, path, headers, query, slash)| Spec {
            headers,
            query,
            slash,
            ..spec(host, &path)
        },
    )
}

fn any_request() -> impl Strategy<Value = (&'static str, String, Vec<(&'static str, &'static str)>)> {
    let host = select(&["a.b.c", "b.c", "c", "x.b.c", "x.a.b.c", "d"]);
    let path = "(/|/a|/b|/a|/b|/c|/a%2Fb|/%61){1,4}(\\?([xy](=[12])?&?){0,3})?";
    let fields = proptest::collection::vec((select(&["x", "y"]), select(&["1", "2", "3"])), 0..4);
    (host, path, fields)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_agrees_with_matching_every_route_in_turn(
        specs in proptest::collection::vec(any_spec(), 0..12),
        (host, path, headers) in any_request(),
    ) {
        let ranked = specs.iter().enumerate().filter_map(|(at, spec)| {
            rank(spec, host, &path, &headers).map(|rank| (rank, std::cmp::Reverse(at)))
        });
        let expected = ranked.max().map(|(_, at)| at.0);
        prop_assert_eq!(find(&table(&specs), &head(Some(host), &path, &headers)).ok(), expected);
    }

    #[test]
    fn the_order_of_the_file_does_not_matter_between_unequal_ranks(
        specs in proptest::collection::vec(any_spec(), 2..12),
        turn in 1_usize..12,
        (host, path, headers) in any_request(),
    ) {
        let parts = head(Some(host), &path, &headers);
        let first = find(&table(&specs), &parts).ok();
        let turn = turn % specs.len();
        let turned: Vec<_> = specs[turn..].iter().chain(&specs[..turn]).rev().cloned().collect();
        let second = find(&table(&turned), &parts).ok();
        let of = |specs: &[Spec], at: Option<usize>| at.map(|at| rank(&specs[at], host, &path, &headers));
        prop_assert_eq!(of(&specs, first), of(&turned, second));
    }
}
