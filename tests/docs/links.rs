//! Links between the documents, the files and headings they lead to, and the commands they name.

use std::path::Path;

use super::{blocks, code, prose, read};

const DOCUMENTS: [&str; 5] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "k8s/README.md",
    "bench/README.md",
];

/// The targets of the links of a text that lead into this repository.
fn targets(text: &str) -> Vec<String> {
    let lines: Vec<&str> = prose(text).collect();
    let text = lines.join("\n");
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .filter(|target| !target.starts_with("http"))
        .collect()
}

/// What GitHub makes of the headings of a text.
fn anchors(text: &str) -> Vec<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in DOCUMENTS {
        let folder = Path::new(document).parent().expect("a document is in a folder");
        for target in targets(&read(document)) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match file {
                "" => Path::new(document).to_owned(),
                _ => folder.join(file),
            };
            assert!(root.join(&file).exists(), "{document}: {target}");
            if !anchor.is_empty() {
                let anchors = anchors(&read(&file.to_string_lossy()));
                assert!(
                    anchors.iter().any(|known| known == anchor),
                    "{document}: {target}"
                );
            }
        }
    }
}

#[test]
fn every_target_of_make_that_is_named_exists() {
    let makefile = read("Makefile");
    let mut named = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let lines: Vec<&str> = prose(&text).collect();
        let inline = lines.join("\n");
        let shells = blocks(&text, "sh").join("\n");
        for command in code(&inline).into_iter().chain(shells.lines()) {
            let Some(rest) = command.strip_prefix("make ") else {
                continue;
            };
            let words = rest.split('#').next().unwrap_or_default();
            for target in words.split_whitespace() {
                named += 1;
                assert!(
                    makefile.contains(&format!("\n{target}:")),
                    "{document}: {command}"
                );
            }
        }
    }
    assert!(named > 10, "only {named} targets were found");
}
