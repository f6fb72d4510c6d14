//! What Longhaul is for, done to a build that counts how often each of its branches is taken.
//!
//! In: Longhaul as built. Out: nothing here; asked to end, it writes what it has counted, and `bench/release` makes the next build by that.
//! The jobs are those of a quick run: handshakes, small messages and large ones, sessions that only exist, with and without TLS.
//! Not here: figures; a build that counts is slower than what it stands for.

use crate::{
    failure::Failure,
    machine::{self, Cores},
    peers, plan,
    rounds::{self, Backend},
    usage::Usage,
    wire::Payloads,
};

/// Does each job to a Longhaul of its own, as rounds do: what happens at the start and the end counts little then too.
pub(crate) fn run(mut tell: impl FnMut(&str)) -> Result<(), Failure> {
    machine::raise_open_files()?;
    let cores = Cores::try_new()?;
    machine::pin(cores.client)?;
    let backend = Backend::start(&cores)?;
    let payloads = Payloads::new(plan::LONGEST);
    let longhaul = peers::longhaul();
    for job in plan::jobs(true) {
        tell(&job.rows()[0].title);
        let unused = (&payloads, &mut Usage::default());
        let (_, running) = rounds::on_fresh(&*longhaul, job, &cores, &backend, unused)?;
        running.end()?;
    }
    Ok(())
}
