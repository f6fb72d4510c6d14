//! Longhaul measured against its peers in one run.
//!
//! ```text
//! longhaul-bench [--quick] [--rounds N] [--only TEXT] [--peer NAME] [--no-file]
//! longhaul-bench duel ROW COLUMN|BUILD..
//! longhaul-bench discovery [--no-file]
//! longhaul-bench counts [--keep]
//! longhaul-bench practice
//! ```
//!
//! plan (jobs, rows) -> rounds (peer after peer, fresh process each) -> job (load outside, usage of the proxy) -> duel (budgets) -> table -> report
//!
//! The same program is also the echo backend, the floor relays, and `hold`, which ties a program to a core and to this run.

mod backend;
mod clock;
mod counts;
mod discovery;
mod duel;
mod failure;
mod floor;
mod job;
mod load;
mod machine;
mod outbox;
mod peers;
mod plan;
mod poll;
mod practice;
mod report;
mod rounds;
mod slots;
mod stream;
mod table;
mod tls;
mod usage;
mod wire;

use std::{
    env,
    error::Error,
    fs, io,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use rustix::process::{Signal, set_parent_process_death_signal};

use floor::Means;
use rounds::Column;

type Outcome = Result<(), Box<dyn Error>>;

/// What a run was asked for.
struct Options {
    quick: bool,
    rounds: usize,
    /// Only jobs with this in a title.
    only: String,
    /// Only these columns, if any are named.
    peers: Vec<String>,
    file: bool,
}

/// An odd number gives a median that was measured.
const ROUNDS: usize = 5;
const USAGE: &str = "usage: longhaul-bench [--quick] [--rounds N] [--only TEXT] [--peer NAME].. [--no-file], or duel ROW COLUMN|BUILD..";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["hold", core, program, ref rest @ ..] => hold(core, program, rest),
        ["backend", certificate, key] => backend::run(certificate.as_ref(), key.as_ref()).map_err(Into::into),
        ["floor", means, listen, endpoints] => relay(means, listen, endpoints),
        ["discovery"] => discovery::run(true),
        ["discovery", "--no-file"] => discovery::run(false),
        ["duel", row, ref columns @ ..] => duel::run(row, columns).map_err(Into::into),
        ["counts"] => count(false),
        ["counts", "--keep"] => count(true),
        ["practice"] => practice::run(|job| eprintln!("practising {job}")).map_err(Into::into),
        ref options => Options::parse(options).and_then(|options| measure(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longhaul-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes another program, on one core, that ends when the run does.
fn hold(core: &str, program: &str, arguments: &[&str]) -> Outcome {
    machine::pin(core.parse()?)?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    Err(Command::new(program).args(arguments).exec().into())
}

fn relay(means: &str, listen: &str, endpoints: &str) -> Outcome {
    let means = if means == "splice" {
        Means::Splice
    } else {
        Means::Copy
    };
    let endpoints = fs::read_to_string(endpoints)?;
    let endpoints = endpoints
        .lines()
        .map(str::parse)
        .collect::<Result<Vec<SocketAddr>, _>>()?;
    Ok(floor::run(means, listen.parse()?, &endpoints)?)
}

fn count(keep: bool) -> Outcome {
    if counts::run(keep)? {
        return Ok(());
    }
    Err("a count grew or is new; if it should, keep it with --keep".into())
}

fn measure(options: &Options) -> Outcome {
    machine::raise_open_files()?;
    let cores = machine::Cores::try_new()?;
    machine::pin(cores.client)?;
    let jobs: Vec<_> = plan::jobs(options.quick)
        .into_iter()
        .filter(|job| job.rows().iter().any(|row| row.title.contains(&options.only)))
        .collect();
    let columns: Vec<_> = [Column::NoProxy]
        .into_iter()
        .chain(peers::all(options.quick).into_iter().map(Column::Proxy))
        .filter(|column| options.peers.is_empty() || options.peers.iter().any(|name| name == column.name()))
        .collect();
    if jobs.is_empty() || columns.is_empty() {
        return Err("nothing is left to measure".into());
    }
    let start = report::Start::now();
    let results = rounds::run(&jobs, &columns, options.rounds, &cores, |line| {
        eprintln!("{line}")
    })?;
    let slices = if options.quick {
        duel::FEW_SLICES
    } else {
        duel::SLICES
    };
    let ratios = duel::budgets(&jobs, &columns, &results, (slices, &cores), |line| {
        eprintln!("{line}")
    })?;
    let table = table::Table::new(&jobs, &columns, &results, &ratios);
    let text = report::text(
        &table,
        &columns,
        (options.rounds, slices, options.quick),
        &cores,
        (&start, results.usage),
    );
    println!("{text}");
    // A quick run is no reason to throw away what a whole one has found.
    if options.file && !options.quick {
        report::keep(&text)?;
    }
    Ok(())
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            quick: false,
            rounds: ROUNDS,
            only: String::new(),
            peers: Vec::new(),
            file: true,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| io::Error::other(USAGE));
            match *argument {
                "--quick" => options.quick = true,
                "--no-file" => options.file = false,
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--only" => options.only = (*value()?).to_owned(),
                "--peer" => options.peers.push((*value()?).to_owned()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}
