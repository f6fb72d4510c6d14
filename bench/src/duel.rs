//! A few proxies compared closely in one job, all of them running at once.
//!
//! In: a part of a row's title; columns by name, or builds of Longhaul by path. Out: for each the CPU time per message or per
//! handshake, the median of many short slices of the job, and the median of its ratios to the first in the same slice.
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
    plan,
    rounds::Backend,
    table::Figure,
    wire::Payloads,
};

/// A proxy, and what its slices cost.
struct Side {
    name: String,
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

const SLICES: usize = 100;
const MESSAGES: usize = 2_000;
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
    let backend = Backend::start(&cores)?;
    let payloads = Payloads::new(plan::LONGEST);
    let mut sides = Vec::new();
    for name in names {
        sides.push(Side::start(name, job, &backend, &cores)?);
    }
    let slice = Slice::of(job)?;
    for _ in 0..SLICES {
        for side in &mut sides {
            side.take(slice, &payloads)?;
        }
    }
    print(job, &sides);
    Ok(())
}

fn print(job: Job, sides: &[Side]) {
    println!("{}, us, {SLICES} slices in turn", job.rows()[0].title);
    let Some(first) = sides.first() else { return };
    for side in sides {
        let ratios: Vec<f64> = side.costs.iter().zip(&first.costs).map(|(a, b)| a / b).collect();
        if let (Some(cost), Some(ratio)) = (Figure::of(&side.costs), Figure::of(&ratios)) {
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
    fn start(name: &str, job: Job, backend: &Backend, cores: &Cores) -> Result<Self, Failure> {
        let endpoints = backend.endpoints(job.endpoints().0, job.is_within_tls());
        let certificates = job.is_within_tls().then(|| backend.certificates());
        let running = peers::start(&*peer(name)?, &endpoints, job.strategy(), certificates, cores)?;
        let sessions = match job {
            Job::Messages { sessions, .. } => load::open(&running.targets(), sessions)?,
            _ => Vec::new(),
        };
        Ok(Self {
            name: name.to_owned(),
            running,
            sessions,
            costs: Vec::new(),
        })
    }

    fn take(&mut self, slice: Slice, payloads: &Payloads) -> Result<(), Failure> {
        let tree = self.running.tree();
        let before = tree.usage();
        match slice {
            Slice::Messages(exchange) => drop(load::exchange(&mut self.sessions, exchange, payloads)?),
            Slice::Handshakes(count) => drop(load::cycle(&self.running.targets(), count)?),
        }
        tree.settle();
        let used = tree.usage().since(before).cpu;
        self.costs.push(micros(used) / slice.units() as f64);
        Ok(())
    }
}

// === impl Slice ===

impl Slice {
    fn of(job: Job) -> Result<Self, Failure> {
        match job {
            Job::Messages { exchange, .. } => Ok(Self::Messages(Exchange {
                messages: exchange.messages.min(MESSAGES),
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
