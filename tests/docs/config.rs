//! The configuration: every example is accepted, and the tables have every key with its default.

use std::{collections::BTreeMap, fs, path::Path};

use longhaul::config;
use serde_json::Value;

use super::{blocks, code, read, rows, section};

fn accept(name: &str, text: &str) {
    if let Err(problems) = config::parse(text, Path::new(name)) {
        panic!("{problems}");
    }
}

#[test]
fn every_config_in_the_readme_is_accepted() {
    let blocks = blocks(&read("README.md"), "yaml");
    assert!(blocks.len() >= 2, "{blocks:?}");
    for (index, block) in blocks.iter().enumerate() {
        accept(&format!("README.md, block {index}"), block);
    }
}

#[test]
fn every_config_of_the_repository_is_accepted() {
    for (_, config) in MANIFESTS {
        accept(config, &read(config));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(folder).expect("a folder of examples");
    let paths = files.map(|file| file.expect("a readable folder").path());
    let configs: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    assert!(!configs.is_empty());
    for path in configs {
        accept(
            &path.to_string_lossy(),
            &fs::read_to_string(&path).expect("a file"),
        );
    }
}

#[test]
fn the_tables_of_the_readme_have_every_key_with_its_default() {
    let mut known = BTreeMap::new();
    collect(&config::schema(), "", &mut known);
    let rows = rows(&section("## Configuration"));
    let written: BTreeMap<String, String> = rows
        .iter()
        .map(|row| (code(&row[0])[0].to_owned(), row[1].trim_matches('`').to_owned()))
        .collect();
    assert_eq!(written.len(), rows.len(), "a key has two rows");
    let pairs = |map: &BTreeMap<String, String>| -> Vec<String> {
        map.iter()
            .map(|(key, default)| format!("{key} = {default}"))
            .collect()
    };
    assert_eq!(pairs(&written), pairs(&known));
}

/// The keys that hold a value of their own, as the README writes them, each with its default.
fn collect(schema: &Value, path: &str, keys: &mut BTreeMap<String, String>) {
    let required: Vec<&str> = match schema["required"].as_array() {
        Some(names) => names.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = match path {
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        let mut below = BTreeMap::new();
        collect(property, &path, &mut below);
        // A section's default is that of its keys; but a list of maps may be left out, and so has one of its own.
        if below.is_empty()
            || property
                .get("default")
                .is_some_and(|default| !default.is_object())
            || path.ends_with(".static")
        {
            let default = match property.get("default") {
                Some(default) => shown(default),
                None if required.contains(&&**name) => "required".to_owned(),
                None => "none".to_owned(),
            };
            keys.insert(path, default);
        }
        keys.append(&mut below);
    }
    for option in schema["anyOf"].as_array().into_iter().flatten() {
        // One source and a list of them have the same keys.
        if option["type"] != "array" {
            collect(option, path, keys);
        }
    }
    collect_of_many(schema, path, keys);
}

fn collect_of_many(schema: &Value, path: &str, keys: &mut BTreeMap<String, String>) {
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{path}[]"), keys);
    }
    if schema["additionalProperties"].is_object() {
        collect(&schema["additionalProperties"], &format!("{path}.NAME"), keys);
    }
}

/// A default as one writes it in a file.
fn shown(default: &Value) -> String {
    match default {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[test]
fn pods_are_given_longer_than_the_router_takes_to_end() {
    for (manifest, config) in MANIFESTS {
        let text = read(manifest);
        let after = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        };
        let grace = after("terminationGracePeriodSeconds:").expect("a grace period");
        let shutdown = config::parse(&read(config), Path::new(config))
            .expect("a config")
            .shutdown;
        let end = (shutdown.delay + shutdown.deadline).as_secs();
        assert!(grace > end, "{manifest}: {grace} s, and {end} s in {config}");
    }
}

/// What sets the grace period of a pod, and the config that the router runs with there.
const MANIFESTS: [(&str, &str); 2] = [
    ("k8s/base/deployment.yaml", "k8s/base/longhaul.yaml"),
    (
        "k8s/overlays/sidecar/sidecar.yaml",
        "k8s/overlays/sidecar/longhaul.yaml",
    ),
];
