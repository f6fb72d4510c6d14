//! The results file: the table with the machine, the versions and how busy it all was.
//!
//! In: the table and what surrounds it. Out: the text that goes to standard output and to `bench/RESULTS.md`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    machine::{self, Cores, Load},
    rounds::Column,
    table::Table,
    usage::Usage,
};

/// What is known before the first job.
#[derive(Debug)]
pub(crate) struct Start {
    load: Load,
    average: String,
}

impl Start {
    pub(crate) fn now() -> Self {
        Self {
            load: Load::now(),
            average: machine::load_average(),
        }
    }
}

/// The whole text.
pub(crate) fn text(
    table: &Table,
    columns: &[Column],
    (rounds, slices, quick): (usize, usize, bool),
    cores: &Cores,
    (start, usage): (&Start, Usage),
) -> String {
    let target = if quick { "make bench-quick" } else { "make bench" };
    let mut lines = machine::describe(cores);
    lines.push(format!(
        "busy: load average {} before, {} after; {}; proxies were kept waiting for their core for {:.1} % of their time in the rounds",
        start.average,
        machine::load_average(),
        Load::now().since(start.load),
        waited(usage),
    ));
    lines.extend(columns.iter().filter_map(|column| {
        let Column::Proxy(peer) = column else { return None };
        let version = peer
            .program()
            .map_or_else(|| "not installed".to_owned(), |program| peer.version(&program));
        Some(format!("{}: {version}", peer.name()))
    }));
    let lines: String = lines.iter().map(|line| format!("- {line}\n")).collect();
    let notes: String = table.notes.iter().map(|note| format!("- {note}\n")).collect();
    format!(
        "# Results of `{target}`\n\n{lines}\nA cell is the median of {rounds} interleaved rounds, ± half the distance between the \
         lowest and the highest round,\nand × the ratio to the best peer of the row. The ratio of a budget of CPU time is the median of \
         {slices} short slices\nin turn with what it is compared with. What the rows mean, and how Longhaul was built, is in \
         `README.md`.\n\n\
         {}{}{notes}",
        table.markdown(),
        if notes.is_empty() {
            ""
        } else {
            "\nWithout a figure:\n\n"
        },
    )
}

/// Keeps the text beside this crate, wherever the run was started.
pub(crate) fn keep(text: &str) -> io::Result<()> {
    fs::write(file(), text)
}

/// Puts a part that begins with `head` behind what is kept, in the place of the one that was there.
pub(crate) fn add(head: &str, part: &str) -> io::Result<()> {
    let kept = fs::read_to_string(file()).unwrap_or_default();
    let before = kept.find(head).map_or(&*kept, |at| &kept[..at]).trim_end();
    let gap = if before.is_empty() { "" } else { "\n\n" };
    keep(&format!("{before}{gap}{part}"))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md")
}

fn waited(usage: Usage) -> f64 {
    let all = (usage.cpu + usage.waited).as_secs_f64();
    if all == 0.0 {
        0.0
    } else {
        100.0 * usage.waited.as_secs_f64() / all
    }
}
