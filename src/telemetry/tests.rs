use std::{
    net::SocketAddr,
    sync::{Mutex, mpsc},
};

use serde_json::Value;
use tracing::{Level, subscriber::with_default};

use super::*;
use crate::{
    relay::{Initiator, Outcome, Reason},
    session::{NewSession, Registered, Sessions},
};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

/// Keeps what is written, once somebody lets it.
struct StuckPipe {
    paper: Paper,
    released: mpsc::Receiver<()>,
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Write for Paper {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for StuckPipe {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // An error says that it was released for good.
        let _ = self.released.recv();
        self.paper.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn log(level: Level, sessions: bool) -> Log {
    Log { level, sessions }
}

/// What is written while `work` runs.
fn written(log: &Log, work: impl FnOnce(&Telemetry)) -> Paper {
    let paper = Paper::default();
    let (subscriber, telemetry) = build(log, paper.clone(), Format::Json, QUEUED_LINES);
    with_default(subscriber, || work(&telemetry));
    drop(telemetry);
    paper
}

fn session(sessions: &Arc<Sessions>) -> Registered {
    let endpoint: SocketAddr = "127.0.0.1:9001".parse().unwrap();
    sessions.open(
        0,
        NewSession {
            route: "chat.example.com/{*rest}".into(),
            service: "chat".into(),
            endpoint: Arc::new(discovery::Endpoint::at(endpoint)),
            client: "192.0.2.7:5000".parse().unwrap(),
        },
    )
}

fn keys(line: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

const CLOSED: Outcome = Outcome {
    initiator: Initiator::Client,
    reason: Reason::Close,
    code: Some(4001),
};

#[tokio::test]
async fn a_session_writes_two_lines_with_exactly_the_promised_fields() {
    let registered = session(&Sessions::new(1));
    let session = registered.session();
    let paper = written(&log(Level::INFO, true), |_| {
        sessions::opened(session);
        session.carried.bytes_from_client.set(70);
        session.carried.bytes_to_client.set(71);
        session.carried.messages_from_client.set(1);
        session.carried.messages_to_client.set(2);
        sessions::ended(session, &CLOSED);
    });
    let lines = paper.lines();
    let [opened, ended] = lines.as_slice() else {
        panic!("{} lines", lines.len())
    };

    let both = [
        "client",
        "endpoint",
        "level",
        "message",
        "route",
        "service",
        "session",
        "target",
        "timestamp",
    ];
    assert_eq!(keys(opened), both);
    assert_eq!(opened["message"], "session opened");
    assert_eq!(opened["target"], "longhaul::session");
    assert_eq!(opened["level"], "INFO");
    assert_eq!(opened["endpoint"], "127.0.0.1:9001");
    assert_eq!(opened["client"], "192.0.2.7:5000");
    assert_eq!(opened["route"], "chat.example.com/{*rest}");
    assert_eq!(opened["session"], session.id.to_string());

    let mut all = vec![
        "bytes_from_client",
        "bytes_to_client",
        "code",
        "duration_ms",
        "initiator",
        "messages_from_client",
        "messages_to_client",
        "reason",
    ];
    all.extend(both);
    all.sort_unstable();
    assert_eq!(keys(ended), all);
    assert_eq!(ended["message"], "session ended");
    assert_eq!(ended["bytes_from_client"], 70);
    assert_eq!(ended["bytes_to_client"], 71);
    assert_eq!(ended["messages_from_client"], 1);
    assert_eq!(ended["messages_to_client"], 2);
    assert_eq!(ended["initiator"], "client");
    assert_eq!(ended["code"], 4001);
    assert_eq!(ended["reason"], "close");
    assert!(ended["duration_ms"].is_u64());
}

#[tokio::test]
async fn an_end_without_a_code_has_no_code_field() {
    let registered = session(&Sessions::new(1));
    let paper = written(&log(Level::INFO, true), |_| {
        let outcome = Outcome { code: None, ..CLOSED };
        sessions::ended(registered.session(), &outcome);
    });
    assert!(!keys(&paper.lines()[0]).contains(&"code"));
}

#[tokio::test]
async fn session_lines_follow_the_config_also_after_a_reload() {
    let registered = session(&Sessions::new(1));
    let paper = written(&log(Level::INFO, false), |telemetry| {
        sessions::opened(registered.session());
        tracing::info!("first");
        telemetry.set(&log(Level::INFO, true));
        sessions::opened(registered.session());
        telemetry.set(&log(Level::WARN, true));
        sessions::ended(registered.session(), &CLOSED);
        tracing::info!("second");
        tracing::warn!("third");
    });
    let lines = paper.lines();
    let messages: Vec<&str> = lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages, ["first", "session opened", "third"]);
}

#[test]
fn other_crates_write_warnings_only_however_low_the_level() {
    let paper = written(&log(Level::TRACE, true), |_| {
        tracing::debug!(target: "hyper::proto", "authorization: planted");
        tracing::warn!(target: "hyper::proto", "a warning");
        tracing::warn!(target: "h2::proto", "what a client does");
        tracing::error!(target: "h2::proto", "an error");
        tracing::trace!(target: "longhaul::dial", "ours");
        tracing::trace!(target: "discovery::merge", "ours too");
    });
    let lines = paper.lines();
    let messages: Vec<&str> = lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages, ["a warning", "an error", "ours", "ours too"]);
}

#[test]
fn a_terminal_gets_text() {
    let paper = Paper::default();
    let format = Format::Text { ansi: false };
    let (subscriber, telemetry) = build(&log(Level::INFO, true), paper.clone(), format, 8);
    with_default(subscriber, || tracing::info!(port = 8080, "listening"));
    drop(telemetry);
    let text = paper.text();
    assert!(
        text.contains("INFO") && text.contains("listening port=8080"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_stuck_log_pipe_blocks_nobody_and_the_loss_is_reported() {
    let (release, released) = mpsc::channel();
    let paper = Paper::default();
    let pipe = StuckPipe {
        paper: paper.clone(),
        released,
    };
    let (subscriber, telemetry) = build(&log(Level::INFO, true), pipe, Format::Json, 8);
    let loss = telemetry.loss();
    // That this returns at all is the point: nothing reads the pipe. The buffer takes some 500 lines, the queue 8.
    with_default(subscriber, || {
        (0..2000).for_each(|line| tracing::info!(line, "a line"))
    });
    assert!(loss.lines() >= 1000, "{} lines lost", loss.lines());

    drop(release);
    drop(telemetry);
    let (reports, lines): (Vec<Value>, Vec<Value>) = paper
        .lines()
        .into_iter()
        .partition(|line| line["message"] == "log lines were dropped");
    let reported: u64 = reports.iter().map(|line| line["dropped"].as_u64().unwrap()).sum();
    assert_eq!(reported, loss.lines());
    assert_eq!(lines.len() as u64 + reported, 2000);
}

#[test]
fn a_pipe_that_is_gone_counts_as_loss() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (subscriber, telemetry) = build(&log(Level::INFO, true), Gone, Format::Json, QUEUED_LINES);
    let loss = telemetry.loss();
    let long = "x".repeat(BUFFER);
    with_default(subscriber, || (0..3).for_each(|_| tracing::info!("{long}")));
    drop(telemetry);
    assert_eq!(loss.lines(), 3);
}

#[test]
fn a_panic_logs_no_text_made_from_values() {
    let planted = "access_token=planted";
    let from_values = std::panic::catch_unwind(|| panic!("cannot parse {planted}")).unwrap_err();
    assert_eq!(literal_text(&*from_values), None);
    let literal = std::panic::catch_unwind(|| panic!("the pump is past its end")).unwrap_err();
    assert_eq!(literal_text(&*literal), Some("the pump is past its end"));
}
