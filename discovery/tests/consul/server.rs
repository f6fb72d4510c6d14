//! Real Consul agents: found or built, started on free ports, ended by their process.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Command as Now, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use discovery::provider::consul::{Address, Settings};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

/// A running agent. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    config: Value,
    pub(crate) http: SocketAddr,
    pub(crate) folder: Folder,
    /// For requests of the test itself.
    pub(crate) token: Option<String>,
}

/// A folder of one server, removed with it.
pub(crate) struct Folder(PathBuf);

/// An answer to a request of the test itself.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: String,
}

// === impl Server ===

impl Server {
    /// A server that is a cluster of its own and forgets everything when it ends.
    pub(crate) async fn alone() -> Self {
        Self::alone_with(json!({})).await
    }

    /// The same with more configuration.
    pub(crate) async fn alone_with(more: Value) -> Self {
        let mut server = Self::start("alone", &more, &["-dev"]).await;
        server.token = more
            .pointer("/acl/tokens/initial_management")
            .and_then(|t| t.as_str().map(str::to_owned));
        server.lead().await;
        server
    }

    /// An agent with its own ports, under a name that is unique among all tests.
    pub(crate) async fn start(name: &str, more: &Value, arguments: &[&str]) -> Self {
        let folder = Folder::new(name);
        let [http, server, serf] = ports();
        let mut config = json!({
            "node_name": name,
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "disable_update_check": true,
            "log_level": "warn",
            "performance": { "raft_multiplier": 1 },
            "ports": { "http": http, "dns": -1, "grpc": -1, "grpc_tls": -1, "server": server, "serf_lan": serf, "serf_wan": -1 },
            "gossip_lan": { "probe_interval": "100ms", "probe_timeout": "100ms", "gossip_interval": "100ms", "suspicion_mult": 3 },
        });
        merge(&mut config, more);
        if !arguments.contains(&"-dev") {
            config["data_dir"] = json!(folder.path().join("data"));
        }
        let http = config["ports"]["http"].as_u64().unwrap() as u16;
        let child = spawn(&folder, &config, arguments);
        Self {
            child,
            config,
            http: (Ipv4Addr::LOCALHOST, http).into(),
            folder,
            token: None,
        }
    }

    /// Waits until there is a leader, and the server itself is in the catalog.
    pub(crate) async fn lead(&self) {
        eventually("a leader", async || {
            let leader = self.try_get("/v1/status/leader").await?;
            let nodes = self.try_get("/v1/catalog/nodes").await?;
            (leader.body.len() > 2 && nodes.status == 200 && nodes.body.len() > 2).then_some(())
        })
        .await;
    }

    /// Kills it, as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again where it was, after [`kill`](Self::kill).
    pub(crate) async fn restart(&mut self, arguments: &[&str]) {
        self.child = spawn(&self.folder, &self.config, arguments);
    }

    pub(crate) fn serf(&self) -> String {
        format!("127.0.0.1:{}", self.config["ports"]["serf_lan"])
    }

    pub(crate) fn rpc(&self) -> String {
        format!("127.0.0.1:{}", self.config["ports"]["server"])
    }

    /// What a router is told of it.
    pub(crate) fn settings(&self) -> Settings {
        Settings::of_agent(self.address())
    }

    pub(crate) fn address(&self) -> Address {
        self.http.to_string().parse().unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Said {
        let said = self
            .request("PUT", path, &body.to_string())
            .await
            .expect("the server answers");
        assert_eq!(said.status, 200, "{path}: {}", said.body);
        said
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Said> {
        self.request("GET", path, "").await
    }

    /// Registers `service` at this agent, on a port of 10.0.0.1.
    pub(crate) async fn register(&self, service: &str, id: &str, port: u16) {
        let body = json!({ "Name": service, "ID": id, "Address": "10.0.0.1", "Port": port });
        self.put("/v1/agent/service/register", body).await;
    }

    pub(crate) async fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), Value::Null)
            .await;
    }

    /// `pass`, `warn` or `fail`.
    pub(crate) async fn check(&self, verdict: &str, id: &str) {
        self.put(&format!("/v1/agent/check/{verdict}/{id}"), Value::Null)
            .await;
    }

    /// A new token with these rules, and its accessor.
    pub(crate) async fn token(&self, name: &str, rules: &str) -> (String, String) {
        self.put("/v1/acl/policy", json!({ "Name": name, "Rules": rules }))
            .await;
        let said = self
            .put("/v1/acl/token", json!({ "Policies": [{ "Name": name }] }))
            .await;
        let token: Value = serde_json::from_str(&said.body).unwrap();
        let part = |name: &str| token[name].as_str().unwrap().to_owned();
        (part("SecretID"), part("AccessorID"))
    }

    /// The head of an answer.
    pub(crate) async fn request_with_head(&self, path: &str) -> String {
        let text = self.exchange("GET", path, "").await.expect("the server answers");
        text.split_once("\r\n\r\n").expect("a head").0.to_owned()
    }

    pub(crate) async fn request(&self, method: &str, path: &str, body: &str) -> Option<Said> {
        let text = self.exchange(method, path, body).await?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Said {
            status,
            body: body.to_owned(),
        })
    }

    async fn exchange(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let token = self
            .token
            .as_ref()
            .map_or(String::new(), |token| format!("X-Consul-Token: {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: a\r\n{token}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.http).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        Some(text)
    }
}

// === impl Folder ===

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("longhaul-consul-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file into place as a whole, as tools that rotate secrets do.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let (file, new) = (self.0.join(name), self.0.join(".new"));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits for a state, which is there when `look` returns something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// The program: that of the environment, else found or built by the script that all use.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let script = above
            .map(|folder| folder.join("tests/servers/build"))
            .find(|script| script.exists());
        let ran = Now::new(script.expect("the repository has it"))
            .arg("consul")
            .stderr(Stdio::inherit())
            .output()
            .expect("the script runs");
        assert!(ran.status.success(), "no Consul");
        String::from_utf8(ran.stdout).unwrap().trim().into()
    })
}

fn spawn(folder: &Folder, config: &Value, arguments: &[&str]) -> Child {
    let file = folder.write("config.json", &config.to_string());
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))
        .unwrap();
    Command::new(program())
        .arg("agent")
        .arg("-config-file")
        .arg(file)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .stdout(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Connections that this machine has open to a port of its own.
pub(crate) fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let to = format!(":{port:04X}");
    let open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let (remote, state) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        remote.ends_with(&to) && state == "01"
    };
    table.lines().filter(open).count()
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let [port] = ports();
    port
}

/// Ports that nobody holds, for TCP and UDP alike. Below those that the kernel gives away: one of these may be somebody
/// else's again by the time that an agent binds it. No two are one, whoever in this process asks.
fn ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    std::array::from_fn(|_| {
        loop {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
            let port = PORTS.start + offset as u16;
            let held = (Ipv4Addr::LOCALHOST, port);
            if TcpListener::bind(held).is_ok() && UdpSocket::bind(held).is_ok() {
                return port;
            }
        }
    })
}

/// Below `net.ipv4.ip_local_port_range` as it usually is, and above what is well known.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// A machine that builds something else at the same time takes its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
