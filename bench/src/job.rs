//! The jobs: what is done to a proxy in one go, and the figures that come out of it.
//!
//! In: a [`Job`] and a fresh proxy, or none. Out: one value per row of the job; `None` where a row has no meaning, as the CPU
//! time of no proxy. CPU and memory are read while the proxy is at rest, before and after the work.
//! Not here: rounds and medians (`rounds`), which jobs a run has (`plan`).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::ClientConfig;

use crate::{
    failure::Failure,
    load::{self, Exchange, Session, Targets},
    peers::{Peer, Running, Strategy},
    usage::{Tree, Usage},
    wire::Payloads,
};

/// What is done to a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    /// Messages there and back, after a twentieth of them to warm up.
    Messages {
        sessions: usize,
        exchange: Exchange,
        tls: bool,
    },
    /// Sessions that only exist.
    Idle { sessions: usize, tls: bool },
    /// Whole lives of sessions without messages.
    Handshakes {
        endpoints: usize,
        count: usize,
        tls: bool,
    },
    /// Where sessions go; with `grown`, half of them before the set grows from 3 to 6.
    Spread {
        strategy: Strategy,
        sessions: usize,
        grown: bool,
    },
}

/// Where a job is done.
pub(crate) struct Stage<'a> {
    /// `None` is no proxy at all.
    pub(crate) proxy: Option<(&'a dyn Peer, &'a mut Running)>,
    /// The endpoints that the proxy will know last.
    pub(crate) endpoints: &'a [SocketAddr],
    /// What is spoken to the endpoints where there is no proxy.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) payloads: &'a Payloads,
    /// What the jobs so far used: CPU time, and waiting for a core.
    pub(crate) total: &'a mut Usage,
}

type Values = Result<Vec<Option<f64>>, Failure>;

/// Messages of an [`Job::Idle`] session once it has carried something.
const SMALL: usize = 64;
const LARGE: usize = 16 * 1024;

impl Job {
    /// How many endpoints the proxy starts with, and how many it has in the end.
    pub(crate) fn endpoints(self) -> (usize, usize) {
        match self {
            Self::Messages { .. } | Self::Idle { .. } | Self::Spread { grown: false, .. } => (4, 4),
            Self::Handshakes { endpoints, .. } => (endpoints, endpoints),
            Self::Spread { grown: true, .. } => (3, 6),
        }
    }

    /// Whether both sides of the proxy are within TLS.
    pub(crate) fn is_within_tls(self) -> bool {
        match self {
            Self::Messages { tls, .. } | Self::Idle { tls, .. } | Self::Handshakes { tls, .. } => tls,
            Self::Spread { .. } => false,
        }
    }

    pub(crate) fn strategy(self) -> Strategy {
        match self {
            Self::Spread { strategy, .. } => strategy,
            Self::Messages { .. } | Self::Idle { .. } | Self::Handshakes { .. } => Strategy::LeastConnection,
        }
    }

    pub(crate) fn run(self, stage: &mut Stage<'_>) -> Values {
        match self {
            Self::Messages {
                sessions, exchange, ..
            } => stage.messages(sessions, exchange),
            Self::Idle { sessions, .. } => stage.idle(sessions),
            Self::Handshakes { count, .. } => stage.handshakes(count),
            Self::Spread { sessions, grown, .. } => stage.spread(sessions, grown),
        }
    }
}

impl Stage<'_> {
    fn targets(&self) -> Targets {
        match &self.proxy {
            Some((_, running)) => running.targets(),
            None => Targets {
                addresses: self.endpoints.to_vec(),
                tls: self.tls.clone(),
            },
        }
    }

    fn tree(&self) -> Option<Tree> {
        self.proxy.as_ref().map(|(_, running)| running.tree())
    }

    /// The CPU time that the proxy spends on some work, from rest to rest.
    fn cpu_of<T>(
        &mut self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(T, Option<Duration>), Failure> {
        let Some(tree) = self.tree() else {
            return Ok((work()?, None));
        };
        tree.settle();
        let before = tree.usage();
        let result = work()?;
        tree.settle();
        let used = tree.usage().since(before);
        self.total.cpu += used.cpu;
        self.total.waited += used.waited;
        Ok((result, Some(used.cpu)))
    }

    fn messages(&mut self, sessions: usize, job: Exchange) -> Values {
        let mut sessions = load::open(&self.targets(), sessions)?;
        let payloads = self.payloads;
        load::exchange(
            &mut sessions,
            Exchange {
                messages: job.messages / 20,
                ..job
            },
            payloads,
        )?;
        let (seen, cpu) = self.cpu_of(|| load::exchange(&mut sessions, job, payloads))?;
        let at = |share: f64| {
            let last = seen.latencies.len() - 1;
            let index = (last as f64 * share).round() as usize;
            Some(micros(seen.latencies[index.min(last)]))
        };
        let rate = job.messages as f64 / seen.wall.as_secs_f64();
        let cpu = cpu.map(|cpu| micros(cpu) / job.messages as f64);
        Ok(vec![cpu, Some(rate), at(0.5), at(0.99), at(0.999)])
    }

    fn idle(&mut self, count: usize) -> Values {
        let Some(tree) = self.tree() else {
            return Ok(vec![None; 3]);
        };
        tree.settle();
        let start = tree.memory();
        let mut sessions = load::open(&self.targets(), count)?;
        let mut values = vec![per_session(tree, start, count)];
        for bytes in [SMALL, LARGE] {
            // In groups, as clients of a quiet service speak: not all at once.
            for group in sessions.chunks_mut(100) {
                let job = Exchange {
                    bytes,
                    in_flight: 1,
                    messages: group.len(),
                };
                load::exchange(group, job, self.payloads)?;
            }
            values.push(per_session(tree, start, count));
        }
        Ok(values)
    }

    fn handshakes(&mut self, count: usize) -> Values {
        let targets = self.targets();
        load::cycle(&targets, count / 20)?;
        let (wall, cpu) = self.cpu_of(|| load::cycle(&targets, count))?;
        let cpu = cpu.map(|cpu| micros(cpu) / count as f64);
        Ok(vec![cpu, Some(count as f64 / wall.as_secs_f64())])
    }

    fn spread(&mut self, count: usize, grown: bool) -> Values {
        let targets = self.targets();
        let endpoints = self.endpoints;
        let Some((peer, running)) = &mut self.proxy else {
            return Ok(vec![None; 2]);
        };
        let mut sessions = load::open(&targets, if grown { count / 2 } else { count })?;
        if grown {
            if !running.grow(*peer, endpoints.to_vec())? {
                return Ok(vec![None; 2]);
            }
            sessions.extend(load::open(&targets, count / 2)?);
        }
        let on = |endpoint: &SocketAddr| {
            sessions
                .iter()
                .filter(|s: &&Session| s.endpoint == *endpoint)
                .count() as f64
        };
        let counts = endpoints.iter().map(on);
        Ok(vec![counts.clone().reduce(f64::max), counts.reduce(f64::min)])
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// KiB per session beyond what the process had at its start.
fn per_session(tree: Tree, start: u64, count: usize) -> Option<f64> {
    tree.settle();
    Some((tree.memory() as f64 - start as f64) / 1024.0 / count as f64)
}
