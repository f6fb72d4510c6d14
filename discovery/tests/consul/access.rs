//! Who may read: tokens, policies, certificates.

use std::path::Path;

use discovery::{
    Condition,
    provider::consul::{Address, Settings, Tls},
};
use serde_json::{Value, json};

use crate::{
    Watch, ports,
    server::{Folder, Server, free_port, program},
};

/// The policy that the examples give.
const POLICY: &str = include_str!("../../../examples/consul-policy.hcl");

async fn guarded() -> Server {
    let acl = json!({ "acl": { "enabled": true, "default_policy": "deny", "tokens": { "initial_management": "root" } } });
    let server = Server::alone_with(acl).await;
    server.register("chat", "a", 9001).await;
    server
}

fn with_token(server: &Server, file: &str, token: &str) -> Settings {
    Settings {
        token_file: Some(server.folder.write(file, token)),
        ..server.settings()
    }
}

#[tokio::test]
async fn the_documented_policy_is_enough_and_none_of_it_is_too_much() {
    let server = guarded().await;
    let rules: Vec<&str> = POLICY.lines().filter(|line| line.contains("policy = ")).collect();
    assert_eq!(rules.len(), 2, "one for the service, one for the nodes");
    let (whole, _) = server.token("whole", POLICY).await;
    Watch::on(with_token(&server, "whole", &whole), "chat")
        .until_ports(&[9001])
        .await;
    for (name, rule) in ["one", "two"].into_iter().zip(rules) {
        let (part, _) = server.token(name, rule).await;
        let mut watch = Watch::on(with_token(&server, name, &part), "chat");
        let error = watch.until_condition(Condition::Refused).await;
        assert!(error.contains("service:read"), "{error}");
        assert_eq!(
            watch.reader.answer(),
            None,
            "what is hidden is not known to be empty"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_while_it_waits_keeps_the_last_set_until_the_file_has_another() {
    let server = guarded().await;
    let (token, accessor) = server.token("first", POLICY).await;
    let mut watch = Watch::on(with_token(&server, "token", &token), "chat");
    watch.until_ports(&[9001]).await;
    let request = format!("/v1/acl/token/{accessor}");
    assert_eq!(server.request("DELETE", &request, "").await.unwrap().status, 200);
    // Whatever ends the wait: the next request is refused.
    server.register("chat", "b", 9002).await;
    let error = watch.until_condition(Condition::Refused).await;
    assert!(error.contains("403") && !error.contains(&token), "{error}");
    assert_eq!(watch.reader.answer().as_ref().map(ports), Some(vec![9001]));

    let (token, _) = server.token("second", POLICY).await;
    server.folder.write("token", &token);
    watch.until_ports(&[9001, 9002]).await;
}

#[tokio::test]
async fn a_policy_that_is_narrowed_keeps_the_last_set() {
    let server = guarded().await;
    let (token, _) = server.token("narrow", POLICY).await;
    let mut watch = Watch::on(with_token(&server, "token", &token), "chat");
    watch.until_ports(&[9001]).await;
    let policies = server.try_get("/v1/acl/policy/name/narrow").await.unwrap();
    let id: Value = serde_json::from_str(&policies.body).unwrap();
    let path = format!("/v1/acl/policy/{}", id["ID"].as_str().unwrap());
    let narrowed = json!({ "Name": "narrow", "Rules": "node_prefix \"\" { policy = \"read\" }" });
    server.put(&path, narrowed).await;
    server.register("chat", "b", 9002).await;
    watch.until_condition(Condition::Refused).await;
    assert_eq!(watch.reader.answer().as_ref().map(ports), Some(vec![9001]));
    server
        .put(&path, json!({ "Name": "narrow", "Rules": POLICY }))
        .await;
    watch.until_ports(&[9001, 9002]).await;
}

#[tokio::test]
async fn to_who_has_no_token_nothing_is_an_unexplained_nothing() {
    let server = guarded().await;
    Watch::on(server.settings(), "chat").until_nothing().await;
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let server = guarded().await;
    let settings = with_token(&server, "token", "2f4a1d1c-0000-0000-0000-000000000000");
    let error = Watch::on(settings, "chat")
        .until_condition(Condition::Refused)
        .await;
    assert!(
        error.contains("403") && error.contains("ACL not found"),
        "{error}"
    );
}

/// An authority, and certificates that it has signed, as Consul's own tool makes them.
struct Authority(Folder);

impl Authority {
    async fn new() -> Self {
        let folder = Folder::new("tls");
        Self::consul(folder.path(), &["tls", "ca", "create"]).await;
        Self(folder)
    }

    async fn consul(folder: &Path, arguments: &[&str]) {
        let ran = tokio::process::Command::new(program())
            .args(arguments)
            .current_dir(folder)
            .output()
            .await
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A server that takes none but clients with a certificate of this authority.
    async fn server(&self) -> (Server, Address) {
        Self::consul(self.0.path(), &["tls", "cert", "create", "-server", "-dc=dc1"]).await;
        Self::consul(self.0.path(), &["tls", "cert", "create", "-client"]).await;
        let https = free_port();
        let server = Server::alone_with(json!({
            "ports": { "https": https },
            "tls": { "defaults": {
                "ca_file": self.path("consul-agent-ca.pem"),
                "cert_file": self.path("dc1-server-consul-0.pem"),
                "key_file": self.path("dc1-server-consul-0-key.pem"),
                "verify_incoming": true,
            } },
        }));
        (
            server.await,
            format!("https://127.0.0.1:{https}").parse().unwrap(),
        )
    }

    fn client(&self) -> Tls {
        Tls {
            ca: Some(self.path("consul-agent-ca.pem").into()),
            own: Some((
                self.path("dc1-client-consul-0.pem").into(),
                self.path("dc1-client-consul-0-key.pem").into(),
            )),
            server_name: Some("server.dc1.consul".into()),
        }
    }
}

#[tokio::test]
async fn both_sides_show_certificates_and_many_watches_share_one_connection() {
    let authority = Authority::new().await;
    let (server, address) = authority.server().await;
    let Address::Tcp { port, .. } = address else {
        unreachable!()
    };
    let settings = Settings {
        tls: authority.client(),
        ..Settings::of_agent(address)
    };
    let agent = discovery::provider::consul::Agent::new(settings);
    let mut watches = Vec::new();
    for number in 0..150u16 {
        let name = format!("s{number}");
        server.register(&name, &name, 9000 + number).await;
        watches.push(Watch::of(
            agent.clone(),
            discovery::provider::consul::Wanted::service(&name),
        ));
    }
    for (number, watch) in (0u16..).zip(&mut watches) {
        watch.until_ports(&[9000 + number]).await;
    }
    assert_eq!(crate::server::connections_to(port), 1);
    server.deregister("s7").await;
    watches[7].until_nothing().await;
}

#[tokio::test]
async fn an_unknown_authority_a_wrong_name_and_a_missing_certificate_are_said() {
    let authority = Authority::new().await;
    let (server, address) = authority.server().await;
    server.register("chat", "a", 9001).await;
    let other = Authority::new().await;
    let good = authority.client();
    for (tls, says) in [
        (
            Tls {
                ca: other.client().ca,
                ..good.clone()
            },
            "UnknownIssuer",
        ),
        (
            Tls {
                server_name: Some("elsewhere".into()),
                ..good.clone()
            },
            "not valid for name",
        ),
        (
            Tls {
                own: None,
                ..good.clone()
            },
            "",
        ),
        (
            Tls {
                ca: Some("/nonexistent/ca.pem".into()),
                ..good.clone()
            },
            "/nonexistent/ca.pem",
        ),
    ] {
        let settings = Settings {
            tls,
            ..Settings::of_agent(address.clone())
        };
        let mut watch = Watch::on(settings, "chat");
        let error = watch.until_condition(Condition::Failing).await;
        assert!(error.contains(says), "{error}");
        assert_eq!(watch.reader.answer(), None);
    }
}

#[tokio::test]
async fn a_ca_file_that_is_replaced_is_used_by_the_next_connection() {
    let authority = Authority::new().await;
    let (server, address) = authority.server().await;
    server.register("chat", "a", 9001).await;
    let own = Folder::new("trust");
    let read =
        |authority: &Authority| std::fs::read_to_string(authority.path("consul-agent-ca.pem")).unwrap();
    let file = own.write("ca.pem", &read(&Authority::new().await));
    let tls = Tls {
        ca: Some(file),
        ..authority.client()
    };
    let mut watch = Watch::on(
        Settings {
            tls,
            ..Settings::of_agent(address)
        },
        "chat",
    );
    watch.until_condition(Condition::Failing).await;
    own.write("ca.pem", &read(&authority));
    watch.until_ports(&[9001]).await;
}
