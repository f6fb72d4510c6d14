//! A few proxies compared closely, all of them running at once.
//!
//! In: a part of a row's title and columns by name, or builds of Longhaul by path; or the budgets of a run. Out: for each the CPU
//! time per message or per handshake, the median of many short slices of the job, and the median of its ratios to the first in
//! the same slice.
//!
//! A machine has fast seconds and slow ones, and slices that follow each other are in the same: this tells apart what differs by
//! a few hundredths, where rounds need a tenth.
//! Not here: latencies and memory; what a fresh process costs (`rounds`).

use std::{mem, path::PathBuf};

use crate::{
    failure::Failure,
    job::{Job, micros},
    load::{self, Exchange, Session},
    machine::{self, Cores},
    peers::{self, Peer, Running},
    plan::{self, Budget},
    rounds::{self, Backend, Column, Results},
    table::{self, Figure},
    wire::Payloads,
};

/// A proxy, and what its slices cost.
struct Side {
    name: String,
    slice: Slice,
    running: Running,
    sessions: Vec<Session>,
    /// CPU time per unit, in us, by slice.
    costs: Vec<f64>,
}

/// What is done in a slice.
#[derive(Clone, Copy)]
enum Slice {
    Messages(Exchange),
    Handshakes(usize),
}

pub(crate) const SLICES: usize = 100;
/// Of a quick run.
pub(crate) const FEW_SLICES: usize = 30;
/// Messages of a slice, and at most so many bytes of them.
const MESSAGES: usize = 2_000;
const BYTES: usize = 32 * 1024 * 1024;
const HANDSHAKES: usize = 300;

/// Measures and prints.
pub(crate) fn run(row: &str, names: &[&str]) -> Result<(), Failure> {
    let job = plan::jobs(false)
        .into_iter()
        .find(|job| job.rows().iter().any(|known| known.title.contains(row)))
        .ok_or_else(|| Failure::Peer(format!("there is no row {row:?}")))?;
    machine::raise_open_files()?;
    let cores = Cores::try_new()?;
    machine::pin(cores.client)?;
    let peers = names
        .iter()
        .map(|name| peer(name))
        .collect::<Result<Vec<_>, _>>()?;
    let sides: Vec<_> = names
        .iter()
        .zip(&peers)
        .map(|(name, peer)| (*name, job, &**peer))
        .collect();
    print(job, &measure(&sides, SLICES, &cores)?);
    Ok(())
}

/// By job: what Longhaul takes of what its budget compares it with, if that is CPU time and both were there.
pub(crate) fn budgets(
    jobs: &[Job],
    columns: &[Column],
    results: &Results,
    (slices, cores): (usize, &Cores),
    mut tell: impl FnMut(&str),
) -> Result<Vec<Option<f64>>, Failure> {
    let mut ratios = Vec::new();
    for index in 0..jobs.len() {
        let Some(pair) = pair(jobs, columns, results, index) else {
            ratios.push(None);
            continue;
        };
        let title = &jobs[index].rows()[0].title;
        tell(&format!("the budget of {title}"));
        ratios.push(match measure(&pair, slices, cores) {
            Ok(sides) => sides[1].ratio(&sides[0]).map(|ratio| ratio.median),
            Err(corrupt @ Failure::Corrupt(_)) => return Err(corrupt),
            Err(failure) => {
                tell(&format!("the budget of {title}: {failure}"));
                None
            }
        });
    }
    Ok(ratios)
}

/// What a budget compares Longhaul with, and Longhaul.
fn pair<'c>(
    jobs: &[Job],
    columns: &'c [Column],
    results: &Results,
    index: usize,
) -> Option<[(&'static str, Job, &'c dyn Peer); 2]> {
    let named = |name| rounds::position(columns, name);
    let row = jobs[index].rows().swap_remove(0);
    let longhaul = named("Longhaul")?;
    let (job, other) = match row.budget? {
        Budget::OfNginx(_) => (index, named("nginx")?),
        Budget::OfBest(_) => (index, table::best(&row, 0, columns, &results.values[index])?),
        Budget::OfJobAbove(_) => (index.checked_sub(1)?, longhaul),
        Budget::Absolute(_) => return None,
    };
    // Not every job of a plan may be in this run, and then the one above is another.
    let same = mem::discriminant(&jobs[job]) == mem::discriminant(&jobs[index]);
    let side = |job: usize, column: usize| match &columns[column] {
        Column::Proxy(peer) if same && results.values[job][column].failure.is_none() => {
            Some((peer.name(), jobs[job], &**peer))
        }
        _ => None,
    };
    Some([side(job, other)?, side(index, longhaul)?])
}

fn measure(of: &[(&str, Job, &dyn Peer)], slices: usize, cores: &Cores) -> Result<Vec<Side>, Failure> {
    let backend = Backend::start(cores)?;
    let payloads = Payloads::new(plan::LONGEST);
    let mut sides = Vec::new();
    for (name, job, peer) in of {
        sides.push(Side::start(name, *job, *peer, &backend, cores)?);
    }
    for _ in 0..slices {
        for side in &mut sides {
            side.take(&payloads)?;
        }
    }
    Ok(sides)
}

fn print(job: Job, sides: &[Side]) {
    println!("{}, us, {SLICES} slices in turn", job.rows()[0].title);
    let Some(first) = sides.first() else { return };
    for side in sides {
        if let (Some(cost), Some(ratio)) = (Figure::of(&side.costs), side.ratio(first)) {
            println!("{:>40}: {:.1}, x{:.3}", side.name, cost.median, ratio.median);
        }
    }
}

