//! Plain HTTP between clients and servers that others wrote: they see the same through the router as without it.

use crate::support::*;

async fn through(server: &Process) -> Router {
    let config =
        Config::default()
            .service("web", &[server.address], "")
            .route(r#"path: "/{*rest}""#, "web", "");
    Router::start(&config).await
}

/// What a client prints with nothing in between, and through a router.
async fn both(server: &str, client: &str) -> (String, String) {
    let tools = Tools::ready();
    let server = tools.server(server).await;
    let router = through(&server).await;
    let direct = tools.output(client, &format!("http://{}", server.address)).await;
    let seen = tools
        .output(client, &format!("http://{}", router.address()))
        .await;
    (direct, seen)
}

#[test]
fn node_sees_the_same_as_without_a_router() {
    run(async {
        let (direct, seen) = both("plain_server.cjs", "plain_client.cjs").await;
        assert_eq!(seen, direct);
        for line in ["events 20", "trailers 4", "expected 200 body", "big true"] {
            assert!(seen.contains(line), "{line} in {seen}");
        }
        assert!(seen.contains("streamed chunk 0;chunk 1;"), "{seen}");
    });
}

#[test]
fn python_sees_the_same_as_without_a_router() {
    run(async {
        for server in ["plain_server.cjs", "plain_server.py"] {
            let (direct, seen) = both(server, "plain_client.py").await;
            assert_eq!(seen, direct, "{server}");
            assert!(seen.contains("PATCH 200") && seen.contains("the body"), "{seen}");
        }
    });
}

#[test]
fn curl_sees_the_same_as_without_a_router() {
    run(async {
        let (direct, seen) = both("plain_server.cjs", "plain_curl").await;
        assert_eq!(seen, direct);
        assert!(
            seen.contains("PUT came back") && seen.contains("404 0;"),
            "{seen}"
        );
    });
}
