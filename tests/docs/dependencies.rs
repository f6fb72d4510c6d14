//! The table of dependencies: every direct one of the two crates that are the product, and no other.

use std::collections::BTreeSet;

use super::{code, read, rows, section};

/// The names under `[dependencies]` and `[dev-dependencies]`.
fn named(manifest: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let mut names = BTreeSet::new();
    let mut counts = false;
    for line in text.lines() {
        if line.starts_with('[') {
            counts = matches!(line, "[dependencies]" | "[dev-dependencies]");
        } else if counts && line.starts_with(|c: char| c.is_ascii_lowercase()) {
            let name = line.split(['.', ' ', '=']).next().expect("a first part");
            names.insert(name.to_owned());
        }
    }
    assert!(!names.is_empty(), "{manifest} names no dependency");
    names
}

#[test]
fn every_dependency_has_a_line_that_says_what_it_is_for() {
    let mut known = named("Cargo.toml");
    known.append(&mut named("discovery/Cargo.toml"));
    let rows = rows(&section("## Dependencies"));
    let written: Vec<String> = rows
        .iter()
        .flat_map(|row| code(&row[0]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let once: BTreeSet<String> = written.iter().cloned().collect();
    assert_eq!(once.len(), written.len(), "a crate has two lines: {written:?}");
    assert_eq!(once, known);
}