fn peer(name: &str) -> Result<Box<dyn Peer>, Failure> {
    if name.contains('/') {
        return Ok(peers::build(PathBuf::from(name)));
    }
    peers::all(false)
        .into_iter()
        .find(|peer| peer.name() == name)
        .ok_or_else(|| Failure::Peer(format!("there is no column {name:?}")))
}

// === impl Side ===

impl Side {
    fn start(
        name: &str,
        job: Job,
        peer: &dyn Peer,
        backend: &Backend,
        cores: &Cores,
    ) -> Result<Self, Failure> {
        let endpoints = backend.endpoints(job.endpoints().0, job.is_within_tls());
        let certificates = backend.certificates_of(job);
        let running = peers::start(peer, &endpoints, job.strategy(), certificates, cores)?;
        let sessions = match job {
            Job::Messages { sessions, .. } => load::open(&running.targets(), sessions)?,
            _ => Vec::new(),
        };
        Ok(Self {
            name: name.to_owned(),
            slice: Slice::of(job)?,
            running,
            sessions,
            costs: Vec::new(),
        })
    }

    fn take(&mut self, payloads: &Payloads) -> Result<(), Failure> {
        let tree = self.running.tree();
        let before = tree.usage();
        match self.slice {
            Slice::Messages(exchange) => drop(load::exchange(&mut self.sessions, exchange, payloads)?),
            Slice::Handshakes(count) => drop(load::cycle(&self.running.targets(), count)?),
        }
        tree.settle();
        let used = tree.usage().since(before).cpu;
        self.costs.push(micros(used) / self.slice.units() as f64);
        Ok(())
    }

    /// What it takes of what another takes, slice by slice.
    fn ratio(&self, other: &Self) -> Option<Figure> {
        let ratios: Vec<f64> = self.costs.iter().zip(&other.costs).map(|(a, b)| a / b).collect();
        Figure::of(&ratios)
    }
}

// === impl Slice ===

impl Slice {
    fn of(job: Job) -> Result<Self, Failure> {
        match job {
            Job::Messages { exchange, .. } => Ok(Self::Messages(Exchange {
                messages: exchange.messages.min(MESSAGES).min(BYTES / exchange.bytes),
                ..exchange
            })),
            Job::Handshakes { .. } => Ok(Self::Handshakes(HANDSHAKES)),
            Job::Idle { .. } | Job::Spread { .. } => Err(Failure::Peer(
                "only messages and handshakes can be done in slices".to_owned(),
            )),
        }
    }

    fn units(self) -> usize {
        match self {
            Self::Messages(exchange) => exchange.messages,
            Self::Handshakes(count) => count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::Strategy, rounds::Cells, usage::Usage};

    fn columns() -> Vec<Column> {
        peers::all(false).into_iter().map(Column::Proxy).collect()
    }

    /// Each column has taken as many microseconds as its name has letters, in every job.
    fn results(jobs: &[Job], columns: &[Column]) -> Results {
        let cells = |column: &Column| Cells {
            rows: vec![vec![column.name().len() as f64]],
            failure: None,
        };
        let values = jobs.iter().map(|_| columns.iter().map(cells).collect()).collect();
        Results {
            values,
            usage: Usage::default(),
        }
    }

    fn named(
        jobs: &[Job],
        columns: &[Column],
        results: &Results,
        index: usize,
    ) -> Option<[(&'static str, Job); 2]> {
        pair(jobs, columns, results, index).map(|pair| pair.map(|(name, job, _)| (name, job)))
    }

    fn handshakes(endpoints: usize) -> Job {
        Job::Handshakes {
            endpoints,
            count: 4_000,
            tls: false,
        }
    }

    #[test]
    fn a_budget_is_measured_beside_what_it_names() {
        let jobs = plan::jobs(false);
        let columns = columns();
        let mut results = results(&jobs, &columns);
        let of = |results: &Results, title: &str| {
            let index = jobs.iter().position(|job| job.rows()[0].title.starts_with(title));
            named(&jobs, &columns, results, index.unwrap()).map(|pair| pair.map(|(name, _)| name))
        };
        assert_eq!(of(&results, "64 B x32, 1 "), Some(["nginx", "Longhaul"]));
        assert_eq!(
            of(&results, "64 KiB"),
            Some(["nginx", "Longhaul"]),
            "the shortest of five letters is first"
        );
        assert_eq!(of(&results, "10000 endpoints"), Some(["Longhaul", "Longhaul"]));
        assert_eq!(of(&results, "memory"), None);
        for cells in &mut results.values {
            let nginx = rounds::position(&columns, "nginx").unwrap();
            cells[nginx].failure = Some("stalled".to_owned());
        }
        assert_eq!(of(&results, "64 B x32, 1 "), None);
        assert_eq!(
            of(&results, "64 KiB"),
            Some(["Envoy", "Longhaul"]),
            "one that failed is not the best"
        );
    }

    #[test]
    fn many_endpoints_are_compared_with_four_or_with_nothing() {
        let columns = columns();
        let many = plan::jobs(false)
            .into_iter()
            .find(|job| job.rows()[0].title.starts_with("10000 endpoints"))
            .unwrap();
        let jobs = [handshakes(4), many];
        let measured = results(&jobs, &columns);
        let [(_, few), (_, own)] = named(&jobs, &columns, &measured, 1).unwrap();
        assert_eq!((few.endpoints().0, own.endpoints().0), (4, 10_000));
        let spread = Job::Spread {
            strategy: Strategy::RoundRobin,
            sessions: 1,
            grown: false,
        };
        for jobs in [&[many][..], &[spread, many]] {
            let measured = results(jobs, &columns);
            assert!(named(jobs, &columns, &measured, jobs.len() - 1).is_none());
        }
    }
}
