//! Whose pages a route serves: its origins, and what scripts of others may do.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method};

use crate::{
    config::{
        group::{Each, refuse_twins},
        leaf,
        problem::shown,
        section::Section,
        shape::{Located, Shape},
    },
    policy::{
        cors::Rules,
        origin::{BadOrigin, Origin, Origins},
    },
};

/// `origins:` of a route.
pub(super) fn origins(route: &mut Section<'_>) -> Option<Origins> {
    let doc = "Origins of pages that may open sessions and send requests; others get 403. Absent: any.";
    let listed = route.optional("origins", doc, &list(Origin::parse))?;
    refuse_twins(route.notes(), &listed, "is the same as", Origin::clone);
    Some(Origins::new(
        listed.into_iter().map(|origin| origin.value).collect(),
    ))
}

/// `cors:` of a route.
pub(super) fn cors(cors: &mut Section<'_>) -> Option<Arc<Rules>> {
    let doc = "Origins whose scripts may read the answers; `[\"*\"]` is any, but not with credentials.";
    let listed = cors.required("origins", doc, &list(any_or_origin));
    let doc = "Whether browsers may add cookies and other credentials.";
    let credentials = cors.or("credentials", doc, &leaf::flag(), CREDENTIALS);
    let doc = "Header fields that scripts may send; absent: any that they ask for.";
    let wants = "a list such as `[content-type, x-requested-with]`";
    let headers = cors.optional("headers", doc, &words(wants, field_name));
    let doc = "Methods that scripts may use.";
    let methods = cors.or(
        "methods",
        doc,
        &words("a list such as `[GET, POST]`", method),
        METHODS,
    );
    let doc = "How long a browser may remember this; most do for two hours at most.";
    let max_age = cors.or(
        "max_age",
        doc,
        &leaf::duration(Duration::ZERO..=MAX_AGE),
        REMEMBERED,
    );
    let listed = listed?;
    let any = listed.iter().find(|origin| origin.value.is_none());
    match any {
        Some(any) if listed.len() > 1 => {
            cors.refuse_at(any, "`*` is any origin; remove it, or the others");
        }
        Some(any) if credentials => cors.refuse_at(
            any,
            "`*` and `credentials` would give every page the user's data, and browsers refuse it; list the origins",
        ),
        _ => {}
    }
    refuse_twins(cors.notes(), &listed, "is the same as", Option::clone);
    let origins = listed
        .into_iter()
        .map(|origin| origin.value)
        .collect::<Option<_>>();
    Some(Arc::new(Rules {
        origins: origins.map(Origins::new),
        credentials,
        headers: headers.map(|names| joined(&names)),
        methods: joined(&methods),
        max_age,
    }))
}

fn list<T>(parse: impl Fn(&str) -> Result<T, BadOrigin>) -> impl Shape<Value = Vec<Located<T>>> {
    let wants = "a list such as `[\"https://app.example.com\"]`";
    Each {
        item: leaf::text("an origin such as `https://app.example.com`", parse),
        some: true,
        wants,
    }
}

fn any_or_origin(text: &str) -> Result<Option<Origin>, BadOrigin> {
    match text {
        "*" => Ok(None),
        _ => Origin::parse(text).map(Some),
    }
}

fn words(
    wants: &'static str,
    parse: impl Fn(&str) -> Result<String, String>,
) -> impl Shape<Value = Vec<Located<String>>> {
    Each {
        item: leaf::text("a word", parse),
        some: true,
        wants,
    }
}

fn field_name(text: &str) -> Result<String, String> {
    match text.parse::<HeaderName>() {
        Ok(name) if text != "*" => Ok(name.as_str().to_owned()),
        _ => Err(format!(
            "{} is no field name; write one such as `content-type`, or leave the key out to allow any",
            shown(text)
        )),
    }
}

fn method(text: &str) -> Result<String, String> {
    match text.parse::<Method>() {
        Ok(_) if text != "*" && text == text.to_ascii_uppercase() => Ok(text.to_owned()),
        _ => Err(format!("{} is no method; write one such as `POST`", shown(text))),
    }
}

fn joined(words: &[Located<String>]) -> HeaderValue {
    let words: Vec<&str> = words.iter().map(|word| &*word.value).collect();
    HeaderValue::try_from(words.join(", ")).expect("names and methods make a field value")
}

/// A page that needs none is spared the question.
const CREDENTIALS: &str = "false";
/// All that a REST interface uses; what the backend makes of them is its own affair.
const METHODS: &str = "[GET, HEAD, POST, PUT, PATCH, DELETE]";
/// Long enough to spare most requests, short enough for a mistake.
const REMEMBERED: &str = "10m";
/// Browsers use less.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
