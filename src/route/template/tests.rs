use proptest::prelude::*;

use super::*;
use crate::route::path::judge;

fn path(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap()
}

fn expand(template: &str, pattern: &str, came: &str) -> String {
    Template::parse(template, &path(pattern)).unwrap().expand(came)
}

#[test]
fn a_rest_is_carried_over_with_its_slash_or_without() {
    for (came, sent) in [
        ("/gateway/a/b", "/a/b"),
        ("/gateway/a/", "/a/"),
        ("/gateway/", "/"),
        ("/gateway", "/"),
        ("/gateway//x", "//x"),
    ] {
        assert_eq!(expand("/{rest}", "/gateway/{*rest}", came), sent, "{came}");
    }
    for (came, sent) in [("/ws/a", "/hub/a"), ("/ws/", "/hub/"), ("/ws", "/hub")] {
        assert_eq!(expand("/hub/{rest}", "/ws/{*rest}", came), sent, "{came}");
    }
    assert_eq!(expand("/{rest}/end", "/ws/{*rest}", "/ws/a"), "/a/end");
    assert_eq!(expand("/{rest}/end", "/ws/{*rest}", "/ws"), "/end");
}

#[test]
fn parameters_keep_their_bytes() {
    let sent = expand("/v2/{b}.json/{a}-{b}/x", "/{a}/r/{b}", "/1%20%7E/r/%C3%A9+;v");
    assert_eq!(sent, "/v2/%C3%A9+;v.json/1%20%7E-%C3%A9+;v/x");
}

#[test]
fn a_template_without_parameters_is_one_path() {
    assert_eq!(expand("/fixed", "/{*rest}", "/a/b"), "/fixed");
    assert_eq!(expand("/", "/a", "/a"), "/");
}

#[test]
fn an_unknown_parameter_is_refused_with_the_known_ones() {
    let unknown = Template::parse("/{id}", &path("/{room}/{*rest}")).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        r#"the path has no parameter "id"; it has {room}, {rest}"#
    );
    let none = Template::parse("/{id}", &path("/a")).unwrap_err();
    assert_eq!(none.to_string(), r#"the path has no parameter "id"; it has none"#);
    assert!(matches!(
        Template::parse("/{*rest}", &path("/{*rest}")),
        Err(TemplateError::Unknown { .. })
    ));
}

#[test]
fn a_malformed_template_is_refused_with_its_reason() {
    let pattern = path("/{a}/{*rest}");
    let refused = |text: &str| Template::parse(text, &pattern).unwrap_err();
    assert_eq!(refused("{a}"), TemplateError::Slash("/{a}".into()));
    assert_eq!(refused("/{a}?x=1"), TemplateError::Query);
    assert_eq!(refused("/a#b"), TemplateError::Query);
    assert_eq!(refused("/x{a"), TemplateError::Braces("x{a".into()));
    assert_eq!(refused("/a}"), TemplateError::Braces("a}".into()));
    assert_eq!(refused("/x{rest}"), TemplateError::RestNotAlone("rest".into()));
    assert_eq!(refused("/{rest}{a}"), TemplateError::RestNotAlone("rest".into()));
    assert_eq!(refused("/{a}/.{a}"), TemplateError::Dots(".{a}".into()));
    assert_eq!(refused("/..{a}"), TemplateError::Dots("..{a}".into()));
    assert_eq!(refused("/{a}./x"), TemplateError::Dots("{a}.".into()));
    assert_eq!(refused("/{a}.{a}"), TemplateError::Dots("{a}.{a}".into()));
    assert_eq!(refused("/../{a}"), TemplateError::Dots("..".into()));
    assert_eq!(refused(&format!("/{}", "a".repeat(LONGEST))), TemplateError::Long);
    for text in ["/a b", "/%2{a}", "/%2e", "/a\\b", "/ü", "/..;{a}"] {
        assert!(matches!(refused(text), TemplateError::Literal(_)), "{text}");
    }
}

#[test]
fn a_template_shows_what_was_written() {
    assert_eq!(
        Template::parse("/x/{a}", &path("/{a}")).unwrap().to_string(),
        "/x/{a}"
    );
}

/// A segment as a request may have it, with everything that gave trouble.
const SEGMENT: &str = "(a|x|\\.|;|%20|%2F|%7e|~){1,4}";

proptest! {
    #[test]
    fn a_template_that_repeats_its_pattern_changes_nothing(
        literal in "[a-z]{1,3}",
        param in SEGMENT,
        rest in proptest::option::of("(a|/|\\.|;|%20|%2f){0,8}"),
    ) {
        let mut came = format!("/{literal}/{param}");
        if let Some(rest) = rest {
            came = format!("{came}/{rest}");
        }
        let pattern = format!("/{literal}/{{p}}/{{*rest}}");
        let template = format!("/{literal}/{{p}}/{{rest}}");
        prop_assert_eq!(expand(&template, &pattern, &came), came);
    }

    #[test]
    fn no_template_makes_an_ambiguous_path_of_a_clear_one(
        template in "(/|\\{a\\}|\\{rest\\}|\\.|;|x|%2|e){1,8}",
        a in SEGMENT,
        rest in "(a|/|\\.|;|%20){0,6}",
    ) {
        let came = format!("/{a}/{rest}");
        // No assumption: a third of the paths are ambiguous, and of those a long run would not allow so many.
        if judge(&came).is_err() {
            return Ok(());
        }
        let Ok(template) = Template::parse(&format!("/{template}"), &path("/{a}/{*rest}")) else {
            return Ok(());
        };
        let sent = template.expand(&came);
        prop_assert!(judge(&sent).is_ok() && sent.starts_with('/'), "{came} became {sent}");
    }
}
