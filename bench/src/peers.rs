//! The proxies under measurement, each with one worker, the same endpoints and the same strategy.
//!
//! In: a [`Setup`]. Out: a [`Running`] proxy that has already carried one session; dropping it ends its processes.
//! Each peer has its usual settings; what a file of this folder sets beyond that is needed for the job (sessions that may be
//! idle for an hour, 9,000 of them, no log line per session) and says so.
//! Not here: which peer runs which job when; that is `rounds`.

mod caddy;
mod envoy;
mod floor;
mod haproxy;
mod longhaul;
mod nginx;
mod running;

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

pub(crate) use running::{Running, folder, held, start};

use crate::{job::Job, tls::Certificates};

/// What a proxy is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) listen: SocketAddr,
    pub(crate) endpoints: Vec<SocketAddr>,
    pub(crate) strategy: Strategy,
    /// What it shows to clients and how it knows the endpoints, if both sides are within TLS.
    pub(crate) tls: Option<Arc<Certificates>>,
    /// Its own folder, removed afterwards.
    pub(crate) folder: PathBuf,
}

/// How a session's endpoint is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    RoundRobin,
    LeastConnection,
    PowerOfTwo,
}

/// A way to carry sessions, one column of the table.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// The program, if it is installed.
    fn program(&self) -> Option<PathBuf>;

    /// What it calls its version.
    fn version(&self, program: &Path) -> String;

    /// Writes its configuration and says how to run it in the foreground.
    fn command(&self, program: &Path, setup: &Setup) -> io::Result<Command>;

    /// Applies a longer list of endpoints to the running proxy; `false` if this peer is not asked to.
    fn grow(&self, _setup: &Setup, _root: u32) -> io::Result<bool> {
        Ok(false)
    }

    /// Whether it is what others are compared with, not a floor and not Longhaul.
    fn is_rival(&self) -> bool {
        true
    }

    /// Whether a job says something about it.
    fn takes(&self, _job: Job) -> bool {
        true
    }
}

/// All peers in the order of the columns; a short run leaves some out.
pub(crate) fn all(quick: bool) -> Vec<Box<dyn Peer>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(floor::Copy),
        Box::new(floor::Splice),
        Box::new(nginx::Nginx),
        Box::new(haproxy::Haproxy),
    ];
    peers.push(Box::new(envoy::Envoy));
    if !quick {
        peers.push(Box::new(haproxy::Splicing));
        peers.push(Box::new(caddy::Caddy));
    }
    peers.push(longhaul());
    peers
}

/// The one that is not a peer.
pub(crate) fn longhaul() -> Box<dyn Peer> {
    Box::new(longhaul::Longhaul::default())
}

/// The same, in a build of its own.
pub(crate) fn build(program: PathBuf) -> Box<dyn Peer> {
    Box::new(longhaul::Longhaul {
        program: Some(program),
    })
}

/// Where `install-peers` puts what Debian does not have.
fn cache() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    base.unwrap_or_else(env::temp_dir).join("longhaul-bench/bin")
}

/// Looks for a program in the cache, on the path, and where Debian puts daemons.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [cache()]
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(["/usr/sbin".into()]);
    folders
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// The first words that a program says about itself, on either stream.
fn first_line(program: &Path, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else {
        return "unknown".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .find(|line| !line.is_empty())
        .unwrap_or("unknown")
        .trim()
        .to_owned()
}

/// Writes a configuration file of a setup.
fn write(setup: &Setup, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = setup.folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// One line, or other piece, per endpoint.
fn each(setup: &Setup, piece: impl Fn(usize, &SocketAddr) -> String) -> String {
    setup
        .endpoints
        .iter()
        .enumerate()
        .map(|(i, endpoint)| piece(i, endpoint))
        .collect()
}
