//! What the router does with the kernel: descriptors, workers, dead peers.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::support::*;

async fn open_many(router: &Router, count: usize) -> Vec<Conn> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(open(router).await);
    }
    clients
}

#[test]
fn the_soft_descriptor_limit_is_raised_to_the_hard_one() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start_with_soft_limit(&Config::to(&[&backend]), 128).await;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", router.pid.as_raw_nonzero()))
            .expect("a process");
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .expect("a line of open files");
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[3], words[4], "{line}");
        for client in &mut open_many(&router, 200).await {
            client.echoes("more than the soft limit").await;
        }
    });
}

#[test]
fn without_a_descriptor_left_it_waits_and_neither_spins_nor_ends() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let mut early = open_many(&router, 3).await;
        let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
        let limit = |current| Rlimit {
            current,
            maximum: hard,
        };
        prlimit(
            Some(router.pid),
            Resource::Nofile,
            limit(Some(router.descriptors() as u64 + 4)),
        )
        .expect("a limit");
        let mut late = Vec::new();
        for _ in 0..30 {
            let mut client = Conn::connect(router.address()).await;
            client.try_write(&Request::upgrade("/").bytes()).await.ok();
            late.push(client);
        }
        // The admin address has no descriptor for an answer either, so the log has to tell.
        let starved = |line: &serde_json::Value| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("cannot accept"))
        };
        router.log.wait("a line about it", 1, starved).await;
        let before = router.ticks();
        measure_for(Duration::from_secs(1)).await;
        let used = router.ticks() - before;
        assert!(used <= 20, "{used} of 100 ticks while no descriptor is left");
        for client in &mut early {
            client.echoes("still here").await;
        }
        prlimit(Some(router.pid), Resource::Nofile, limit(hard)).expect("a limit");
        assert!(router.metrics().await.sum("longhaul_accept_errors_total", &[]) > 0.0);
        eventually(SOON, "new sessions", || async {
            let mut client = Conn::connect(router.address()).await;
            client.try_write(&Request::upgrade("/").bytes()).await.ok();
            (client.head().await?.status() == 101).then_some(())
        })
        .await;
    });
}

#[test]
fn connections_spread_over_the_workers() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("workers: 4")).await;
        let mut clients = open_many(&router, 100).await;
        for worker in ["0", "1", "2", "3"] {
            router
                .metric_becomes("longhaul_connections", &[("worker", worker)], 25.0)
                .await;
        }
        // Long sessions leave unevenly; new ones fill the gaps.
        clients.drain(..60);
        router.metric_becomes("longhaul_connections", &[], 40.0).await;
        clients.extend(open_many(&router, 60).await);
        for worker in ["0", "1", "2", "3"] {
            router
                .metric_becomes("longhaul_connections", &[("worker", worker)], 25.0)
                .await;
        }
    });
}

#[test]
fn a_peer_that_vanishes_would_be_noticed_on_both_legs() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (client, server) = session(&router, &backend).await;
        let client = client.tcp().local_addr().expect("a connected socket");
        let server = server.tcp().peer_addr().expect("a connected socket");
        let output = std::process::Command::new("ss")
            .args(["-Htno"])
            .output()
            .expect("ss of iproute2");
        let text = String::from_utf8_lossy(&output.stdout);
        for (leg, from, to) in [
            ("client", router.address(), client),
            ("backend", server, backend.address),
        ] {
            let (from, to) = (from.to_string(), to.to_string());
            let line = text.lines().find(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                words.len() > 4 && words[3] == from && words[4] == to
            });
            let line = line.unwrap_or_else(|| panic!("no socket {from} {to} in\n{text}"));
            assert!(line.contains("timer:(keepalive,"), "{leg}: {line}");
        }
    });
}

/// Sockets in this state, as (this port, that port).
fn waiting_ports() -> Vec<(u16, u16)> {
    const TIME_WAIT: &str = "06";
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table of sockets");
    let rows = table.lines().skip(1).map(str::split_whitespace);
    rows.filter_map(|mut words| {
        let (this, that) = (words.nth(1)?, words.next()?);
        (words.next()? == TIME_WAIT).then_some((port(this)?, port(that)?))
    })
    .collect()
}

/// Whoever ends a connection first cannot use its port for a minute. A router that did would run out of ports.
#[test]
fn after_a_close_it_is_the_backend_that_ends_first() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (mut client, mut server) = session(&router, &backend).await;
        let there = server.tcp().local_addr().expect("an address").port();
        let here = server.tcp().peer_addr().expect("an address").port();
        client.send(Frame::close(1000, "")).await;
        assert!(server.frame().await.is_close());
        server.send(Frame::close(1000, "")).await;
        let (frames, _) = client.frames_to_end().await;
        assert_eq!(frames, [Frame::close(1000, "")]);
        // Its client has been told the end, and has ended too; only the backend has not.
        drop(client);
        drop(server);
        eventually(SOON, "the backend's port waits", || async {
            waiting_ports().contains(&(there, here)).then_some(())
        })
        .await;
        assert!(!waiting_ports().contains(&(here, there)));
    });
}
