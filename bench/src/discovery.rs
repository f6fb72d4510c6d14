//! The rows of discovery: how soon new sessions follow Consul and Kubernetes, and what many endpoints cost.
//!
//! In: nothing. Out: a second table on the terminal and at the end of `RESULTS.md`.
//!
//! What is measured is in the tests, which have the real servers at hand: `figures` in `tests/it`. They are run here on
//! a build with optimisation (the profile `figures`: a release would be linked for ten minutes), one by one, and say one row per line: `row: TITLE | COUNT | MEDIAN | P99 | BUDGET`.

use std::{env, path::Path, process::Command};

use crate::report;

/// Runs those tests and keeps what they say.
pub(crate) fn run(file: bool) -> Result<(), Box<dyn std::error::Error>> {
    eprintln!("discovery: real registries, on an optimised build; some minutes");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .current_dir(repository)
        .args([
            "test",
            "--profile",
            "figures",
            "--package",
            "longhaul",
            "--test",
            "it",
            "--",
        ])
        .args(["figures::", "--ignored", "--nocapture", "--test-threads", "1"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("a figure of discovery failed:\n{said}\n{errors}").into());
    }
    let text = text(&said);
    println!("{text}");
    if file {
        report::add(HEAD, &text)?;
    }
    Ok(())
}

fn text(said: &str) -> String {
    let rows = said.lines().filter_map(|line| line.split_once("row: "));
    let rows: String = rows.map(|(_, row)| format!("| {row} |\n")).collect();
    format!(
        "{HEAD}\n\nThe time of a change is that of the registry's answer to the write.\n\n\
         | figure | measured | median | p99 | budget |\n|---|---|---|---|---|\n{rows}"
    )
}

const HEAD: &str = "# Results of discovery";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_a_table_and_nothing_else_does() {
        let said = "running 1 test\ntest a ... row: first | 30 times | 1.0 ms | 2.0 ms | 100 ms\nok\nrow: second | once | 7 | | 9\n";
        let text = text(said);
        let rows: Vec<_> = text
            .lines()
            .skip_while(|line| !line.starts_with("|---"))
            .collect();
        assert_eq!(
            rows[1..],
            [
                "| first | 30 times | 1.0 ms | 2.0 ms | 100 ms |",
                "| second | once | 7 | | 9 |"
            ]
        );
    }
}
