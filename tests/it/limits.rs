//! What a session, a request and a process may take.

use std::time::Duration;

use crate::support::*;

#[test]
fn an_idle_session_ends_and_traffic_either_way_keeps_it() {
    run(async {
        let backend = Backend::manual().await;
        let router = Router::start(&Config::over(&[&backend], "", "session: { idle_timeout: 1s }")).await;
        let (mut client, mut server) = session(&router, &backend).await;
        let started = tokio::time::Instant::now();
        let mut pace = tokio::time::interval(Duration::from_millis(400));
        for round in 0..6 {
            pace.tick().await;
            let (from, to) = if round % 2 == 0 {
                (&mut client, &mut server)
            } else {
                (&mut server, &mut client)
            };
            from.send(Frame::text("busy")).await;
            assert_eq!(to.frame().await.string(), "busy");
        }
        assert!(started.elapsed() > Duration::from_millis(1900));
        let (frames, cut) = client.frames_to_end().await;
        assert!(cut.is_empty() && frames.len() <= 1, "{frames:?}");
        assert!(
            frames.iter().all(|frame| close_code(frame) == Some(1001)),
            "{frames:?}"
        );
        let line = &router.ended(1).await[0];
        assert_eq!(
            (&line["initiator"], line["reason"].as_str()),
            (&"router".into(), Some("idle timeout")),
            "{line}"
        );
    });
}

#[test]
fn a_session_ends_at_its_maximum_lifetime_or_a_tenth_earlier() {
    run(async {
        let backend = Backend::manual().await;
        let router = Router::start(&Config::over(&[&backend], "", "session: { max_lifetime: 2s }")).await;
        let mut lived = Vec::new();
        let mut open = Vec::new();
        for _ in 0..8 {
            open.push((session(&router, &backend).await, tokio::time::Instant::now()));
        }
        for ((mut client, mut server), since) in open {
            let close = client.frame().await;
            lived.push(since.elapsed());
            assert_eq!(close_code(&close), Some(1001));
            let close = server.frame().await;
            assert_eq!((close_code(&close), close.mask.is_some()), (Some(1001), true));
            client.send(Frame::close(1001, "")).await;
            server.send(Frame::close(1001, "")).await;
            let (frames, cut) = client.frames_to_end().await;
            assert!(
                frames.is_empty() && cut.is_empty(),
                "one Close, and nothing after it: {frames:?}"
            );
        }
        let early = lived.iter().min().expect("eight sessions");
        assert!(*early > Duration::from_millis(1700), "{lived:?}");
        assert!(
            lived.iter().all(|time| *time < Duration::from_secs(4)),
            "{lived:?}"
        );
        assert!(
            router
                .ended(8)
                .await
                .iter()
                .all(|line| line["reason"] == "maximum lifetime")
        );
    });
}

#[test]
fn a_target_that_is_too_long_is_414_and_a_head_that_is_too_large_is_431() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend])).await;
        let fields = |count: usize| {
            (0..count).fold(Request::upgrade("/"), |request, index| {
                request.field(&format!("X-{index}"), "1")
            })
        };
        let wide = |length: usize| Request::upgrade("/").field("X-Wide", "w".repeat(length));
        let long = |length: usize| Request::upgrade(&format!("/{}", "l".repeat(length)));
        for (name, request, status) in [
            ("a target of 7 KiB", long(7 * 1024), 101),
            ("a target of 9 KiB", long(9 * 1024), 414),
            ("a target of 40 KiB", long(40 * 1024), 414),
            ("a field of 14 KiB", wide(14 * 1024), 101),
            ("a field of 17 KiB", wide(17 * 1024), 431),
            ("a field of 1 MiB", wide(1 << 20), 431),
            ("95 fields", fields(90), 101),
            ("105 fields", fields(100), 431),
            ("1005 fields", fields(1000), 431),
        ] {
            let before = backend.heads().len();
            let mut client = Conn::connect(router.address()).await;
            client.try_write(&request.bytes()).await.ok();
            let head = client.head().await.unwrap_or_else(|| panic!("{name}: no answer"));
            let near = status == 414 && head.status() == 431;
            assert!(head.status() == status || near, "{name}: {head:?}");
            assert_eq!(
                backend.heads().len() - before,
                usize::from(status == 101),
                "{name}"
            );
        }
    });
}

