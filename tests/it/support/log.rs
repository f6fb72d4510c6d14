//! What a router wrote to its log, line by line, while it writes.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::Notify,
};

use super::{SOON, within};

/// The lines so far; a clone sees the same lines.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    raw: Mutex<String>,
    lines: Mutex<Vec<Value>>,
    grown: Notify,
}

impl Log {
    /// Reads lines until the stream ends.
    pub(crate) fn follow(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(value) = serde_json::from_str(&line) {
                    shared.lines.lock().unwrap().push(value);
                }
                *shared.raw.lock().unwrap() += &format!("{line}\n");
                shared.grown.notify_waiters();
            }
        });
    }

    /// Everything written, JSON or not.
    pub(crate) fn raw(&self) -> String {
        self.0.raw.lock().unwrap().clone()
    }

    /// The lines with this message so far.
    pub(crate) fn all(&self, message: &str) -> Vec<Value> {
        let lines = self.0.lines.lock().unwrap();
        lines
            .iter()
            .filter(|line| line["message"] == message)
            .cloned()
            .collect()
    }

    /// The first `count` lines that fit, once they are there.
    pub(crate) async fn wait(&self, what: &str, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        within(SOON, what, async {
            loop {
                let grown = self.0.grown.notified();
                tokio::pin!(grown);
                grown.as_mut().enable();
                let found: Vec<_> = self
                    .0
                    .lines
                    .lock()
                    .unwrap()
                    .iter()
                    .filter(|line| fits(line))
                    .take(count)
                    .cloned()
                    .collect();
                if found.len() == count {
                    return found;
                }
                grown.await;
            }
        })
        .await
    }
}
