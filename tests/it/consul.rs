//! Services in Consul, through the router: a real server, real sessions.

mod figures;
#[path = "../../discovery/tests/consul/server.rs"]
#[expect(dead_code, reason = "the tests of the provider need more of it")]
mod server;

use rustix::process::Signal;
use serde_json::{Value, json};

use self::server::Server;
use crate::support::*;

/// A config whose only source is this server.
fn by_consul(server: &Server, more: &str) -> Config {
    Config::default()
        .service_from("chat", "{ consul: { service: chat } }", "")
        .route(r#"path: "/{*rest}""#, "chat", "")
        .line(&format!(
            "providers: {{ consul: {{ address: \"http://{}\", allow: [127.0.0.1]{more} }} }}",
            server.http
        ))
}

async fn register(server: &Server, backend: &Backend) -> String {
    let id = format!("chat-{}", backend.address.port());
    let body = json!({ "Name": "chat", "ID": id, "Address": "127.0.0.1", "Port": backend.address.port() });
    server.put("/v1/agent/service/register", body).await;
    id
}

/// Waits until new sessions are on this backend.
async fn reaches(router: &Router, backend: &Backend) {
    let wanted = backend.address.to_string();
    eventually(SOON, "a session on the endpoint", || async {
        let (_client, head) = Conn::upgrade(router.address(), &Request::upgrade("/")).await;
        (head.value("x-backend") == Some(&*wanted)).then_some(())
    })
    .await;
}

#[test]
fn nothing_that_happens_in_consul_ends_a_session() {
    run_within(std::time::Duration::from_mins(2), async {
        let [old, new] = [Backend::echo().await, Backend::echo().await];
        let mut server = Server::alone().await;
        let id = register(&server, &old).await;
        let router = Router::start(&by_consul(&server, "")).await;
        let mut session = open(&router).await;
        register(&server, &new).await;
        let maintenance = format!("/v1/agent/service/maintenance/{id}?enable=true");
        server.put(&maintenance, Value::Null).await;
        reaches(&router, &new).await;
        session.echoes("its endpoint is in maintenance").await;
        server.deregister(&id).await;
        router
            .metric_becomes(
                "longhaul_endpoints",
                &[("service", "chat"), ("state", "gone")],
                1.0,
            )
            .await;
        session.echoes("its endpoint is gone").await;

        server.kill().await;
        let failing = |line: &Value| line["message"] == "a source of endpoints fails";
        router.log.wait("the failure", 1, failing).await;
        reaches(&router, &new).await;
        session.echoes("the registry is away").await;
        // What comes back has forgotten everything, which is not believed for a while.
        server.restart(&["-dev"]).await;
        server.lead().await;
        let answers = |line: &Value| line["message"] == "a source of endpoints answers again";
        router.log.wait("the answer", 1, answers).await;
        reaches(&router, &new).await;
        register(&server, &old).await;
        reaches(&router, &old).await;
        session.echoes("and it came back").await;
        assert_eq!(router.get("/readyz").await.status(), 200);
    });
}

#[test]
fn the_router_is_a_service_itself_until_its_drain_has_ended() {
    run(async {
        let backend = Backend::echo().await;
        let server = Server::alone().await;
        register(&server, &backend).await;
        let config = by_consul(
            &server,
            ", register: { service: gateway, id: gateway-1, tags: [ws] }",
        );
        let mut router = Router::start(&config).await;
        let gateway = || async {
            let said = server.try_get("/v1/health/service/gateway").await?;
            let instances: Value = serde_json::from_str(&said.body).ok()?;
            Some(instances.as_array()?.first().cloned())
        };
        let checks = |instance: &Value, id: &str| {
            let checks = instance["Checks"].as_array().into_iter().flatten();
            let mut named =
                checks.filter(|check| check["CheckID"].as_str().is_some_and(|name| name.contains(id)));
            named
                .next()
                .map(|check| check["Status"].as_str().unwrap().to_owned())
        };
        let instance = eventually(SOON, "a passing check", || async {
            let instance = gateway().await??;
            (checks(&instance, "service:gateway-1").as_deref() == Some("passing")).then_some(instance)
        })
        .await;
        assert_eq!(instance["Service"]["Address"], "127.0.0.1");
        assert_eq!(instance["Service"]["Port"], router.address().port());
        assert_eq!(instance["Service"]["Tags"], json!(["ws"]));

        let session = open(&router).await;
        router.signal(Signal::TERM);
        eventually(SOON, "maintenance", || async {
            checks(&gateway().await??, "_service_maintenance")
        })
        .await;
        drop(session);
        assert!(router.exit(SOON * 2).await.success());
        assert!(gateway().await.unwrap().is_none(), "deregistered before the end");
    });
}