#[test]
fn the_limits_of_a_head_are_the_configs() {
    run(async {
        let backend = Backend::echo().await;
        let config = Config::to(&[&backend]).line("limits: { request_head: 8KiB, request_headers: 10 }");
        let router = Router::start(&config).await;
        let request = Request::upgrade("/").field("X-Wide", "w".repeat(9 * 1024));
        assert_eq!(Conn::upgrade(router.address(), &request).await.1.status(), 431);
        let many = (0..10).fold(Request::upgrade("/"), |request, index| {
            request.field(&format!("X-{index}"), "1")
        });
        assert_eq!(Conn::upgrade(router.address(), &many).await.1.status(), 431);
        open(&router).await.echoes("within them").await;
    });
}

#[test]
fn connections_beyond_the_limit_get_no_session_until_one_ends() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("limits: { connections: 4 }")).await;
        let mut open_sessions = Vec::new();
        for _ in 0..4 {
            open_sessions.push(open(&router).await);
        }
        for _ in 0..20 {
            let (_extra, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            assert_eq!((head.status(), head.has("retry-after")), (503, true), "{head:?}");
        }
        assert_eq!(backend.accepted(), 4);
        for client in &mut open_sessions {
            client.echoes("still here").await;
        }
        open_sessions.pop();
        eventually(SOON, "a place is free again", || async {
            let mut client = Conn::connect(router.address()).await;
            client.try_write(&Request::upgrade("/").bytes()).await.ok();
            let head = tokio::time::timeout(Duration::from_secs(2), client.head())
                .await
                .ok()??;
            (head.status() == 101).then_some(())
        })
        .await;
    });
}

#[test]
fn more_sessions_than_one_endpoint_may_hold_are_503() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let config = Config::over(&[&backends[0], &backends[1]], "max_sessions_per_endpoint: 3", "");
        let router = Router::start(&config).await;
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(open(&router).await);
        }
        assert_eq!(backends.each_ref().map(Backend::accepted), [3, 3]);
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let response = client.response().await;
        assert_eq!((response.status(), response.head.has("retry-after")), (503, true));
        clients.pop();
        eventually(SOON, "a place is free again", || async {
            let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            (head.status() == 101).then_some(())
        })
        .await;
    });
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_at_the_request_deadline() {
    run(async {
        let backend = Backend::echo().await;
        let router = Router::start(&Config::to(&[&backend]).line("limits: { request_deadline: 1s }")).await;
        let mut slow = Vec::new();
        for _ in 0..10 {
            let mut client = Conn::connect(router.address()).await;
            slow.push(tokio::spawn(async move {
                let started = tokio::time::Instant::now();
                let bytes = Request::upgrade("/").bytes();
                let mut pace = tokio::time::interval(Duration::from_millis(100));
                for byte in bytes {
                    pace.tick().await;
                    if client.try_write(&[byte]).await.is_err() {
                        break;
                    }
                }
                started.elapsed()
            }));
        }
        for task in slow {
            let lasted = task.await.expect("a client that was cut off");
            assert!(lasted < Duration::from_secs(3), "{lasted:?}");
        }
        assert_eq!(backend.accepted(), 0);
    });
}

#[test]
fn the_request_deadline_does_not_touch_a_session() {
    run(async {
        let backend = Backend::echo().await;
        let router =
            Router::start(&Config::to(&[&backend]).line("limits: { request_deadline: 300ms }")).await;
        let mut client = open(&router).await;
        let mut pace = tokio::time::interval(Duration::from_millis(300));
        for _ in 0..5 {
            pace.tick().await;
            client.echoes("still here").await;
        }
    });
}
