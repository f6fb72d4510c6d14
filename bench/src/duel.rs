//! A few proxies compared closely, all of them running at once.
//!
//! In: a part of a row's title and columns by name, or builds of Longhaul by path; or the budgets of a run. Out: for each the CPU
//! time per message or per handshake, the median of many short slices of the job, and the median of its ratios to the first in
//! the same slice.
//!
//! A machine has fast seconds and slow ones, and slices that follow each other are in the same: this tells apart what differs by
//! a few hundredths, where rounds need a tenth.
//! Not here: latencies and memory; what a fresh process costs (`rounds`).

use std::path::PathBuf;

use crate::{
    failure::Failure,
    job::{Job, micros},
    load::{self, Exchange, Session},
    machine::{self, Cores},
    peers::{self, Peer, Running},
    plan::{self, Budget},
    rounds::{Backend, Column, Results},
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
    let rivals: Vec<_> = names
        .iter()
        .zip(&peers)
        .map(|(name, peer)| (*name, job, &**peer))
        .collect();
    print(job, &measure(&rivals, SLICES, &cores)?);
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
        let Some(rivals) = rivals(jobs, columns, results, index) else {
            ratios.push(None);
            continue;
        };
        let [(name, ..), _] = rivals;
        tell(&format!("{} beside {name}", jobs[index].rows()[0].title));
        ratios.push(match measure(&rivals, slices, cores) {
            Ok(sides) => sides[1].ratio(&sides[0]).map(|ratio| ratio.median),
            Err(corrupt @ Failure::Corrupt(_)) => return Err(corrupt),
            Err(failure) => {
                tell(&failure.to_string());
                None
            }
        });
    }
    Ok(ratios)
}

/// What a budget compares Longhaul with, and Longhaul.
fn rivals<'c>(
    jobs: &[Job],
    columns: &'c [Column],
    results: &Results,
    index: usize,
) -> Option<[(&'static str, Job, &'c dyn Peer); 2]> {
    let named = |name: &str| columns.iter().position(|column| column.name() == name);
    let job = jobs[index];
    let row = job.rows().swap_remove(0);
    let longhaul = named("Longhaul")?;
    let (other, of) = match row.budget? {
        Budget::OfNginx(_) => (job, named("nginx")?),
        Budget::OfBest(_) => (job, table::best(&row, 0, columns, &results.values[index])?),
        Budget::OfJobAbove(_) => (*jobs.get(index.checked_sub(1)?)?, longhaul),
        Budget::Absolute(_) => return None,
    };
    let side = |job, column: usize| match &columns[column] {
        Column::Proxy(peer) if results.values[index][column].failure.is_none() => {
            Some((peer.name(), job, &**peer))
        }
        _ => None,
    };
    Some([side(other, of)?, side(job, longhaul)?])
}

fn measure(rivals: &[(&str, Job, &dyn Peer)], slices: usize, cores: &Cores) -> Result<Vec<Side>, Failure> {
    let backend = Backend::start(cores)?;
    let payloads = Payloads::new(plan::LONGEST);
    let mut sides = Vec::new();
    for (name, job, peer) in rivals {
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
        let certificates = job.is_within_tls().then(|| backend.certificates());
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
