//! Consul keeps the contract: a real server that remembers what it was told when it is killed.

#[path = "../consul/server.rs"]
#[expect(dead_code, reason = "the tests of Consul alone need more of it")]
mod server;

use std::{net::SocketAddr, time::Duration};

use discovery::{
    Provider,
    provider::consul::{Agent, Consul, Settings, Wanted},
};
use serde_json::json;

use self::server::Server;
use crate::suite::{Rig, contract};

struct InConsul {
    server: Server,
    known: Vec<SocketAddr>,
}

impl Rig for InConsul {
    const EXPLAINS_EMPTY: bool = false;

    async fn start(endpoints: &[SocketAddr]) -> Self {
        let alone = json!({ "server": true, "bootstrap_expect": 1 });
        let server = Server::start("contract", &alone, &[]).await;
        server.lead().await;
        let mut rig = Self {
            server,
            known: Vec::new(),
        };
        rig.set(endpoints).await;
        rig
    }

    fn provider(&self) -> Box<dyn Provider> {
        // Its sign of life comes as often as it asks.
        let wait = Duration::from_millis(300);
        let settings = Settings {
            wait,
            ..self.server.settings()
        };
        Box::new(Consul::new(Agent::new(settings), Wanted::service("chat")))
    }

    async fn set(&mut self, endpoints: &[SocketAddr]) {
        self.server.lead().await;
        for endpoint in endpoints {
            let service = json!({ "ID": endpoint.to_string(), "Service": "chat", "Address": endpoint.ip(), "Port": endpoint.port() });
            let body = json!({ "Node": "n", "Address": "10.77.0.200", "Service": service });
            self.server.put("/v1/catalog/register", body).await;
        }
        for endpoint in self.known.iter().filter(|known| !endpoints.contains(known)) {
            let body = json!({ "Node": "n", "ServiceID": endpoint.to_string() });
            self.server.put("/v1/catalog/deregister", body).await;
        }
        self.known = endpoints.to_vec();
    }

    async fn away(&mut self, away: bool) {
        match away {
            true => self.server.kill().await,
            false => self.server.restart(&[]).await,
        }
    }
}

contract!(InConsul);
