//! Peers that take nothing, or come in numbers: memory stays bounded and the others are served.

use std::time::Duration;

use crate::support::*;

const KIBIBYTE: u64 = 1024;

/// So many sessions whose one side floods while the other does not read.
const STALLED: u64 = 100;

#[test]
fn a_client_that_does_not_read_holds_at_most_256_kib_and_stops_its_backend() {
    run(async {
        let backend = Backend::manual().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let before = router.memory();
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            let mut client = Conn::connect_narrow(router.address()).await;
            client.write(&Request::upgrade("/").bytes()).await;
            let mut server = backend.arrival().await;
            server.accept_upgrade().await;
            let (_, writer) = server.into_halves();
            stalled.push((client, tokio::spawn(flood_until_blocked(writer))));
        }
        let mut held = Vec::new();
        for (client, flood) in stalled {
            held.push((client, flood.await.expect("no panic")));
        }
        let each = router.memory().saturating_sub(before) / STALLED;
        assert!(each <= 256 * KIBIBYTE, "{each} bytes for each session");
        let (mut client, mut server) = session(&router, &backend).await;
        client.send(Frame::text("served")).await;
        assert_eq!(server.frame().await.string(), "served");
    });
}

#[test]
fn a_backend_that_does_not_read_holds_at_most_256_kib_and_stops_its_client() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let before = router.memory();
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            let (client, server) = session(&router, &backend).await;
            let (_, writer) = client.into_halves();
            stalled.push((server, tokio::spawn(flood_until_blocked(writer))));
        }
        let mut held = Vec::new();
        for (server, flood) in stalled {
            held.push((server, flood.await.expect("no panic")));
        }
        let each = router.memory().saturating_sub(before) / STALLED;
        assert!(each <= 256 * KIBIBYTE, "{each} bytes for each session");
    });
}

/// Writes until the peer has taken nothing for a while; the writer is given back so that the connection stays.
async fn flood_until_blocked(mut writer: tokio::net::tcp::OwnedWriteHalf) -> tokio::net::tcp::OwnedWriteHalf {
    use tokio::io::AsyncWriteExt;
    let chunk = Frame::binary(vec![7; 60_000]).encode();
    for _ in 0..2000 {
        match tokio::time::timeout(Duration::from_secs(1), writer.write_all(&chunk)).await {
            Ok(result) => result.expect("a live connection"),
            Err(_) => return writer,
        }
    }
    panic!("120 MB were taken from a peer whose counterpart does not read");
}

#[test]
fn what_a_stalled_client_left_unread_arrives_when_it_reads_again() {
    run(async {
        let (router, backend) = router_and_backend().await;
        let (client, server) = session(&router, &backend).await;
        let sent = Pattern::new(21).bytes(32 << 20);
        let (mut reader, _up) = client.into_halves();
        let (_down, mut writer) = server.into_halves();
        let copy = sent.clone();
        let writing = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            writer
                .write_all(&copy)
                .await
                .expect("a peer that reads in the end");
        });
        eventually(SOON, "the backend is stopped", || {
            let before = router.ticks();
            let blocked = !writing.is_finished();
            let router = &router;
            async move {
                measure_for(Duration::from_millis(300)).await;
                // A router that is busy here would be spinning on a socket that takes nothing.
                (blocked && router.ticks() - before <= 3).then_some(())
            }
        })
        .await;
        let mut got = vec![0; sent.len()];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut got)
            .await
            .expect("every byte");
        assert!(got == sent);
        writing.await.expect("no panic");
    });
}

#[test]
fn a_thousand_connections_that_stall_are_closed_in_time_and_the_others_are_served() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("limits: { request_deadline: 3s }")).await;
        let before = router.descriptors();
        let started = tokio::time::Instant::now();
        let mut stalled = Vec::new();
        for index in 0..1000 {
            let mut client = Conn::connect(router.address()).await;
            if index % 2 == 0 {
                client
                    .try_write(&Request::upgrade("/").bytes()[..index % 90])
                    .await
                    .ok();
            }
            stalled.push(client);
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let since = tokio::time::Instant::now();
            open(&router).await.echoes("served").await;
            slowest = slowest.max(since.elapsed());
        }
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        for client in &mut stalled {
            client.rest().await;
        }
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "{:?}",
            started.elapsed()
        );
        eventually(SOON, "descriptors are free", || async {
            (router.descriptors() <= before + 2).then_some(())
        })
        .await;
        assert_eq!(backend.accepted(), 50);
    });
}

#[test]
fn a_kept_alive_connection_that_falls_silent_is_closed() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("limits: { request_deadline: 1s }")).await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::plain("/").bytes()).await;
        assert_eq!(client.response().await.status(), 200);
        let (left, _) = within(Duration::from_secs(5), "the connection is closed", client.rest()).await;
        assert!(
            left.is_empty() || left.starts_with(b"HTTP/1.1 408"),
            "{}",
            String::from_utf8_lossy(&left)
        );
    });
}

#[test]
fn many_connects_that_go_away_at_once_leave_nothing_behind() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        open(&router).await.echoes("warm").await;
        router.ended(1).await;
        let before = router.descriptors();
        for round in 0..600 {
            let mut client = Conn::connect(router.address()).await;
            match round % 3 {
                0 => {}
                1 => client.reset(),
                _ => {
                    client.try_write(&Request::upgrade("/").bytes()).await.ok();
                }
            }
        }
        eventually(SOON, "descriptors are free", || async {
            (router.descriptors() <= before).then_some(())
        })
        .await;
        router.metric_becomes("longhaul_sessions_active", &[], 0.0).await;
    });
}
