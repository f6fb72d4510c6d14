//! Microsoft's SignalR server, in three processes that all tests of this process share.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

/// What each is named, and says when it is asked who it is.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three hubs. They end with their standard input, so with this process.
pub(crate) struct Hubs {
    pub(crate) addresses: Vec<SocketAddr>,
    _children: Vec<Child>,
}

impl Hubs {
    /// Builds the hub if it is not there, and starts the three once for all tests.
    pub(crate) fn ready() -> &'static Self {
        static HUBS: OnceLock<Hubs> = OnceLock::new();
        HUBS.get_or_init(|| {
            let program = Self::build("");
            let mut started: Vec<_> = NAMES.iter().map(|name| start(&program, name)).collect();
            Self {
                addresses: started.iter_mut().map(listening).collect(),
                _children: started,
            }
        })
    }

    /// Builds the hub of this folder, or the tests' own, if it is not there; its program.
    pub(crate) fn build(folder: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/build");
        let mut command = Command::new(script);
        command.arg("signalr");
        if !folder.is_empty() {
            command.arg(folder);
        }
        let output = command.output().expect("a script to run");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{script} signalr {folder}: {out}{err}");
        out.trim().to_owned()
    }
}

fn start(program: &str, name: &str) -> Child {
    Command::new(program)
        .env("HUB_NAME", name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a hub to run")
}

fn listening(hub: &mut Child) -> SocketAddr {
    let mut line = String::new();
    let out = hub.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("a readable pipe");
    let port = line
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("a hub printed no port: {line}"));
    ([127, 0, 0, 1], port).into()
}
