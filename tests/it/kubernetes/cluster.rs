//! A cluster of real servers, and what a test asks of it.
//!
//! Ports are fixed: nothing else is in the network of a test.

use std::{path::PathBuf, process::Command, time::Duration};

use discovery::provider::kubernetes::Access;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::{network::programs, server::Server};
use crate::support::*;

/// The servers of a test.
pub(super) struct Cluster {
    client: Client,
    _etcd: Server,
    apiserver: Option<Server>,
    others: Vec<Server>,
    /// After the servers, whose last words are in it.
    pub(super) dir: Dir,
}

impl Cluster {
    /// etcd and an API server that is ready, with nothing in it.
    pub(super) async fn start() -> Self {
        let dir = Dir::new();
        let genrsa = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(dir.path("sa.key"))
            .arg("2048")
            .output();
        assert!(genrsa.expect("openssl").status.success());
        let tokens = format!("{ADMIN},admin,1,\"system:masters\"\nstranger-token,stranger,2,strangers\n");
        dir.replace("tokens.csv", &tokens);
        let etcd = etcd(&dir);
        let apiserver = apiserver(&dir, API_PORT);
        let certificate = dir.path("certificates/apiserver.crt");
        eventually(READY, "the API server's certificate", || async {
            std::fs::metadata(&certificate)
                .is_ok_and(|file| file.len() > 0)
                .then_some(())
        })
        .await;
        let client = client(&kubeconfig(&dir, "admin", ADMIN, API_PORT)).await;
        let mut cluster = Self {
            dir,
            client,
            _etcd: etcd,
            apiserver: Some(apiserver),
            others: Vec::new(),
        };
        cluster.until_ready().await;
        cluster
    }

    /// A kubeconfig for whoever has this token.
    pub(super) fn kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        kubeconfig(&self.dir, name, token, API_PORT)
    }

    /// As whom a test may do anything.
    pub(super) fn admin(&self) -> Access {
        Access::Kubeconfig(self.kubeconfig("admin", ADMIN))
    }

    pub(super) fn api(&self) -> &Server {
        self.apiserver.as_ref().expect("it runs")
    }

    pub(super) async fn kill_api(&mut self) {
        self.apiserver.take().expect("it runs").kill().await;
    }

    pub(super) async fn restart_api(&mut self) {
        self.apiserver = Some(apiserver(&self.dir, API_PORT));
        self.until_ready().await;
    }

    /// Runs the API server, on a port that nobody knows, while `work` uses it.
    pub(super) async fn aside<F: Future<Output = ()>>(&mut self, work: impl FnOnce(Aside) -> F) {
        let mut server = apiserver(&self.dir, ASIDE_PORT);
        let client = client(&kubeconfig(&self.dir, "aside", ADMIN, ASIDE_PORT)).await;
        ready(&client, &mut server).await;
        work(Aside(client)).await;
        server.kill().await;
    }

    /// Makes etcd forget how things were before now.
    pub(super) async fn compact(&self) {
        let status = etcd_says("/v3/kv/range", &json!({ "key": "AA==" })).await;
        let revision = &status["header"]["revision"];
        etcd_says(
            "/v3/kv/compaction",
            &json!({ "revision": revision, "physical": true }),
        )
        .await;
    }

    async fn until_ready(&mut self) {
        let server = self.apiserver.as_mut().expect("it was started");
        ready(&self.client, server).await;
    }

    /// The controllers of the real controller manager, and kwok, which makes pods ready and deletes them.
    pub(super) async fn with_controllers(mut self) -> Self {
        let admin = self.kubeconfig("admin", ADMIN).display().to_string();
        let path = |name: &str| self.dir.path(name).display().to_string();
        let arguments = [
            format!("--kubeconfig={admin}"),
            format!("--service-account-private-key-file={}", path("sa.key")),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            "--use-service-account-credentials=false".into(),
            format!("--controllers={CONTROLLERS}"),
        ];
        let manager = Server::start(
            &program("kube-controller-manager"),
            &arguments,
            self.dir.path("manager.log"),
        );
        let arguments = [
            format!("--kubeconfig={admin}"),
            "--manage-all-nodes=true".into(),
            "--cidr=10.77.0.1/16".into(),
            "--node-ip=10.77.0.1".into(),
            format!(
                "--config={}/tests/servers/kwok/stages.yaml",
                env!("CARGO_MANIFEST_DIR")
            ),
        ];
        let kwok = Server::start(&program("kwok"), &arguments, self.dir.path("kwok.log"));
        self.others = vec![manager, kwok];
        self.create("/api/v1/nodes", &json!({ "metadata": { "name": "node" } }))
            .await;
        self
    }

    /// `kubectl` as the administrator: its standard output.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.try_kubectl(arguments);
        output
            .unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
            .0
    }

    /// As [`Self::kubectl`], with its standard error; or that alone.
    pub(super) fn try_kubectl(&self, arguments: &[&str]) -> Result<(String, String), String> {
        let output = Command::new(program("kubectl"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig("admin", ADMIN))
            .arg("--cache-dir")
            .arg(self.dir.path("cache"))
            .args(arguments)
            .output()
            .expect("a program to run");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok((text(&output.stdout), text(&output.stderr))),
            false => Err(text(&output.stderr)),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await
    }

    pub(super) async fn create(&self, path: &str, object: &Value) -> Value {
        self.ask("POST", path, Some(object)).await
    }

    pub(super) async fn replace(&self, path: &str, object: &Value) -> Value {
        self.ask("PUT", path, Some(object)).await
    }

    pub(super) async fn patch(&self, path: &str, change: &Value) -> Value {
        self.ask("PATCH", path, Some(change)).await
    }

    pub(super) async fn delete(&self, path: &str) {
        self.ask("DELETE", path, None).await;
    }

    async fn ask(&self, method: &str, path: &str, object: Option<&Value>) -> Value {
        ask(&self.client, method, path, object).await
    }
}

