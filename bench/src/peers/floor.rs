//! The two floor relays of this crate as peers: bytes only, endpoints in turn.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Peer, Setup, write};
use crate::job::Job;

#[derive(Debug)]
pub(super) struct Copy;

#[derive(Debug)]
pub(super) struct Splice;

impl Peer for Copy {
    fn name(&self) -> &'static str {
        "epoll floor"
    }

    fn program(&self) -> Option<PathBuf> {
        env::current_exe().ok()
    }

    fn version(&self, _program: &Path) -> String {
        "read and write, 64 KiB buffer".to_owned()
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        command(program, setup, "copy")
    }

    fn is_rival(&self) -> bool {
        false
    }

    fn takes(&self, job: Job) -> bool {
        takes(job)
    }
}

impl Peer for Splice {
    fn name(&self) -> &'static str {
        "splice floor"
    }

    fn program(&self) -> Option<PathBuf> {
        Copy.program()
    }

    fn version(&self, _program: &Path) -> String {
        "splice through a pipe of 256 KiB".to_owned()
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        command(program, setup, "splice")
    }

    fn is_rival(&self) -> bool {
        false
    }

    fn takes(&self, job: Job) -> bool {
        takes(job)
    }
}

/// It knows no strategy and no TLS.
fn takes(job: Job) -> bool {
    !matches!(job, Job::Spread { .. }) && !job.is_within_tls()
}

/// The endpoints go through a file: ten thousand of them are too many for a command line.
fn command(program: &Path, setup: &Setup, means: &str) -> io::Result<Command> {
    let list: Vec<_> = setup.endpoints.iter().map(ToString::to_string).collect();
    let endpoints = write(setup, "endpoints", &list.join("\n"))?;
    let mut command = Command::new(program);
    command
        .args(["floor", means, &setup.listen.to_string()])
        .arg(endpoints);
    Ok(command)
}
