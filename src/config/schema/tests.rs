use std::collections::BTreeSet;

use super::*;
use crate::config::{parse, tests::EVERYTHING, tree};

fn json(text: &str) -> Value {
    tree::parse(text).expect("YAML").expect("a document").to_json()
}

/// Where `value` does not fit `schema`, by the keywords that the schema uses.
fn misfit(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let wrong = |why: &str| Some(format!("{path}: {why}: {value}"));
    for keyword in schema.as_object().expect("a schema").keys() {
        let known = "$schema title description default type enum const anyOf properties required additionalProperties \
                     items minItems minimum maximum pattern";
        assert!(
            known.split(' ').any(|known| known == keyword),
            "{path}: this test does not know {keyword}"
        );
    }
    let fits_type = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64(),
        Some(other) => panic!("{path}: this test does not know the type {other}"),
    };
    let one_of = |options: &Value| options.as_array().is_none_or(|options| options.contains(value));
    if !fits_type || !one_of(&schema["enum"]) || schema.get("const").is_some_and(|only| only != value) {
        return wrong("another type or name");
    }
    let number = value.as_u64().unwrap_or_default();
    if schema["minimum"].as_u64().is_some_and(|least| number < least)
        || schema["maximum"].as_u64().is_some_and(|most| number > most)
        || schema["minItems"]
            .as_u64()
            .is_some_and(|least| value.as_array().is_some_and(|a| (a.len() as u64) < least))
    {
        return wrong("out of range");
    }
    if let Some(options) = schema["anyOf"].as_array()
        && options.iter().all(|option| misfit(option, value, path).is_some())
    {
        return wrong("fits none");
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    let in_list = items.filter(|_| schema["items"].is_object());
    let in_list = in_list.filter_map(|(at, item)| misfit(&schema["items"], item, &format!("{path}[{at}]")));
    in_list.chain(misfits_of_keys(schema, value, path)).next()
}

fn misfits_of_keys(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let Some(map) = value.as_object() else {
        return Vec::new();
    };
    let missing = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let missing = missing
        .filter(|key| !map.contains_key(*key))
        .map(|key| format!("{path}.{key}: missing"));
    let keys = map.iter().filter_map(|(key, value)| {
        let path = format!("{path}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(known), _) => misfit(known, value, &path),
            (None, Value::Bool(false)) => Some(format!("{path}: unknown")),
            (None, Value::Null) => None,
            (None, any) => misfit(any, value, &path),
        }
    });
    missing.chain(keys).collect()
}

/// Every key that a schema knows, as a path without names and indices.
fn keys_of_schema(schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        assert!(
            property["description"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{path} has no description"
        );
        keys_of_schema(property, &path, keys);
        keys.insert(path);
    }
    for option in schema["anyOf"].as_array().into_iter().flatten() {
        keys_of_schema(option, path, keys);
    }
    for inner in ["items", "additionalProperties"]
        .map(|inner| &schema[inner])
        .into_iter()
        .filter(|s| s.is_object())
    {
        keys_of_schema(inner, path, keys);
    }
}

/// The same for the keys of a file, without those that the operator chose.
fn keys_of_file(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let chosen = matches!(&**key, "services" | "headers" | "query");
        let below = value
            .as_object()
            .filter(|_| chosen)
            .into_iter()
            .flatten()
            .map(|(_, value)| value);
        below
            .chain(Some(value).filter(|_| !chosen))
            .for_each(|value| keys_of_file(value, &path, keys));
        keys.insert(path);
    }
    for item in value.as_array().into_iter().flatten() {
        keys_of_file(item, path, keys);
    }
}

#[test]
fn the_schema_knows_exactly_the_keys_that_a_file_can_have() {
    // EVERYTHING is accepted, so the walker knows all of its keys; so the schema knows those and no others.
    let (mut in_schema, mut in_file) = (BTreeSet::new(), BTreeSet::new());
    keys_of_schema(&schema(), "", &mut in_schema);
    keys_of_file(&json(EVERYTHING), "", &mut in_file);
    assert_eq!(in_schema, in_file);
    assert!(in_schema.contains(".services.drain.close_code") && in_schema.contains(".routes.match.headers"));
}

#[test]
fn what_is_accepted_fits_the_schema() {
    let examples = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let examples = examples
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|e| e == "yaml"));
    let mut texts: Vec<String> = examples
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    assert!(!texts.is_empty());
    texts.push(EVERYTHING.to_owned());
    for text in texts {
        assert_eq!(misfit(&schema(), &json(&text), ""), None, "{text}");
    }
}

#[test]
fn what_the_schema_can_see_is_refused_by_it_as_by_the_check() {
    for (good, bad) in [
        ("workers: 2", "workers: two"),
        ("workers: 2", "workers: 5000"),
        ("workers: 2", "workerz: 2"),
        ("level: debug", "level: loud"),
        ("connections: 5000", "connections: some"),
        ("sessions: false", "sessions: off"),
        ("empty_hold: 0", "empty_hold: 5"),
        ("close_code: 4001", "close_code: 1005"),
        ("on: [connect]", "on: connect"),
        ("weight: 2", "wait: 2"),
        ("    service: chat\n", ""),
    ] {
        let text = EVERYTHING.replacen(good, bad, 1);
        assert_ne!(text, EVERYTHING, "{good}");
        assert!(parse(&text, Path::new("router.yaml")).is_err(), "{bad}");
        assert!(misfit(&schema(), &json(&text), "").is_some(), "{bad}");
    }
}

#[test]
fn every_default_fits_its_own_schema() {
    fn walk(schema: &Value, path: &str, seen: &mut usize) {
        if let Some(default) = schema.get("default") {
            assert_eq!(misfit(schema, default, path), None);
            *seen += 1;
        }
        for (key, inner) in schema.as_object().into_iter().flatten() {
            let inner: Vec<&Value> = match inner {
                Value::Array(list) => list.iter().collect(),
                other => vec![other],
            };
            inner
                .into_iter()
                .for_each(|inner| walk(inner, &format!("{path}/{key}"), seen));
        }
    }
    let mut seen = 0;
    walk(&schema(), "", &mut seen);
    assert!(seen > 25, "{seen}");
}
