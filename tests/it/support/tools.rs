//! Programs that others wrote: where they are, and running them.

use std::{collections::BTreeMap, process::Stdio, sync::OnceLock, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
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
            Some((_, "java")) => &self.0["java"],
            Some(_) => &self.0["node"],
            None => "bash",
        };
        let mut command = Command::new(interpreter);
        if script.ends_with(".java") {
            command.args(["-cp", &self.0["java_classes"], "Client"]);
        } else {
            command.arg(format!("{}/tests/real/{script}", env!("CARGO_MANIFEST_DIR")));
        }
        command
            .env("NODE_PATH", &self.0["node_modules"])
            .env("CHROMIUM", &self.0["chromium"])
            .kill_on_drop(true);
        command
    }

    /// Runs a script to its end; what it printed.
    pub(crate) async fn output(&self, script: &str, argument: &str) -> String {
        self.output_of(script, &[argument]).await
    }

    /// As [`Self::output`], with several arguments.
    pub(crate) async fn output_of(&self, script: &str, arguments: &[&str]) -> String {
        self.outcome(script, self.command(script).args(arguments)).await
    }

    /// As [`Self::output`], where the authority of this file is believed.
    pub(crate) async fn output_believing(&self, script: &str, argument: &str, ca: &str) -> String {
        let mut command = self.command(script);
        command.env("NODE_EXTRA_CA_CERTS", ca).env("SSL_CERT_FILE", ca);
        self.outcome(script, command.arg(argument)).await
    }

    async fn outcome(&self, script: &str, command: &mut Command) -> String {
        let output = command.output();
        let output = within(Duration::from_secs(50), script, output)
            .await
            .expect("a script to run");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{command:?}: {}\n{out}\n{err}",
            output.status
        );
        out.into_owned()
    }

    /// Starts a client that a test plays, command by command.
    pub(crate) fn player(&self, script: &str) -> Player {
        let mut child = self
            .command(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a script to run");
        Player {
            name: script.to_owned(),
            commands: child.stdin.take().expect("a pipe"),
            answers: BufReader::new(child.stdout.take().expect("a pipe")).lines(),
            _child: child,
        }
    }

    /// Starts a server script, which prints its port first.
    pub(crate) async fn server(&self, script: &str) -> Process {
        self.server_of(script, &[]).await
    }

    /// As [`Self::server`], with arguments.
    pub(crate) async fn server_of(&self, script: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(script);
        command.args(arguments);
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

/// A client that others wrote, in a script that does what the test says next; it dies with this value.
pub(crate) struct Player {
    name: String,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Player {
    /// Says one command and waits for the answer.
    pub(crate) async fn ask(&mut self, command: &Value) -> Value {
        self.say(command).await;
        self.hear(command).await
    }

    /// Says a command; [`Self::hear`] has its answer.
    pub(crate) async fn say(&mut self, command: &Value) {
        let line = format!("{command}\n");
        self.commands
            .write_all(line.as_bytes())
            .await
            .unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// The answer to the oldest command that was not answered yet.
    pub(crate) async fn hear(&mut self, command: &Value) -> Value {
        let what = format!("{}: {command}", self.name);
        let line = within(Duration::from_mins(2), &what, self.answers.next_line()).await;
        let line = line
            .expect("a readable pipe")
            .unwrap_or_else(|| panic!("{what}: it ended"));
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{what}: {error}: {line}"));
        assert!(answer["error"].is_null(), "{what}: {answer}");
        answer
    }
}
