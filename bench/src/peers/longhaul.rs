//! Longhaul as it was built: one worker, no log line per session.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Peer, Setup, Strategy, each, first_line, write};
use crate::wire::HOST;

/// Another program than the one beside this one.
const PROGRAM: &str = "LONGHAUL";

#[derive(Debug, Default)]
pub(super) struct Longhaul {
    /// A build that is meant whatever the environment says.
    pub(super) program: Option<PathBuf>,
}

impl Peer for Longhaul {
    fn name(&self) -> &'static str {
        "Longhaul"
    }

    fn program(&self) -> Option<PathBuf> {
        let named = self.program.clone().or_else(|| {
            env::var_os(PROGRAM)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        });
        let program = named.or_else(|| Some(env::current_exe().ok()?.with_file_name("longhaul")))?;
        program.is_file().then_some(program)
    }

    fn version(&self, program: &Path) -> String {
        let version = first_line(program, "--version").replace("longhaul ", "");
        // Which of the two ways of building it (`bench/release`, cargo alone) stands in its path only.
        match program.parent().and_then(Path::file_name) {
            Some(build) if build == "guided" || build == "release" => {
                format!("{version}, {} build", build.display())
            }
            _ => version,
        }
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        let config = write(setup, "longhaul.yaml", &config(setup))?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(config);
        Ok(command)
    }

    fn grow(&self, setup: &Setup, root: u32) -> io::Result<bool> {
        write(setup, "longhaul.yaml", &config(setup))?;
        let root = i32::try_from(root)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        kill_process(root, Signal::HUP)?;
        Ok(true)
    }

    fn is_rival(&self) -> bool {
        false
    }
}

fn config(setup: &Setup) -> String {
    let strategy = match setup.strategy {
        Strategy::RoundRobin => "round-robin",
        Strategy::LeastConnection => "least-connection",
        Strategy::PowerOfTwo => "power-of-two",
    };
    let endpoints = each(setup, |_, endpoint| format!("        - {endpoint}\n"));
    let listen = setup.listen;
    let (listener, service) = match &setup.tls {
        None => (String::new(), String::new()),
        Some(files) => (
            format!(
                "    tls: {{ certificate: {}, key: {} }}\n",
                files.certificate().display(),
                files.key().display()
            ),
            format!(
                "    tls: {{ ca: {}, server_name: {HOST} }}\n",
                files.authority().display()
            ),
        ),
    };
    format!(
        "workers: 1
log: {{ level: warn, sessions: false }}
listeners:
  - address: {listen}
{listener}services:
  echo:
    discovery:
      static:
{endpoints}    balance: {strategy}
{service}routes:
  - match: {{ path: \"/{{*rest}}\" }}
    service: echo
"
    )
}
