//! What a proxy used: CPU time and memory of its whole process tree, read from outside through `/proc`.
//!
//! In: the process id of the root. Out: nanoseconds on a core (user and system together, as the scheduler counts them, not in
//! clock ticks) and the proportional set size. Work that the kernel does for a socket is charged to who runs at that moment:
//! on loopback a sender pays for the delivery, with every proxy alike.
//! Not here: kernel memory of sockets, which no proxy can change.

use std::{fs, thread, time::Duration};

/// A process and its descendants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    root: u32,
}

/// What a tree has used since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// On a core.
    pub(crate) cpu: Duration,
    /// Ready to run, but waiting for a core: not the proxy's cost, but a sign of a busy machine.
    pub(crate) waited: Duration,
}

/// A tree that uses less than this in one step is at rest.
const AT_REST: Duration = Duration::from_micros(100);
const STEP: Duration = Duration::from_millis(10);
const STEPS: usize = 200;

impl Tree {
    pub(crate) fn new(root: u32) -> Self {
        Self { root }
    }

    /// The root, then its descendants.
    pub(crate) fn processes(self) -> Vec<u32> {
        let parents: Vec<_> = numbers("/proc")
            .into_iter()
            .filter_map(|id| Some((id, parent(id)?)))
            .collect();
        let mut found = vec![self.root];
        let mut next = 0;
        while let Some(&id) = found.get(next) {
            found.extend(
                parents
                    .iter()
                    .filter(|(_, parent)| *parent == id)
                    .map(|(id, _)| *id),
            );
            next += 1;
        }
        found
    }

    pub(crate) fn usage(self) -> Usage {
        let mut sum = Usage::default();
        for process in self.processes() {
            for task in numbers(&format!("/proc/{process}/task")) {
                let used = scheduled(process, task)
                    .or_else(|| ticked(process, task))
                    .unwrap_or_default();
                sum.cpu += used.cpu;
                sum.waited += used.waited;
            }
        }
        sum
    }

    /// Bytes.
    pub(crate) fn memory(self) -> u64 {
        self.processes().into_iter().filter_map(proportional).sum()
    }

    /// Waits until the tree has nothing more to do, or for two seconds.
    pub(crate) fn settle(self) {
        let mut before = self.usage().cpu;
        let mut calm = 0;
        for _ in 0..STEPS {
            thread::sleep(STEP);
            let after = self.usage().cpu;
            calm = if after.saturating_sub(before) < AT_REST {
                calm + 1
            } else {
                0
            };
            before = after;
            if calm == 2 {
                break;
            }
        }
    }
}

impl Usage {
    pub(crate) fn since(self, start: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(start.cpu),
            waited: self.waited.saturating_sub(start.waited),
        }
    }
}

fn numbers(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The fields of a `stat` line after the command, which may hold anything: state, parent, ...
fn stat(path: &str) -> Option<Vec<String>> {
    let line = fs::read_to_string(path).ok()?;
    let (_, fields) = line.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn parent(process: u32) -> Option<u32> {
    stat(&format!("/proc/{process}/stat"))?.get(1)?.parse().ok()
}

fn scheduled(process: u32, task: u32) -> Option<Usage> {
    let line = fs::read_to_string(format!("/proc/{process}/task/{task}/schedstat")).ok()?;
    let mut fields = line
        .split_whitespace()
        .map(|field| field.parse().ok().map(Duration::from_nanos));
    Some(Usage {
        cpu: fields.next()??,
        waited: fields.next()??,
    })
}

/// For kernels without scheduler statistics: clock ticks, a hundred times coarser.
fn ticked(process: u32, task: u32) -> Option<Usage> {
    let fields = stat(&format!("/proc/{process}/task/{task}/stat"))?;
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let nanos = ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second();
    Some(Usage {
        cpu: Duration::from_nanos(nanos),
        waited: Duration::ZERO,
    })
}

fn proportional(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_uses_something_and_more_later() {
        let tree = Tree::new(std::process::id());
        let before = tree.usage();
        while tree.usage().since(before).cpu.is_zero() {}
        assert!(tree.memory() > 100 * 1024);
    }
}
