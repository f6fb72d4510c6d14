//! A running `longhaul` process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{Config, Conn, Dir, Metrics, Request, Response, SOON, eventually, log::Log, within};

/// The process, where it listens and what it says; it dies with this value.
pub(crate) struct Router {
    child: Child,
    pub(crate) pid: Pid,
    pub(crate) log: Log,
    pub(crate) dir: Dir,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Router {
    /// Runs the config in a directory of its own and waits until the router is ready.
    pub(crate) async fn start(config: &Config) -> Self {
        let dir = Dir::new();
        let path = dir.replace("longhaul.yaml", &config.text());
        Self::start_at(dir, &path).await
    }

    /// As [`Self::start`], in a process that may open so many descriptors unless it asks for more.
    pub(crate) async fn start_with_soft_limit(config: &Config, descriptors: usize) -> Self {
        let dir = Dir::new();
        let path = dir.replace("longhaul.yaml", &config.text());
        let mut command = Command::new("sh");
        let lowering = format!("ulimit -S -n {descriptors} && exec \"$0\" \"$@\"");
        command
            .arg("-c")
            .arg(lowering)
            .arg(env!("CARGO_BIN_EXE_longhaul"));
        Self::running(dir, spawn(command, &path)).await
    }

    /// As [`Self::start`], with these variables in its environment.
    pub(crate) async fn start_with_environment(config: &Config, variables: &[(String, String)]) -> Self {
        let dir = Dir::new();
        let path = dir.replace("longhaul.yaml", &config.text());
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command.envs(variables.iter().cloned());
        Self::running(dir, spawn(command, &path)).await
    }

    /// As [`Self::start`], for a config file that is already there.
    pub(crate) async fn start_at(dir: Dir, config: &Path) -> Self {
        Self::running(dir, spawn(Command::new(env!("CARGO_BIN_EXE_longhaul")), config)).await
    }

    /// Runs the config of this directory and waits only until it has started, ready or not.
    pub(crate) async fn start_unready(dir: Dir, config: &Config) -> Self {
        let path = dir.replace("longhaul.yaml", &config.text());
        let spawned = spawn(Command::new(env!("CARGO_BIN_EXE_longhaul")), &path);
        Self::running_until("started", dir, spawned).await
    }

    async fn running(dir: Dir, spawned: (Child, Log)) -> Self {
        Self::running_until("ready", dir, spawned).await
    }

    async fn running_until(message: &str, dir: Dir, (child, log): (Child, Log)) -> Self {
        let id = child.id().expect("a process that nobody waited for");
        let pid = Pid::from_raw(id.cast_signed()).expect("a process id");
        let ready = log.wait(message, 1, |line| line["message"] == message);
        tokio::select! {
            _ = ready => {}
            () = closed(id) => panic!("the router ended at start:\n{}", log.raw()),
        }
        let address = address(&log, "listening");
        let admin = address_of(&log.all("admin listening")[0]);
        Self {
            child,
            pid,
            log,
            dir,
            address,
            admin,
        }
    }

    /// Its first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// One GET on the admin address.
    pub(crate) async fn get(&self, path: &str) -> Response {
        let mut conn = Conn::connect(self.admin).await;
        let request = Request::bare(&format!("GET {path} HTTP/1.1"))
            .field("Host", self.admin.to_string())
            .field("Connection", "close");
        conn.write(&request.bytes()).await;
        conn.response().await
    }

    /// One POST on the admin address, with the token.
    pub(crate) async fn post(&self, path: &str, token: &str) -> Response {
        let mut conn = Conn::connect(self.admin).await;
        let request = Request::bare(&format!("POST {path} HTTP/1.1"))
            .field("Host", self.admin.to_string())
            .field("Authorization", format!("Bearer {token}"))
            .field("Content-Length", "0")
            .field("Connection", "close");
        conn.write(&request.bytes()).await;
        conn.response().await
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::parse(self.get("/metrics").await.text())
    }

    /// Waits until the metric has this value.
    pub(crate) async fn metric_becomes(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name}{labels:?} = {value}");
        eventually(SOON, &what, || async {
            (self.metrics().await.sum(name, labels) == value).then_some(())
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a live process");
    }

    /// Waits for the process to end.
    pub(crate) async fn exit(&mut self, deadline: Duration) -> ExitStatus {
        within(deadline, "the end of the process", self.child.wait())
            .await
            .expect("a child to wait for")
    }

    /// Replaces the config, asks for a reload and waits until the router has judged it.
    pub(crate) async fn reload(&self, config: &Config) {
        self.reload_text(&config.text()).await;
    }

    pub(crate) async fn reload_text(&self, text: &str) {
        let before = self.reloads().await;
        self.dir.replace("longhaul.yaml", text);
        self.signal(Signal::HUP);
        eventually(SOON, "a judged reload", || async {
            (self.reloads().await > before).then_some(())
        })
        .await;
    }

    async fn reloads(&self) -> f64 {
        self.metrics().await.sum("longhaul_config_reloads_total", &[])
    }

    /// The lines of ended sessions, once there are so many.
    pub(crate) async fn ended(&self, count: usize) -> Vec<Value> {
        self.log
            .wait("lines of ended sessions", count, |line| {
                line["message"] == "session ended"
            })
            .await
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("a live process");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a line VmRSS");
        let kilobytes = line
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse::<u64>().ok());
        kilobytes.expect("a number of kB") * 1024
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(self.proc("fd"))
            .expect("a live process")
            .count()
    }

    /// Processor time used, in clock ticks of 10 ms.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(self.proc("stat")).expect("a live process");
        let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
        after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|word| word.parse::<u64>().ok())
            .sum()
    }

    fn proc(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.pid.as_raw_nonzero()).into()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let raw = self.log.raw();
            let from = raw.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            eprintln!("--- the end of the router's log ---\n{}", &raw[from..]);
        }
    }
}

/// Runs `longhaul` with these arguments to its end.
pub(crate) async fn longhaul(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_longhaul"))
        .args(arguments)
        .kill_on_drop(true)
        .output();
    within(SOON, arguments, output).await.expect("a binary to run")
}

fn spawn(mut command: Command, config: &Path) -> (Child, Log) {
    let mut child = command
        .args(["run", "--config"])
        .arg(config)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a binary to run");
    let log = Log::default();
    log.follow(child.stderr.take().expect("a pipe"));
    log.follow(child.stdout.take().expect("a pipe"));
    (child, log)
}

/// Waits until the process is a zombie: ended, and not yet waited for.
async fn closed(id: u32) {
    eventually(SOON + SOON, "the end of a start that failed", || async {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z")).then_some(())
    })
    .await;
}

fn address(log: &Log, message: &str) -> SocketAddr {
    address_of(&log.all(message)[0])
}

fn address_of(line: &Value) -> SocketAddr {
    line["address"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no address in {line}"))
}
