//! Programs that others wrote: where they are, and running them.

use std::{collections::BTreeMap, process::Stdio, sync::OnceLock, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{SOON, within};

/// What `tests/install` found or installed.
#[derive(Debug)]
pub(crate) struct Tools(BTreeMap<String, String>);

impl Tools {
    /// Installs what is missing, once for all tests of this process.
    pub(crate) fn ready() -> &'static Self {
        static TOOLS: OnceLock<Tools> = OnceLock::new();
        TOOLS.get_or_init(|| {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/install");
            let output = std::process::Command::new(script)
                .output()
                .expect("a script to run");
            let (out, err) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            assert!(output.status.success(), "tests/install: {err}");
            let lines = out.lines().filter_map(|line| line.split_once('='));
            Self(
                lines
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            )
        })
    }

    /// A script of `tests/real`, run by the interpreter of its kind.
    fn command(&self, script: &str) -> Command {
        let interpreter = match script.rsplit_once('.') {
            Some((_, "py")) => &self.0["python"],
            Some(_) => &self.0["node"],
            None => "bash",
        };
        let mut command = Command::new(interpreter);
        command
            .arg(format!("{}/tests/real/{script}", env!("CARGO_MANIFEST_DIR")))
            .env("NODE_PATH", &self.0["node_modules"])
            .env("CHROMIUM", &self.0["chromium"])
            .kill_on_drop(true);
        command
    }

    /// Runs a script to its end; what it printed.
    pub(crate) async fn output(&self, script: &str, argument: &str) -> String {
        self.output_believing(script, argument, "").await
    }

    /// As [`Self::output`], where the authority of this file is believed.
    pub(crate) async fn output_believing(&self, script: &str, argument: &str, ca: &str) -> String {
        let mut command = self.command(script);
        if !ca.is_empty() {
            command.env("NODE_EXTRA_CA_CERTS", ca).env("SSL_CERT_FILE", ca);
        }
        let output = command.arg(argument).output();
        let output = within(Duration::from_secs(50), script, output)
            .await
            .expect("a script to run");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{script} {argument}: {}\n{out}\n{err}",
            output.status
        );
        out.into_owned()
    }

    /// Starts a server script, which prints its port first.
    pub(crate) async fn server(&self, script: &str) -> Process {
        let mut command = self.command(script);
        // The servers end with their standard input, so none outlives a test that was killed.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a script to run");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = within(SOON, script, lines.next_line())
            .await
            .expect("a readable pipe");
        let port = line
            .and_then(|line| line.parse().ok())
            .unwrap_or_else(|| panic!("{script} printed no port"));
        Process {
            _child: child,
            address: ([127, 0, 0, 1], port).into(),
        }
    }
}

/// A server that others wrote; it dies with this value.
pub(crate) struct Process {
    _child: Child,
    pub(crate) address: std::net::SocketAddr,
}
