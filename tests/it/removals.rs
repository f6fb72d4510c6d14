//! What a reload takes away: endpoints, services and routes, and what becomes of their sessions.

use crate::support::*;

/// One client of a running backend, which it answers as clients do; the code of the Close that it got.
fn closed_with(mut client: Conn) -> tokio::task::JoinHandle<Option<u16>> {
    tokio::spawn(async move {
        let close = client.frame().await;
        let code = close_code(&close);
        client.send(Frame { mask: None, ..close }).await;
        assert_eq!(client.rest().await.0, b"", "something after the Close");
        code
    })
}

async fn open_at(router: &Router, target: &str) -> Conn {
    let (client, head) = Conn::upgrade(router.address(), &Request::upgrade(target)).await;
    assert_eq!(head.status(), 101, "{head:?}");
    client
}

#[test]
fn a_reload_during_a_drain_does_not_stop_it() {
    run(async {
        let backends = [
            Backend::echo().await,
            Backend::echo().await,
            Backend::echo().await,
        ];
        let keys = "balance: round-robin, drain: { mode: close, window: 2s, close_code: 1012 }";
        let over = |chosen: &[&Backend]| Config::over(chosen, keys, "");
        let router = Router::start(&over(&[&backends[0], &backends[1]])).await;
        let (mut leaving, mut staying) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            let (client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
            if head.value("x-backend") == Some(&backends[0].address.to_string()) {
                leaving.push(closed_with(client));
            } else {
                staying.push(client);
            }
        }
        assert_eq!(leaving.len(), 20);
        router.reload(&over(&[&backends[1]])).await;
        router.ended(2).await;
        router.reload(&over(&[&backends[1], &backends[2]])).await;
        let ended = router.log.all("session ended").len();
        assert!(ended < 20, "the second reload came after the drain");
        for client in leaving {
            assert_eq!(client.await.expect("a Close"), Some(1012));
        }
        for client in &mut staying {
            client.echoes("untouched").await;
        }
    });
}

#[test]
fn sessions_of_a_removed_service_follow_its_drain() {
    run(async {
        let (old, new) = (Backend::echo().await, Backend::echo().await);
        let keys = "drain: { mode: close, window: 300ms, close_code: 1012 }";
        let to = |name: &str, backend: &Backend| {
            Config::default()
                .service(name, &[backend.address], keys)
                .route(r#"path: "/{*rest}""#, name, "")
        };
        let router = Router::start(&to("old", &old)).await;
        let mut leaving = Vec::new();
        for _ in 0..10 {
            leaving.push(closed_with(open(&router).await));
        }
        router.reload(&to("new", &new)).await;
        let mut staying = open(&router).await;
        for client in leaving {
            assert_eq!(client.await.expect("a Close"), Some(1012));
        }
        staying.echoes("of the new service").await;
        assert_eq!((old.accepted(), new.accepted()), (10, 1));
    });
}

#[test]
fn a_handshake_under_way_at_an_endpoint_that_is_removed_becomes_a_session_that_is_closed() {
    run(async {
        let (slow, other) = (Backend::manual().await, Backend::echo().await);
        let keys = "drain: { mode: close, window: 300ms, close_code: 1012 }, handshake_timeout: 20s";
        let router = Router::start(&Config::over(&[&slow], keys, "")).await;
        let mut client = Conn::connect(router.address()).await;
        client.write(&Request::upgrade("/").bytes()).await;
        let mut server = slow.arrival().await;
        let head = server.head().await.expect("an upgrade request");
        router.reload(&Config::over(&[&other], keys, "")).await;
        server.write(&accept_bytes(&head, "")).await;
        assert_eq!(client.head().await.expect("an answer").status(), 101);
        assert_eq!(close_code(&client.frame().await), Some(1012));
        assert_eq!(close_code(&server.frame().await), Some(1012));
    });
}

#[test]
fn sessions_of_a_removed_route_are_closed_or_kept_as_their_service_says() {
    run(async {
        let backends = [Backend::echo().await, Backend::echo().await];
        let services = Config::default()
            .service(
                "closing",
                &[backends[0].address],
                "drain: { mode: close, window: 300ms, close_code: 1012 }",
            )
            .service(
                "keeping",
                &[backends[1].address],
                "drain: { mode: keep, window: 300ms }",
            )
            .route("path: /stays", "closing", "");
        let before =
            services
                .clone()
                .route("path: /closed", "closing", "")
                .route("path: /kept", "keeping", "");
        let after = services.route("path: /other", "keeping", "");
        let router = Router::start(&before).await;
        let (mut leaving, mut staying) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            leaving.push(closed_with(open_at(&router, "/closed").await));
            staying.push(open_at(&router, "/kept").await);
            staying.push(open_at(&router, "/stays").await);
        }
        router.reload(&after).await;
        for client in leaving {
            assert_eq!(client.await.expect("a Close"), Some(1012));
        }
        for client in &mut staying {
            client.echoes("untouched").await;
        }
        assert_eq!(router.ended(5).await.len(), router.log.all("session ended").len());
    });
}
