//! The machine of a run: which core does what, how busy it is with other work, what it is called in the results.
//!
//! In: `/proc` and the scheduler. Out: [`Cores`], [`Load`] and the lines that head the table.

use std::{fs, io, process::Command};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Who runs where: the proxy alone, client and backend on other cores if there are any.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) proxy: usize,
    pub(crate) client: usize,
    pub(crate) backend: usize,
    available: usize,
}

/// Clock ticks of all cores since the machine started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    idle: u64,
    steal: u64,
    total: u64,
}

impl Cores {
    pub(crate) fn try_new() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        // The first core tends to serve the machine's interrupts, so the proxy gets the last one.
        let mut cores = (0..CpuSet::MAX_CPU).rev().filter(|core| allowed.is_set(*core));
        let proxy = cores.next().ok_or(io::ErrorKind::Unsupported)?;
        let client = cores.next().unwrap_or(proxy);
        let backend = cores.next().unwrap_or(client);
        let available = usize::try_from(allowed.count()).unwrap_or(1);
        Ok(Self {
            proxy,
            client,
            backend,
            available,
        })
    }

    fn describe(&self) -> String {
        let Self {
            proxy,
            client,
            backend,
            available,
        } = self;
        format!("{available} cores: proxy on {proxy}, client on {client}, backends on {backend}")
    }
}

impl Load {
    pub(crate) fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = first
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let at = |i: usize| ticks.get(i).copied().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; what follows is part of the first two
        Self {
            idle: at(3) + at(4),
            steal: at(7),
            total: ticks.iter().take(8).sum(),
        }
    }

    /// How busy all cores were since `start`, the run itself included, and how much the host took away.
    pub(crate) fn since(self, start: Self) -> String {
        let total = (self.total - start.total).max(1) as f64;
        let busy = 100.0 - 100.0 * (self.idle - start.idle) as f64 / total;
        let steal = 100.0 * (self.steal - start.steal) as f64 / total;
        format!("all cores busy {busy:.0} % (the run included), steal {steal:.1} %")
    }
}

/// One, five and fifteen minutes.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Hardware, kernel and date.
pub(crate) fn describe(cores: &Cores) -> Vec<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M UTC"])
        .output()
        .map(|o| o.stdout)
        .unwrap_or_default();
    vec![
        format!("date: {}", String::from_utf8_lossy(&date).trim()),
        format!(
            "cpu: {}, {}",
            model.trim_start_matches([' ', '\t', ':']),
            cores.describe()
        ),
        format!("kernel: {}", kernel.trim()),
    ]
}

/// Keeps the calling thread, and what it starts, on one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// As many open files as the system allows, for this process and those it starts.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?)
}
