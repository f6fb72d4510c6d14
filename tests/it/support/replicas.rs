//! Two replicas of the router that know nothing of each other but the keys of their tags.
//!
//! In: endpoints and what their service demands. Out: the replicas and a [`Front`] that sends every request to the other
//! one. Promises: each replica has files of its own, with the same keys in them and the same admin token.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::future::join_all;

use super::{Config, Dir, Front, Router};

const TOKEN: &str = "swordfish";

/// The replicas and what stands before them.
pub(crate) struct Replicas {
    pub(crate) routers: Vec<Router>,
    pub(crate) front: Front,
    config: Config,
}

impl Replicas {
    /// Two replicas over these endpoints, which tag with the key `old`.
    pub(crate) async fn over(endpoints: &[SocketAddr], service: &str) -> Self {
        let config = Config::default()
            .service("chat", endpoints, service)
            .route(r#"path: "/{*rest}""#, "chat", "")
            .admin("token_file: admin.token");
        let routers: Vec<_> = join_all((0..2).map(|_| replica(&config))).await;
        let front = Front::over(routers.iter().map(Router::address).collect()).await;
        Self {
            routers,
            front,
            config,
        }
    }

    /// Gives one replica other keys (`old`, `new`): it mints with the first and believes all of them.
    pub(crate) async fn rekey(&self, replica: usize, keys: &[&str]) {
        self.routers[replica].reload(&keyed(&self.config, keys)).await;
    }

    /// Tells both to drain an endpoint.
    pub(crate) async fn drain(&self, endpoint: SocketAddr) {
        let path = format!("/api/services/chat/endpoints/{endpoint}/drain");
        for answer in join_all(self.routers.iter().map(|router| router.post(&path, TOKEN))).await {
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    }
}

async fn replica(config: &Config) -> Router {
    let dir = Dir::new();
    dir.replace("admin.token", TOKEN);
    dir.replace("old.key", &BASE64_STANDARD.encode([1; 32]));
    dir.replace("new.key", &BASE64_STANDARD.encode([2; 32]));
    let path = dir.replace("longhaul.yaml", &keyed(config, &["old"]).text());
    Router::start_at(dir, &path).await
}

fn keyed(config: &Config, keys: &[&str]) -> Config {
    let files: Vec<_> = keys.iter().map(|key| format!("{key}.key")).collect();
    config
        .clone()
        .line(&format!("affinity_secret_files: [{}]", files.join(", ")))
}