/// An API server that clients of the cluster do not find.
pub(super) struct Aside(Client);

impl Aside {
    pub(super) async fn create(&self, path: &str, object: &Value) {
        ask(&self.0, "POST", path, Some(object)).await;
    }

    pub(super) async fn delete(&self, path: &str) {
        ask(&self.0, "DELETE", path, None).await;
    }
}

fn etcd(dir: &Dir) -> Server {
    let client = format!("http://127.0.0.1:{ETCD_PORT}");
    let arguments = [
        format!("--data-dir={}", dir.path("etcd").display()),
        "--unsafe-no-fsync".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
    ];
    Server::start(&program("etcd"), &arguments, dir.path("etcd.log"))
}

fn apiserver(dir: &Dir, port: u16) -> Server {
    let path = |name: &str| dir.path(name).display().to_string();
    let key = path("sa.key");
    let arguments = [
        format!("--etcd-servers=http://127.0.0.1:{ETCD_PORT}"),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        // Makes its own certificate there, at the first start.
        format!("--cert-dir={}", path("certificates")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={key}"),
        format!("--service-account-signing-key-file={key}"),
        format!("--token-auth-file={}", path("tokens.csv")),
        "--authorization-mode=RBAC".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        // Its own address is nobody's endpoint, and must not be loopback.
        "--endpoint-reconciler-type=none".into(),
        "--advertise-address=10.77.0.1".into(),
        // Pods need no service account to be there first.
        "--disable-admission-plugins=ServiceAccount".into(),
        "--enable-priority-and-fairness=false".into(),
        "--profiling=false".into(),
    ];
    Server::start(&program("kube-apiserver"), &arguments, dir.path("apiserver.log"))
}

async fn ready(client: &Client, server: &mut Server) {
    let asked = || http::Request::get("/readyz").body(Vec::new()).expect("a request");
    eventually(READY, "the API server", || {
        assert!(!server.has_ended(), "the API server ended at start");
        let answer = client.request_text(asked());
        async { answer.await.is_ok_and(|text| text == "ok").then_some(()) }
    })
    .await;
    let default = || {
        http::Request::get("/api/v1/namespaces/default")
            .body(Vec::new())
            .expect("a request")
    };
    eventually(READY, "the namespace `default`", || {
        let answer = client.request_text(default());
        async { answer.await.ok() }
    })
    .await;
}

fn kubeconfig(dir: &Dir, name: &str, token: &str, port: u16) -> PathBuf {
    let authority = dir.path("certificates/apiserver.crt");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": name } }],
        "clusters": [{ "name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority,
        } }],
        "users": [{ "name": name, "user": { "token": token } }],
    });
    dir.replace(&format!("{name}.conf"), &config.to_string())
}

async fn client(kubeconfig: &PathBuf) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a whole kubeconfig")).expect("a client")
}

async fn ask(client: &Client, method: &str, path: &str, object: Option<&Value>) -> Value {
    let form = if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let body = object
        .map(|object| object.to_string().into_bytes())
        .unwrap_or_default();
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", form);
    let answer = client.request(request.body(body).expect("a request")).await;
    answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

async fn etcd_says(path: &str, question: &Value) -> Value {
    let body = question.to_string();
    let mut conn = Conn::connect(([127, 0, 0, 1], ETCD_PORT).into()).await;
    let request = Request::bare(&format!("POST {path} HTTP/1.1"))
        .field("Host", "etcd")
        .field("Content-Type", "application/json")
        .field("Content-Length", body.len().to_string())
        .field("Connection", "close");
    let mut bytes = request.bytes();
    bytes.extend_from_slice(body.as_bytes());
    conn.write(&bytes).await;
    let answer = conn.response().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()
}

fn program(name: &str) -> String {
    format!("{}/{name}", programs())
}

/// A start takes three to eight seconds, and half a minute on a machine that is very busy.
const READY: Duration = Duration::from_secs(60);
const ADMIN: &str = "admin-token";
const API_PORT: u16 = 6443;
const ASIDE_PORT: u16 = 6444;
const ETCD_PORT: u16 = 2379;
const CONTROLLERS: &str = "endpointslice-controller,deployment-controller,replicaset-controller,namespace-controller,\
    serviceaccount-controller,garbage-collector-controller";
