//! An API server that knows EndpointSlices of one namespace, can be asked to misbehave, and counts its requests.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) struct Server {
    address: SocketAddr,
    folder: Arc<tempfile::TempDir>,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    slices: BTreeMap<String, Value>,
    version: u64,
    /// Events up to this are forgotten.
    compacted: u64,
    log: Vec<(u64, String)>,
    watchers: Vec<mpsc::Sender<String>>,
    open: watch::Sender<usize>,
    token: String,
    refusal: Option<u16>,
    lists: usize,
    watches: usize,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let state = State {
            slices: BTreeMap::new(),
            version: 1,
            compacted: 0,
            log: Vec::new(),
            watchers: Vec::new(),
            open: watch::Sender::new(0),
            token: "first".to_owned(),
            refusal: None,
            lists: 0,
            watches: 0,
        };
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let server = Self::over(listener, folder, Arc::new(Mutex::new(state)));
        server.write_kubeconfig("first");
        server
    }

    fn over(listener: TcpListener, folder: Arc<tempfile::TempDir>, state: Arc<Mutex<State>>) -> Self {
        Self {
            address: listener.local_addr().unwrap(),
            folder,
            state: Arc::clone(&state),
            task: tokio::spawn(serve(listener, state)),
        }
    }

    /// Away while `meanwhile` runs, then back at the same address.
    pub(crate) async fn restart<F: Future<Output = ()>>(self, meanwhile: impl FnOnce() -> F) -> Self {
        self.task.abort();
        self.end_watches();
        meanwhile().await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        Self::over(listener, Arc::clone(&self.folder), Arc::clone(&self.state))
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn write_kubeconfig(&self, token: &str) {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
            "clusters": [{ "name": "k", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "u", "user": { "token": token } }],
        });
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, config.to_string()).unwrap();
        std::fs::rename(fresh, self.kubeconfig()).unwrap();
    }

    /// A slice with these pods on 10.0.0.1 and up.
    pub(crate) fn put(&self, name: &str, service: &str, pods: &[&str]) {
        self.state().put(name, service, &of_pods(pods));
    }

    /// A slice with these addresses, which belong to no pod.
    pub(crate) fn put_addresses(&self, name: &str, service: &str, addresses: &[SocketAddr]) {
        let endpoint = |address: &SocketAddr| json!({ "addresses": [address.ip()] });
        let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
        self.state().put(name, service, &endpoints);
    }

    pub(crate) fn delete(&self, name: &str) {
        self.state().delete(name);
    }

    /// Sends this to all watches.
    pub(crate) fn send(&self, text: &str) {
        self.state().send(text);
    }

    pub(crate) fn end_watches(&self) {
        self.state().watchers.clear();
    }

    /// One slice takes the place of another, and who watched can only learn of it from a list.
    pub(crate) fn compact(&self, gone: &str, name: &str, pods: &[&str]) {
        let mut state = self.state();
        state.watchers.clear();
        state.delete(gone);
        state.put(name, "chat", &of_pods(pods));
        state.compacted = state.version;
    }

    /// From now on, whether every version is too old, also that of a list a moment ago.
    pub(crate) fn forget_all(&self, forgets: bool) {
        let mut state = self.state();
        state.watchers.clear();
        state.compacted = if forgets { u64::MAX } else { state.version };
    }

    /// An earlier state is restored: versions are smaller than they were, and of that nobody who watches is told.
    pub(crate) fn restore(&self, name: &str, pods: &[&str]) {
        let mut state = self.state();
        let watchers = std::mem::take(&mut state.watchers);
        state.slices.clear();
        state.log.clear();
        state.version = 1;
        state.put(name, "chat", &of_pods(pods));
        state.watchers = watchers;
    }

    pub(crate) fn refuse(&self, code: Option<u16>) {
        self.state().refusal = code;
    }

    pub(crate) fn rotate(&self, token: &str) {
        self.state().token = token.to_owned();
    }

    pub(crate) fn lists(&self) -> usize {
        self.state().lists
    }

    pub(crate) fn watches(&self) -> usize {
        self.state().watches
    }

    pub(crate) async fn until_watched_by(&self, count: usize) {
        let mut open = self.state().open.subscribe();
        let watched = open.wait_for(|open| *open == count);
        let watched = tokio::time::timeout(Duration::from_secs(20), watched).await;
        watched.expect("the watches are opened or closed").unwrap();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn put(&mut self, name: &str, service: &str, endpoints: &[Value]) {
        let slice = json!({
            "metadata": {
                "name": name, "resourceVersion": (self.version + 1).to_string(),
                "labels": { "kubernetes.io/service-name": service },
            },
            "addressType": "IPv4", "ports": [{ "name": "ws", "port": 9001 }], "endpoints": endpoints,
        });
        self.happen("MODIFIED", &slice);
        self.slices.insert(name.to_owned(), slice);
    }

    fn delete(&mut self, name: &str) {
        let mut slice = self.slices.remove(name).unwrap();
        slice["metadata"]["resourceVersion"] = (self.version + 1).to_string().into();
        self.happen("DELETED", &slice);
    }

    fn happen(&mut self, kind: &str, object: &Value) {
        self.version += 1;
        let text = format!("{}\n", json!({ "type": kind, "object": object }));
        self.send(&text);
        self.log.push((self.version, text));
    }

    fn send(&mut self, text: &str) {
        self.watchers
            .retain(|watcher| watcher.try_send(text.to_owned()).is_ok());
    }

    fn answer(&mut self, query: &str, token: &str) -> Response<Body> {
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        if token != format!("Bearer {}", self.token) {
            return refusal(401);
        }
        if let Some(code) = self.refusal {
            return refusal(code);
        }
        if parameter("watch").is_none() {
            self.lists += 1;
            let items: Vec<_> = self.slices.values().collect();
            let list = json!({ "metadata": { "resourceVersion": self.version.to_string() }, "items": items });
            return Response::new(Full::from(list.to_string()).boxed_unsync());
        }
        self.watches += 1;
        let seconds: u64 = parameter("timeoutSeconds").unwrap().parse().unwrap();
        let version: u64 = parameter("resourceVersion").unwrap().parse().unwrap();
        if version < self.compacted {
            return refusal(410);
        }
        let (sender, receiver) = mpsc::channel(64);
        for (_, text) in self.log.iter().filter(|(at, _)| *at > version) {
            sender.try_send(text.clone()).unwrap();
        }
        self.watchers.push(sender);
        Response::new(
            StreamBody::new(stream::unfold(
                Open::new(receiver, &self.open, seconds),
                Open::next,
            ))
            .boxed_unsync(),
        )
    }
}

