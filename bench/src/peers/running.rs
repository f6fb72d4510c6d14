//! A proxy as a process: started on its core, waited for, ended by its own process ids.
//!
//! In: a peer and its setup. Out: a [`Running`] that has carried one session. The port is the kernel's choice; because another
//! process may take it before the proxy does, a proxy that ends at once is started again on another.
//! Whatever happens to the run, the proxy ends: by `Drop`, or by the signal that the kernel sends when its parent is gone.

use std::{
    env,
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Peer, Setup, Strategy};
use crate::{
    clock::now,
    failure::Failure,
    load::{self, Targets},
    machine::Cores,
    tls::Certificates,
    usage::Tree,
};

/// A proxy that accepts sessions.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) setup: Setup,
}

const START: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(5);
const TRIES: usize = 3;
/// nginx lets its old worker accept for another 100 ms beside the new one.
const HANDOVER: Duration = Duration::from_millis(400);

/// Starts a peer and waits until it carries a session.
pub(crate) fn start(
    peer: &dyn Peer,
    endpoints: &[SocketAddr],
    strategy: Strategy,
    tls: Option<&Arc<Certificates>>,
    cores: &Cores,
) -> Result<Running, Failure> {
    let program = peer
        .program()
        .ok_or_else(|| Failure::Peer("not installed".to_owned()))?;
    let mut last = None;
    for _ in 0..TRIES {
        let (listen, folder) = (free_address()?, new_folder()?);
        let setup = Setup {
            listen,
            endpoints: endpoints.to_vec(),
            strategy,
            tls: tls.cloned(),
            folder,
        };
        let spawned = peer
            .command(&program, &setup)
            .and_then(|command| spawn(&command, &setup, cores.proxy));
        let mut running = match spawned {
            Ok(child) => Running { child, setup },
            Err(error) => {
                let _ = fs::remove_dir_all(&setup.folder);
                return Err(error.into());
            }
        };
        match running.wait_until_it_serves() {
            Ok(()) => return Ok(running),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.expect("there was at least one try"))
}

/// Runs a program of this run on a core, so that it cannot outlive the run.
pub(crate) fn held(command: &Command, core: usize) -> io::Result<Command> {
    let mut held = Command::new(env::current_exe()?);
    held.arg("hold")
        .arg(core.to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            held.env(name, value);
        }
    }
    Ok(held)
}

fn spawn(command: &Command, setup: &Setup, core: usize) -> io::Result<Child> {
    let log = File::create(setup.folder.join("output"))?;
    let mut held = held(command, core)?;
    held.stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn new_folder() -> io::Result<PathBuf> {
    let folder = folder();
    fs::create_dir(&folder)?;
    Ok(folder)
}

/// A folder of this run that nobody has made.
pub(crate) fn folder() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("longhaul-bench-{}-{number}", std::process::id()))
}

impl Running {
    pub(crate) fn tree(&self) -> Tree {
        Tree::new(self.child.id())
    }

    /// Where clients connect, and how.
    pub(crate) fn targets(&self) -> Targets {
        Targets {
            addresses: vec![self.setup.listen],
            tls: self.setup.tls.as_ref().map(|tls| Arc::clone(&tls.client)),
        }
    }

    /// Asks the proxy to end, and waits until it has: what was started to watch it then has the whole.
    pub(crate) fn end(mut self) -> io::Result<()> {
        let proxy = self.tree().processes().pop();
        if let Some(proxy) = proxy.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            kill_process(proxy, Signal::TERM)?;
        }
        let ended = self.child.wait()?;
        match ended.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "asked to end, the proxy failed: {ended}"
            ))),
        }
    }

    fn wait_until_it_serves(&mut self) -> Result<(), Failure> {
        let deadline = now() + START;
        loop {
            let failure = match load::cycle(&self.targets(), 1) {
                Ok(_) => return Ok(()),
                Err(corrupt @ Failure::Corrupt(_)) => return Err(corrupt),
                Err(failure) => failure,
            };
            if let Some(status) = self.child.try_wait()? {
                return Err(Failure::Peer(format!(
                    "did not start ({status}): {}",
                    self.last_words()
                )));
            }
            if now() > deadline {
                return Err(Failure::Peer(format!(
                    "not ready in time: {failure}; {}",
                    self.last_words()
                )));
            }
            thread::sleep(STEP);
        }
    }

    fn last_words(&self) -> String {
        let text = |name| fs::read_to_string(self.setup.folder.join(name)).unwrap_or_default();
        let all = format!("{}\n{}", text("output"), text("error.log"));
        all.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no output")
            .to_owned()
    }

    /// Applies a longer list of endpoints and waits until a session reaches one that is new.
    pub(crate) fn grow(&mut self, peer: &dyn Peer, endpoints: Vec<SocketAddr>) -> Result<bool, Failure> {
        let before = std::mem::replace(&mut self.setup.endpoints, endpoints);
        if !peer.grow(&self.setup, self.child.id())? {
            return Ok(false);
        }
        let deadline = now() + START;
        while now() < deadline {
            let probe = load::open(&self.targets(), 1)?;
            if probe.iter().any(|session| !before.contains(&session.endpoint)) {
                drop(probe);
                thread::sleep(HANDOVER);
                self.tree().settle();
                return Ok(true);
            }
            thread::sleep(STEP);
        }
        Err(Failure::Peer("no session reached a new endpoint".to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Listed before the root is gone: afterwards its children are nobody's. The root first, or it starts new ones.
        // Nothing is measured any more, so no proxy is asked to drain.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            for process in self.tree().processes() {
                kill(process);
            }
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.setup.folder);
    }
}

fn kill(process: u32) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // Gone already is as good.
        let _ = kill_process(process, Signal::KILL);
    }
}
