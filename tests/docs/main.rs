//! What the documents say is compared with the program, and the examples are run.
//!
//! In: README.md and its neighbours, `examples/`, `k8s/`. Out: a failure that names what is no longer true.
//! Not here: what the program does; these tests only hold its own account of itself against the documents.

mod config;
mod dependencies;
mod examples;
mod links;
mod metrics;

use std::{fs, path::Path};

/// The text of a file of this repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A part of the README, from its heading to the next one of its level or above.
fn section(heading: &str) -> String {
    let readme = read("README.md");
    let level = heading.bytes().take_while(|&b| b == b'#').count();
    let is_end = |line: &str| {
        let hashes = line.bytes().take_while(|&b| b == b'#').count();
        (1..=level).contains(&hashes) && line[hashes..].starts_with(' ')
    };
    let mut lines = prose(&readme).skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "README.md has no heading {heading:?}");
    let lines: Vec<&str> = lines.take_while(|line| !is_end(line)).collect();
    lines.join("\n")
}

/// The lines outside of code blocks: a comment of a shell looks like a heading.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The code blocks of this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside: Option<bool> = None;
    for line in text.lines() {
        match (inside, line.strip_prefix("```")) {
            (None, Some(of)) => {
                inside = Some(of == language);
                if of == language {
                    blocks.push(String::new());
                }
            }
            (Some(_), Some(_)) => inside = None,
            (Some(true), None) => {
                let block = blocks.last_mut().expect("a block was begun");
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

/// The cells of the rows of all tables whose first cell begins with code.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// The words in backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
