//! The run: every job on every column, round after round.
//!
//! In: jobs, columns and a number of rounds. Out: the values of each row and column, one per round. Within a round the columns
//! take turns job by job, so that a slow minute of the machine hits all of them; each turn has a fresh proxy process.
//! A proxy that fails keeps its reason and is left out of that job from then on; wrong bytes end the run.

use std::{
    io::{self, BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use crate::{
    failure::Failure,
    job::{Job, Stage},
    machine::Cores,
    peers::{self, Peer, Running},
    plan,
    tls::Certificates,
    usage::Usage,
    wire::Payloads,
};

/// A column of the table.
pub(crate) enum Column {
    NoProxy,
    Proxy(Box<dyn Peer>),
}

/// Everything that was measured.
pub(crate) struct Results {
    /// By job, column, then row of the job: a value per round.
    pub(crate) values: Vec<Vec<Cells>>,
    /// What all proxies used, and how long they waited for their core.
    pub(crate) usage: Usage,
}

/// What one column has for one job.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    /// By row: a value per round; empty where the row has no meaning.
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) failure: Option<String>,
}

/// The echo backends, in a process of their own.
pub(crate) struct Backend {
    child: Child,
    port: u16,
    tls_port: u16,
    /// What they show within TLS, and what proxies show.
    certificates: Arc<Certificates>,
}

/// The failure of a peer that is not installed.
pub(crate) const ABSENT: &str = "absent";

impl Column {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NoProxy => "no proxy",
            Self::Proxy(peer) => peer.name(),
        }
    }

    pub(crate) fn is_rival(&self) -> bool {
        matches!(self, Self::Proxy(peer) if peer.is_rival())
    }

    fn takes(&self, job: Job) -> bool {
        match self {
            Self::NoProxy => matches!(job, Job::Messages { .. } | Job::Handshakes { .. }),
            Self::Proxy(peer) => peer.takes(job),
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Proxy(peer) if peer.program().is_none())
    }
}

/// Measures; `tell` hears what is being done.
pub(crate) fn run(
    jobs: &[Job],
    columns: &[Column],
    rounds: usize,
    cores: &Cores,
    mut tell: impl FnMut(&str),
) -> Result<Results, Failure> {
    let backend = Backend::start(cores)?;
    let payloads = Payloads::new(plan::LONGEST);
    let mut usage = Usage::default();
    let mut values: Vec<Vec<Cells>> = jobs
        .iter()
        .map(|_| columns.iter().map(|_| Cells::default()).collect())
        .collect();
    for round in 1..=rounds {
        for (job, cells) in jobs.iter().zip(&mut values) {
            for (column, cells) in columns.iter().zip(cells) {
                if column.is_absent() {
                    cells.failure = Some(ABSENT.to_owned());
                }
                if cells.failure.is_some() || !column.takes(*job) {
                    continue;
                }
                tell(&format!(
                    "round {round} of {rounds}: {} through {}",
                    job.rows()[0].title,
                    column.name()
                ));
                match turn(*job, column, cores, &backend, (&payloads, &mut usage)) {
                    Ok(values) => cells.add(&values),
                    Err(corrupt @ Failure::Corrupt(_)) => {
                        tell(&format!("{} broke a payload", column.name()));
                        return Err(corrupt);
                    }
                    Err(failure) => cells.failure = Some(failure.to_string()),
                }
            }
        }
    }
    Ok(Results { values, usage })
}

/// One job on one fresh proxy.
fn turn(
    job: Job,
    column: &Column,
    cores: &Cores,
    backend: &Backend,
    (payloads, total): (&Payloads, &mut Usage),
) -> Result<Vec<Option<f64>>, Failure> {
    let Column::Proxy(peer) = column else {
        return job.run(&mut Stage {
            proxy: None,
            endpoints: &backend.endpoints(job.endpoints().1, job.is_within_tls()),
            tls: backend.certificates_of(job).map(|both| Arc::clone(&both.client)),
            payloads,
            total,
        });
    };
    let (values, _) = on_fresh(&**peer, job, cores, backend, (payloads, total))?;
    Ok(values)
}

/// One job on a proxy that was started for it, and still runs.
pub(crate) fn on_fresh(
    peer: &dyn Peer,
    job: Job,
    cores: &Cores,
    backend: &Backend,
    (payloads, total): (&Payloads, &mut Usage),
) -> Result<(Vec<Option<f64>>, Running), Failure> {
    let (first, last) = job.endpoints();
    let endpoints = backend.endpoints(last, job.is_within_tls());
    let certificates = backend.certificates_of(job);
    let mut running = peers::start(peer, &endpoints[..first], job.strategy(), certificates, cores)?;
    let values = job.run(&mut Stage {
        proxy: Some((peer, &mut running)),
        endpoints: &endpoints,
        tls: certificates.map(|both| Arc::clone(&both.client)),
        payloads,
        total,
    })?;
    Ok((values, running))
}

/// Where the column of a name is.
pub(crate) fn position(columns: &[Column], name: &str) -> Option<usize> {
    columns.iter().position(|column| column.name() == name)
}

impl Cells {
    fn add(&mut self, values: &[Option<f64>]) {
        self.rows.resize(values.len(), Vec::new());
        for (row, value) in self.rows.iter_mut().zip(values) {
            row.extend(value);
        }
    }
}

// === impl Backend ===

impl Backend {
    pub(crate) fn start(cores: &Cores) -> Result<Self, Failure> {
        let certificates = Arc::new(Certificates::try_new(peers::folder())?);
        let mut own = Command::new(std::env::current_exe()?);
        own.arg("backend")
            .arg(certificates.certificate())
            .arg(certificates.key());
        let mut held = peers::held(&own, cores.backend)?;
        let mut backend = Self {
            child: held.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?,
            port: 0,
            tls_port: 0,
            certificates,
        };
        let stdout = backend
            .child
            .stdout
            .take()
            .ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ports: Vec<_> = line.split_whitespace().flat_map(str::parse).collect();
        let [plain, tls] = ports[..] else {
            return Err(Failure::Peer("the echo backend did not start".to_owned()));
        };
        (backend.port, backend.tls_port) = (plain, tls);
        Ok(backend)
    }

    /// What its endpoints show within TLS, and what proxies are to show, where a job is within TLS.
    pub(crate) fn certificates_of(&self, job: Job) -> Option<&Arc<Certificates>> {
        job.is_within_tls().then_some(&self.certificates)
    }

    /// One port on as many loopback addresses as are needed.
    pub(crate) fn endpoints(&self, count: usize, tls: bool) -> Vec<SocketAddr> {
        let port = if tls { self.tls_port } else { self.port };
        let addresses =
            (0..=u8::MAX).flat_map(|high| (1..=250).map(move |low| Ipv4Addr::new(127, 1, high, low)));
        addresses
            .take(count)
            .map(|address| (address, port).into())
            .collect()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
