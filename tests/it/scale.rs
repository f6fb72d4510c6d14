//! Many sessions at once: as many as `LONGHAUL_SESSIONS` says (`tests/scale` runs them with 9,000).
//!
//! The test's process holds both ends of each session and the router two sockets for it, so 9,000 sessions are what fits
//! in 20,000 descriptors.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::support::*;

const LIMIT: Duration = Duration::from_mins(5);

/// Sessions at once; few enough by default to run beside every other test.
fn sessions() -> usize {
    std::env::var("LONGHAUL_SESSIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(500)
}

async fn four() -> Vec<Backend> {
    let mut backends = Vec::new();
    for _ in 0..4 {
        backends.push(Backend::echo().await);
    }
    backends
}

fn config(backends: &[Backend], service: &str) -> Config {
    Config::over(&backends.iter().collect::<Vec<_>>(), service, "")
}

/// Opens so many, a few at a time.
async fn open_all(router: &Router, count: usize) -> Vec<Conn> {
    stream::iter(0..count)
        .map(|_| Conn::upgrade_owned(router.address()))
        .buffer_unordered(32)
        .collect()
        .await
}

async fn echo_all(clients: &mut [Conn], text: &str) {
    for client in clients {
        client.echoes(text).await;
    }
}

#[test]
fn sessions_spread_evenly_over_four_endpoints() {
    run_within(LIMIT, async {
        for (strategy, most) in [
            ("round-robin", 1.02),
            ("least-connection", 1.02),
            ("power-of-two", 1.10),
        ] {
            let backends = four().await;
            let router = Router::start(&config(&backends, &format!("balance: {strategy}"))).await;
            let count = sessions();
            let _clients = open_all(&router, count).await;
            let counts: Vec<_> = backends.iter().map(Backend::accepted).collect();
            let unevenness = counts.iter().max().copied().unwrap_or(0) as f64 * 4.0 / count as f64;
            println!("{strategy}: {counts:?}, max/mean {unevenness:.3}");
            assert!(
                unevenness <= most,
                "{strategy}: {counts:?}, max/mean {unevenness:.3}"
            );
            router
                .metric_becomes("longhaul_sessions_active", &[], count as f64)
                .await;
        }
    });
}

#[test]
fn a_hundred_reloads_under_load_lose_no_session() {
    run_within(LIMIT, async {
        let backends = four().await;
        let router = Router::start(&config(&backends, "")).await;
        let mut clients = open_all(&router, sessions()).await;
        for round in 0..100 {
            let some = &backends[..1 + round % 4];
            router
                .reload(&config(some, &format!("connect_timeout: {}s", 1 + round % 7)))
                .await;
            let index = round * 37 % clients.len();
            clients[index].echoes("in between").await;
        }
        echo_all(&mut clients, "after all of them").await;
        assert!(router.log.all("session ended").is_empty());
    });
}

#[test]
fn sigterm_closes_all_with_1001_between_frames_within_the_window() {
    run_within(LIMIT, async {
        let backends = four().await;
        let config = config(&backends, "").line("shutdown: { window: 10s, deadline: 30s }");
        let mut router = Router::start(&config).await;
        let mut ends = JoinSet::new();
        for client in open_all(&router, sessions()).await {
            ends.spawn(talk_until_closed(client));
        }
        router.signal(Signal::TERM);
        let started = tokio::time::Instant::now();
        let status = router.exit(Duration::from_secs(40)).await;
        let took = started.elapsed();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(14), "{took:?}");
        while let Some(end) = ends.join_next().await {
            assert_eq!(end.expect("a proper end"), (vec![Some(1001)], 0));
        }
    });
}

/// Sends a message every second until a Close comes; the codes of all Closes, and how much of a frame was left over.
async fn talk_until_closed(mut client: Conn) -> (Vec<Option<u16>>, usize) {
    let mut closes = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    loop {
        let frame = tokio::select! {
            frame = client.next() => frame,
            _ = pace.tick(), if closes.is_empty() => {
                let bytes = client.encode(Frame::binary(vec![3; 2000]));
                client.try_write(&bytes).await.ok();
                continue;
            }
        };
        match frame {
            Ok(frame) if frame.is_close() => {
                closes.push(close_code(&frame));
                let answer = client.encode(frame);
                client.try_write(&answer).await.ok();
            }
            Ok(_) => {}
            Err(_) => return (closes, client.arrivals(Duration::ZERO).await.len()),
        }
    }
}

#[test]
fn an_idle_session_takes_little_memory() {
    run_within(LIMIT, async {
        let backends = four().await;
        let router = Router::start(&config(&backends, "")).await;
        let count = sessions();
        // What the first sessions take (code, buffers of the workers) is not what one more takes.
        let mut clients = open_all(&router, count / 5).await;
        echo_all(&mut clients, "warm").await;
        let before = router.memory();
        let more = count - clients.len();
        clients.extend(open_all(&router, more).await);
        let each = router.memory().saturating_sub(before) / more as u64;
        println!("{each} bytes for each of {more} idle sessions");
        // Memory comes in pages, and an allocator keeps some: a few sessions say little.
        let most = if count >= 5000 { 3 * 1024 } else { 12 * 1024 };
        assert!(each <= most, "{each} bytes for each of {more} idle sessions");
        echo_all(&mut clients, "still here").await;
    });
}
