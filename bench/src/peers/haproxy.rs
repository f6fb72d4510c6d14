//! HAProxy from Debian: one thread, in the foreground; once as it comes and once with splicing switched on.
//!
//! Beyond its defaults: `maxconn`, an hour of idle time in tunnels, `forwardfor` as the others do, no log. Within TLS: a name to
//! ask the endpoints for and to find in their certificates.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Peer, Setup, Strategy, each, find, first_line, write};
use crate::{job::Job, wire::HOST};

#[derive(Debug)]
pub(super) struct Haproxy;

#[derive(Debug)]
pub(super) struct Splicing;

impl Peer for Haproxy {
    fn name(&self) -> &'static str {
        "HAProxy"
    }

    fn program(&self) -> Option<PathBuf> {
        find("haproxy")
    }

    fn version(&self, program: &Path) -> String {
        first_line(program, "-v")
            .replace("HAProxy version ", "")
            .replace(" - https://haproxy.org/", "")
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        command(program, setup, "", "")
    }

    /// Servers added through the runtime socket, which keeps what HAProxy knows; a reload would forget it.
    fn grow(&self, setup: &Setup, _root: u32) -> io::Result<bool> {
        for (i, endpoint) in setup.endpoints.iter().enumerate() {
            let answer = tell(setup, &format!("add server echo/s{i} {endpoint}"))?;
            if answer.contains("registered") {
                tell(setup, &format!("enable server echo/s{i}"))?;
            }
        }
        Ok(true)
    }
}

impl Peer for Splicing {
    fn name(&self) -> &'static str {
        "HAProxy splice"
    }

    fn program(&self) -> Option<PathBuf> {
        Haproxy.program()
    }

    fn version(&self, _program: &Path) -> String {
        "the same with `option splice-auto`".to_owned()
    }

    /// A quarter of `maxconn` as pipes, its default, would not fit into 20,000 open files.
    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        command(program, setup, "maxpipes 40", "option splice-auto")
    }

    /// In all else, and within TLS, it is HAProxy again, and two tries at one figure would make a better best.
    fn takes(&self, job: Job) -> bool {
        matches!(job, Job::Messages { tls: false, .. })
    }
}

fn command(program: &Path, setup: &Setup, global: &str, defaults: &str) -> io::Result<Command> {
    let config = write(setup, "haproxy.cfg", &config(setup, global, defaults))?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(config);
    Ok(command)
}

fn tell(setup: &Setup, order: &str) -> io::Result<String> {
    let mut socket = UnixStream::connect(setup.folder.join("haproxy.sock"))?;
    socket.write_all(format!("{order}\n").as_bytes())?;
    socket.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

fn config(setup: &Setup, global: &str, defaults: &str) -> String {
    let strategy = match setup.strategy {
        Strategy::RoundRobin => "roundrobin",
        Strategy::LeastConnection => "leastconn",
        Strategy::PowerOfTwo => "random(2)",
    };
    let (bind, server) = match &setup.tls {
        None => (String::new(), String::new()),
        Some(files) => (
            format!(" ssl crt {}", files.both().display()),
            format!(
                " ssl verify required ca-file {} sni str({HOST}) verifyhost {HOST}",
                files.authority().display()
            ),
        ),
    };
    let servers = each(setup, |i, endpoint| format!("  server s{i} {endpoint}{server}\n"));
    let (folder, listen) = (setup.folder.display(), setup.listen);
    format!(
        "global
  nbthread 1
  maxconn 9900
  {global}
  stats socket {folder}/haproxy.sock level admin
defaults
  mode http
  option forwardfor
  {defaults}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend front
  bind {listen}{bind} backlog 4096
  default_backend echo
backend echo
  balance {strategy}
{servers}"
    )
}
