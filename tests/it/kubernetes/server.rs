//! One server's process.

use std::{fs::File, path::PathBuf, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A running server; it dies with this value, and says its last words if the test is failing.
pub(super) struct Server {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Server {
    /// Starts `program`, whose words go to the file `log`.
    pub(super) fn start(program: &str, arguments: &[String], log: PathBuf) -> Self {
        let file = File::create(&log).expect("a writable directory");
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let id = child.id().expect("a process that nobody waited for");
        let pid = Pid::from_raw(id.cast_signed()).expect("a process id");
        Self { child, pid, log }
    }

    /// It stops in the middle of what it does; its connections stay open.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// It is gone without a word.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.expect("a live process");
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a live process");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(15)..];
            eprintln!("--- the end of {} ---\n{}", self.log.display(), last.join("\n"));
        }
    }
}
