//! What Longhaul does per handshake and per message in numbers that do not depend on the machine's other work: instructions
//! of the process (callgrind) and system calls (strace).
//!
//! In: Longhaul as built, valgrind, strace. Out: counts beside those that are kept in `counts.txt`, and whether one grew.
//! A job is done by one client, one step after the other, so that nothing depends on what happens to be ready at once. It is
//! done twice, the second time longer, and the difference of the two is divided by the difference in work: what the process
//! does at its start and its end, and while it is idle, is in both.
//! The profiles stay beside this program, for `callgrind_annotate`.
//! Not here: what the kernel does in a call; that is time, and `rounds` measures it.

use std::{
    collections::BTreeMap,
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    failure::Failure,
    load::{self, Exchange, Targets},
    machine::Cores,
    peers::{self, Peer, Setup, Strategy},
    rounds::Backend,
    wire::Payloads,
};

type Counts = BTreeMap<String, f64>;

/// What is counted, under its name in the file.
const JOBS: [(&str, Work); 4] = [
    ("handshake", Work::Handshakes(200)),
    ("message of 64 B", Work::Messages(64, 2_000)),
    ("message of 1 KiB", Work::Messages(1024, 2_000)),
    ("message of 64 KiB", Work::Messages(64 * 1024, 300)),
];

/// Work of a size, done once and then twice over.
#[derive(Clone, Copy)]
enum Work {
    Handshakes(usize),
    Messages(usize, usize),
}

/// What counts.
#[derive(Clone, Copy)]
enum Tool {
    Callgrind,
    Strace,
}

/// Longhaul run by a tool.
struct Counted<'a> {
    longhaul: Box<dyn Peer>,
    tool: Tool,
    out: &'a Path,
}

/// What a count may grow by: another libc or compiler changes it by as much, and so does the number of pieces in which a
/// large message happens to come.
const TOLERANCE: f64 = 1.1;

/// Counts, prints, and compares with the file, or writes it if `keep`; false if something grew.
pub(crate) fn run(keep: bool) -> Result<bool, Failure> {
    let cores = Cores::try_new()?;
    let backend = Backend::start(&cores)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    let known = parse(&fs::read_to_string(&file).unwrap_or_default());
    let mut counts = Counts::new();
    for (name, work) in JOBS {
        for tool in [Tool::Callgrind, Tool::Strace] {
            let name = format!("{} per {name}", tool.unit());
            let count = count(work, tool, &cores, &backend.endpoints(4, false), &name)?;
            let before = known.get(&name);
            println!("{}", line(&name, count, before.copied()));
            counts.insert(name, count);
        }
    }
    if keep {
        let lines = counts.iter().map(|(name, count)| format!("{count:.1} {name}\n"));
        fs::write(file, lines.collect::<String>())?;
        return Ok(true);
    }
    Ok(counts
        .iter()
        .all(|(name, count)| known.get(name).is_some_and(|known| *count <= known * TOLERANCE)))
}

fn line(name: &str, count: f64, known: Option<f64>) -> String {
    let change = match known {
        Some(known) if count > known * TOLERANCE => format!("{:+.1} % GREW", 100.0 * (count / known - 1.0)),
        Some(known) => format!("{:+.1} %", 100.0 * (count / known - 1.0)),
        None => "not known before".to_owned(),
    };
    format!("{count:>12.1} {name} ({change})")
}

fn parse(text: &str) -> Counts {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(count, name)| Some((name.to_owned(), count.parse().ok()?)))
        .collect()
}

/// The count of one unit of work.
fn count(
    work: Work,
    tool: Tool,
    cores: &Cores,
    endpoints: &[SocketAddr],
    name: &str,
) -> Result<f64, Failure> {
    let folder = env::current_exe()?.with_file_name("counts");
    fs::create_dir_all(&folder)?;
    let total = |times: usize| {
        let out = folder.join(format!("{name}, {times}").replace(' ', "-"));
        let peer = Counted {
            longhaul: peers::longhaul(),
            tool,
            out: &out,
        };
        let running = peers::start(&peer, endpoints, Strategy::LeastConnection, None, cores)?;
        work.run(&running.targets(), times)?;
        running.end()?;
        tool.read(&fs::read_to_string(&out)?)
            .ok_or_else(|| Failure::Peer(format!("{} has no total", out.display())))
    };
    Ok((total(3)? - total(1)?) / (2 * work.size()) as f64)
}

// === impl Work ===

impl Work {
    fn size(self) -> usize {
        match self {
            Self::Handshakes(count) | Self::Messages(_, count) => count,
        }
    }

    fn run(self, proxy: &Targets, times: usize) -> Result<(), Failure> {
        let size = times * self.size();
        match self {
            Self::Handshakes(_) => (0..size).try_for_each(|_| load::cycle(proxy, 1).map(drop)),
            Self::Messages(bytes, _) => {
                let mut session = load::open(proxy, 1)?;
                let job = Exchange {
                    bytes,
                    in_flight: 1,
                    messages: size,
                };
                load::exchange(&mut session, job, &Payloads::new(bytes)).map(drop)
            }
        }
    }
}

// === impl Tool ===

impl Tool {
    fn unit(self) -> &'static str {
        match self {
            Self::Callgrind => "instructions",
            Self::Strace => "system calls",
        }
    }

    fn command(self, out: &Path) -> Command {
        let out = out.display();
        let mut command = Command::new(match self {
            Self::Callgrind => "valgrind",
            Self::Strace => "strace",
        });
        match self {
            Self::Callgrind => command
                .args(["--quiet", "--tool=callgrind"])
                .arg(format!("--callgrind-out-file={out}")),
            Self::Strace => command
                .args(["--follow-forks", "--summary-only"])
                .arg(format!("--output={out}")),
        };
        command
    }

    /// The total in what the tool wrote.
    fn read(self, text: &str) -> Option<f64> {
        match self {
            Self::Callgrind => text.lines().find_map(|line| line.strip_prefix("totals: ")),
            // `100.00    0.123    12    34567   89 total`
            Self::Strace => text
                .lines()
                .find_map(|line| line.strip_suffix(" total"))
                .and_then(|line| line.split_whitespace().nth(3)),
        }?
        .trim()
        .parse()
        .ok()
    }
}

// === impl Counted ===

impl Peer for Counted<'_> {
    fn name(&self) -> &'static str {
        self.longhaul.name()
    }

    fn program(&self) -> Option<PathBuf> {
        self.longhaul.program()
    }

    fn version(&self, program: &Path) -> String {
        self.longhaul.version(program)
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        let plain = self.longhaul.command(program, setup)?;
        let mut command = self.tool.command(self.out);
        command.arg(plain.get_program()).args(plain.get_args());
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found_in_what_the_tools_write() {
        let callgrind = "version: 1\nevents: Ir\nfn=(1) main\n5 100\ntotals: 123456\n";
        assert_eq!(Tool::Callgrind.read(callgrind), Some(123_456.0));
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n \
                      90.00    0.000120          12        10           read\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.000130           0        29         1 total\n";
        assert_eq!(Tool::Strace.read(strace), Some(29.0));
    }

    #[test]
    fn counts_are_read_as_they_were_written() {
        let counts = parse("1234.5 instructions per handshake\n6.0 system calls per message of 64 B\n");
        assert_eq!(counts["instructions per handshake"], 1234.5);
        assert_eq!(counts["system calls per message of 64 B"], 6.0);
    }
}
