use std::collections::HashSet;

use super::*;

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn path(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

fn pattern(host_text: &str, path_text: &str, headers: &[(&str, Option<&str>)]) -> Pattern {
    let headers = headers
        .iter()
        .map(|(name, value)| FieldMatch::header(name, *value).unwrap());
    Pattern::new(host(host_text), path(path_text), headers.collect(), vec![], false)
}

#[test]
fn a_host_is_a_name_a_wildcard_an_address_or_any() {
    assert_eq!(*host("*").hosts(), Hosts::Any);
    assert_eq!(
        *host("Chat.Example.com.").hosts(),
        Hosts::Exact("chat.example.com".into())
    );
    assert_eq!(*host("*.Example.com").hosts(), Hosts::Below("example.com".into()));
    assert_eq!(
        *host("[2001:DB8:0::1]").hosts(),
        Hosts::Exact("[2001:db8::1]".into())
    );
    assert_eq!(*host("127.0.0.1").hosts(), Hosts::Exact("127.0.0.1".into()));
}

#[test]
fn a_host_that_no_request_can_have_is_refused() {
    for text in [
        "",
        "*.",
        "*.*",
        "a.*.b",
        "*a.b",
        "bücher.de",
        "a b",
        "http://a",
        "a/b",
        "::1",
        "*.[::1]",
        "[::1",
    ] {
        assert_eq!(
            HostPattern::parse(text),
            Err(PatternError::Host(text.to_owned())),
            "{text}"
        );
    }
}

#[test]
fn a_port_is_refused_with_the_host_to_write() {
    for (text, instead) in [("a.b:80", "a.b"), ("*.a.b:8080", "*.a.b"), ("[::1]:443", "[::1]")] {
        assert_eq!(
            HostPattern::parse(text),
            Err(PatternError::Port(instead.to_owned()))
        );
    }
    assert!(matches!(
        HostPattern::parse("a.b:http"),
        Err(PatternError::Host(_))
    ));
}

#[test]
fn a_path_has_literals_parameters_and_a_rest() {
    assert_eq!(path("/").names().count(), 0);
    assert_eq!(
        path("/a/{b}/c/{d_1}/{*E}").names().collect::<Vec<_>>(),
        ["b", "d_1", "E"]
    );
    assert_eq!(path("/{*rest}").segments().len(), 1);
    assert_eq!(path("/a//b/").segments().len(), 4);
}

#[test]
fn a_malformed_path_is_refused_with_its_reason() {
    let cases = [
        ("chat", PatternError::Slash("/chat".into())),
        ("", PatternError::Slash("/".into())),
        ("/{a}x", PatternError::Braces("{a}x".into())),
        ("/x{a}", PatternError::Braces("x{a}".into())),
        ("/{a}{b}", PatternError::Braces("{a}{b}".into())),
        ("/{a", PatternError::Braces("{a".into())),
        ("/a}", PatternError::Braces("a}".into())),
        ("/{}", PatternError::Name("{}".into())),
        ("/{*}", PatternError::Name("{*}".into())),
        ("/{a-b}", PatternError::Name("{a-b}".into())),
        ("/{**a}", PatternError::Name("{**a}".into())),
        ("/{*a}/b", PatternError::RestNotLast("a".into())),
        ("/{*a}/", PatternError::RestNotLast("a".into())),
        ("/{a}/{a}", PatternError::Repeated("a".into())),
        ("/{a}/{*a}", PatternError::Repeated("a".into())),
    ];
    for (text, why) in cases {
        assert_eq!(PathPattern::parse(text), Err(why), "{text}");
    }
    assert_eq!(
        PathPattern::parse(&format!("/{}", "a".repeat(LONGEST))),
        Err(PatternError::Long)
    );
}

#[test]
fn a_literal_that_no_request_reaches_is_refused() {
    for text in [
        "/a/../b", "/./a", "/a%2eb", "/a%2Fb", "/a%5Cb", "/a\\b", "/%zz", "/a?b", "/a#b", "/a b", "/ü",
    ] {
        assert!(
            matches!(PathPattern::parse(text), Err(PatternError::Literal(..))),
            "{text}"
        );
    }
    for text in ["/.well-known/a", "/a%20b", "/~a;b=1,2", "/a:b@c", "/a..b", "/..."] {
        assert!(PathPattern::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_field_that_no_request_has_is_refused() {
    for (name, value) in [
        ("a b", None),
        ("", None),
        ("x-a", Some(" v")),
        ("x-a", Some("v\t")),
        ("x-a", Some("\r")),
    ] {
        assert!(
            matches!(FieldMatch::header(name, value), Err(PatternError::Field(..))),
            "{name:?} {value:?}"
        );
    }
    assert!(matches!(
        FieldMatch::query("", Some("1")),
        Err(PatternError::Field(..))
    ));
}

#[test]
fn patterns_are_equal_when_they_match_the_same_requests() {
    let written = pattern(
        "Chat.example.com",
        "/r/{room}/{*rest}",
        &[("X-A", Some("1")), ("x-b", None)],
    );
    let again = pattern(
        "chat.example.com.",
        "/r/{id}/{*tail}",
        &[("x-b", None), ("x-a", Some("1"))],
    );
    let seen = HashSet::from([written.clone()]);
    assert!(seen.contains(&again));
    let others = [
        pattern(
            "*.example.com",
            "/r/{room}/{*rest}",
            &[("X-A", Some("1")), ("x-b", None)],
        ),
        pattern(
            "chat.example.com",
            "/r/{room}/{rest}",
            &[("X-A", Some("1")), ("x-b", None)],
        ),
        pattern(
            "chat.example.com",
            "/R/{room}/{*rest}",
            &[("X-A", Some("1")), ("x-b", None)],
        ),
        pattern(
            "chat.example.com",
            "/r/{room}/{*rest}",
            &[("X-A", Some("2")), ("x-b", None)],
        ),
        pattern("chat.example.com", "/r/{room}/{*rest}", &[("X-A", Some("1"))]),
    ];
    for other in others {
        assert!(!seen.contains(&other), "{other}");
    }
}

#[test]
fn allowing_an_encoded_slash_makes_no_other_pattern() {
    let strict = pattern("*", "/a", &[]);
    let lax = Pattern {
        allow_encoded_slash: true,
        ..strict.clone()
    };
    assert_eq!(strict, lax);
}

#[test]
fn a_pattern_shows_what_was_written() {
    let headers = vec![FieldMatch::header("X-Env", Some("beta")).unwrap()];
    let query = vec![FieldMatch::query("debug", None).unwrap()];
    let shown = Pattern::new(host("Chat.Example.com"), path("/r/{room}"), headers, query, false).to_string();
    assert_eq!(shown, "Chat.Example.com/r/{room} header x-env=beta query debug");
    assert_eq!(
        Pattern::new(HostPattern::any(), path("/{*rest}"), vec![], vec![], false).to_string(),
        "*/{*rest}"
    );
}