/// A watch that is being read.
struct Open {
    events: mpsc::Receiver<String>,
    open: watch::Sender<usize>,
    end: Instant,
}

impl Open {
    fn new(events: mpsc::Receiver<String>, open: &watch::Sender<usize>, seconds: u64) -> Self {
        open.send_modify(|open| *open += 1);
        Self {
            events,
            open: open.clone(),
            end: Instant::now() + Duration::from_secs(seconds),
        }
    }

    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        let text = timeout_at(self.end, self.events.recv()).await.ok()??;
        Some((Ok(Frame::data(text.into())), self))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open -= 1);
    }
}

fn of_pods(pods: &[&str]) -> Vec<Value> {
    let pod = |(index, uid): (usize, &&str)| {
        json!({
            "addresses": [format!("10.0.0.{}", index + 1)],
            "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "uid": uid },
        })
    };
    pods.iter().enumerate().map(pod).collect()
}

fn refusal(code: u16) -> Response<Body> {
    let status = json!({ "kind": "Status", "code": code, "message": "for a reason" });
    let body = Full::from(status.to_string()).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let answer = service_fn(move |request: Request<_>| {
            let token = request
                .headers()
                .get("authorization")
                .map_or("", |token| token.to_str().unwrap());
            let answer = state
                .lock()
                .unwrap()
                .answer(request.uri().query().unwrap_or_default(), token);
            async move {
                let _: hyper::body::Incoming = request.into_body();
                Ok::<_, Infallible>(answer)
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}
