//! Caddy from source: one processor for the Go runtime.
//!
//! Beyond its defaults: no admin address, no certificates of its own making, errors only in its log. Within TLS: X25519
//! alone on both sides, where it would make a key of ML-KEM too for each endpoint it connects to.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Peer, Setup, Strategy, each, find, first_line, write};
use crate::{tls::Certificates, wire::HOST};

#[derive(Debug)]
pub(super) struct Caddy;

impl Peer for Caddy {
    fn name(&self) -> &'static str {
        "Caddy"
    }

    fn program(&self) -> Option<PathBuf> {
        find("caddy")
    }

    fn version(&self, program: &Path) -> String {
        // A build without version control data calls itself "unknown"; its list of modules knows better.
        let listed = Command::new(program)
            .arg("build-info")
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut module = listed
            .lines()
            .map(|line| line.split('\t'))
            .filter(|line| line.clone().next() == Some("mod"));
        let own = module.find_map(|line| line.skip(2).find(|word| word.starts_with('v')));
        own.map_or_else(|| first_line(program, "version"), str::to_owned)
    }

    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command> {
        let config = write(setup, "Caddyfile", &config(setup))?;
        let mut command = Command::new(program);
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(config);
        command
            .env("GOMAXPROCS", "1")
            .env("XDG_DATA_HOME", &setup.folder)
            .env("XDG_CONFIG_HOME", &setup.folder);
        Ok(command)
    }
}

fn config(setup: &Setup) -> String {
    let strategy = match setup.strategy {
        Strategy::RoundRobin => "round_robin",
        Strategy::LeastConnection => "least_conn",
        Strategy::PowerOfTwo => "random_choose 2",
    };
    let endpoints = each(setup, |_, endpoint| format!("    to {endpoint}\n"));
    let listen = setup.listen;
    let scheme = if setup.tls.is_some() { "https" } else { "http" };
    let (site, transport) = setup.tls.as_deref().map(tls).unwrap_or_default();
    format!(
        "{{
  admin off
  auto_https off
  log {{
    level ERROR
  }}
}}
{scheme}://:{port} {{
  bind {ip}
{site}  reverse_proxy {{
    lb_policy {strategy}
{endpoints}{transport}  }}
}}
",
        port = listen.port(),
        ip = listen.ip(),
    )
}

/// What the site and the transport of its endpoints need.
fn tls(files: &Certificates) -> (String, String) {
    let site = format!(
        "  tls {} {} {{
    protocols tls1.3
    curves x25519
  }}
",
        files.certificate().display(),
        files.key().display(),
    );
    let transport = format!(
        "    transport http {{
      tls
      tls_server_name {HOST}
      tls_trust_pool file {}
      tls_curves x25519
    }}
",
        files.authority().display(),
    );
    (site, transport)
}
