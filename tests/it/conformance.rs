//! Frame by frame, a session through the router gives what it gives without one.
//!
//! In: the table of [`cases`]: well-formed and malformed frames of every kind. Each is sent to a server that others wrote,
//! once directly and once through the router; every frame that comes back, the close code and whether the server's
//! connection ended must be the same. What the right answer is, is the server's business.

mod cases;

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::OwnedWriteHalf,
    sync::watch,
    task::JoinSet,
};

use crate::support::*;
use cases::{Case, Step};

/// What a client saw of one case.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    data: Vec<Frame>,
    /// Apart, because a server may answer a Ping before or after a message that came earlier.
    control: Vec<Frame>,
    cut: Vec<u8>,
}

impl Seen {
    /// Short enough for a message.
    fn summary(&self) -> String {
        let last = &self.data[self.data.len().saturating_sub(2)..];
        format!(
            "{} data frames up to {last:?}, {:?}, {} bytes cut",
            self.data.len(),
            self.control,
            self.cut.len()
        )
    }
}

/// What was received so far, and whether the connection has ended.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    ended: bool,
}

async fn play(address: SocketAddr, case: &Case) -> Seen {
    let mut request = Request::upgrade("/");
    if case.compresses {
        request = request.field("Sec-WebSocket-Extensions", "permessage-deflate");
    }
    let (client, head) = Conn::upgrade(address, &request).await;
    assert_eq!(head.status(), 101, "{}", case.name);
    assert_eq!(
        head.has("sec-websocket-extensions"),
        case.compresses,
        "{}",
        case.name
    );
    let (mut reader, mut writer) = client.into_halves();
    let (progress, watched) = watch::channel(Received::default());
    let reading = async {
        let mut chunk = vec![0; 64 * 1024];
        // A reset ends the connection like a FIN: which of them comes is a matter of timing.
        while let Ok(count @ 1..) = reader.read(&mut chunk).await {
            progress.send_modify(|received| received.bytes.extend_from_slice(&chunk[..count]));
        }
        progress.send_modify(|received| received.ended = true);
    };
    let both = async { tokio::join!(reading, write(&mut writer, watched.clone(), &case.steps)) };
    within(Duration::from_secs(30), &case.name, both).await;
    let (frames, cut) = frames(&watched.borrow().bytes);
    let (data, control) = frames.into_iter().partition(|frame| frame.opcode < 8);
    Seen { data, control, cut }
}

async fn write(writer: &mut OwnedWriteHalf, mut watched: watch::Receiver<Received>, steps: &[Step]) {
    for step in steps {
        match step {
            // A server that has closed may reset what still comes.
            Step::Send(bytes) => {
                if writer.write_all(bytes).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            Step::Messages(count) => {
                watched
                    .wait_for(|received| received.ended || answered(received, *count))
                    .await
                    .ok();
            }
        }
    }
}

/// Whether so many messages are there, or a Close, after which there is nothing to wait for.
fn answered(received: &Received, messages: usize) -> bool {
    let frames = frames(&received.bytes).0;
    let whole = frames
        .iter()
        .filter(|frame| frame.fin && frame.opcode < 8)
        .count();
    whole >= messages || frames.iter().any(Frame::is_close)
}

fn frames(mut bytes: &[u8]) -> (Vec<Frame>, Vec<u8>) {
    let mut frames = Vec::new();
    while let Some((frame, length)) = Frame::decode(bytes) {
        bytes = &bytes[length..];
        frames.push(frame);
    }
    (frames, bytes.to_vec())
}

#[test]
fn every_case_gives_the_same_through_the_router_as_without_it() {
    run_within(Duration::from_mins(4), async {
        let table: &'static [Case] = cases::all().leak();
        assert!(table.len() >= 150, "{} cases", table.len());
        for script in ["server.cjs", "server.py"] {
            let server = Tools::ready().server(script).await;
            let config = Config::default().service("chat", &[server.address], "").route(
                r#"path: "/{*rest}""#,
                "chat",
                "",
            );
            let router = Router::start(&config).await;
            for batch in table.chunks(16) {
                let mut running = JoinSet::new();
                for case in batch {
                    let (direct, through) = (server.address, router.address());
                    running.spawn(async move {
                        let (direct, through) = tokio::join!(play(direct, case), play(through, case));
                        let (few, other) = (through.summary(), direct.summary());
                        assert!(
                            through == direct,
                            "{}: {few} through the router, {other} without",
                            case.name
                        );
                        let shown = !direct.data.is_empty() || !direct.control.is_empty();
                        assert!(shown, "{}: a case must show something", case.name);
                    });
                }
                while let Some(done) = running.join_next().await {
                    done.unwrap_or_else(|error| panic!("{script}: {error}"));
                }
            }
        }
    });
}
