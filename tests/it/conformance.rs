//! Frame by frame, a session through the router gives what it gives without one.
//!
//! In: the table of [`cases`]: well-formed and malformed frames of every kind. Each is sent to a server that others wrote,
//! once directly and once through the router; every frame that comes back, the close code and whether the server's
//! connection ended must be the same. What the right answer is, is the server's business.

mod cases;

use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::*;
use cases::Case;

/// What a client saw of one case.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    frames: Vec<Frame>,
    cut: Vec<u8>,
}

async fn play(address: std::net::SocketAddr, case: &Case) -> Seen {
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
    let (frames, cut) = client
        .read_while(|mut writer| async move {
            use tokio::io::AsyncWriteExt;
            for part in &case.parts {
                // A server that has closed may reset what still comes; that is a part of what is compared.
                if writer.write_all(part).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            writer
        })
        .await;
    Seen { frames, cut }
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
                        assert_eq!(through, direct, "{}", case.name);
                        assert!(
                            !direct.frames.is_empty(),
                            "{}: a case must show something",
                            case.name
                        );
                    });
                }
                while let Some(done) = running.join_next().await {
                    done.unwrap_or_else(|error| panic!("{script}: {error}"));
                }
            }
        }
    });
}
