//! Wakes watches that hold no connection of their own.
//!
//! In: three blocking queries, shared by all of them: on the services, the checks and the nodes of the registry. Out: a
//! beat whenever one of them returns. A beat says that something has changed, not what: whoever is woken reads what is
//! its own. So a service beyond the connections of an agent is as quick as any other, and costs a read for each change of
//! the registry instead of a connection.
//!
//! Nothing of these answers is looked at but the index; two of them are asked with a filter that lets nothing through.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Duration, sleep},
};

use super::{
    super::{
        cursor::{Cursor, Worth},
        pace::Pace,
        request::Target,
    },
    Calls,
};
use crate::backoff::Backoff;

/// The beat of a registry; begins with the first who waits for it, and ends after the last.
#[derive(Debug)]
pub(super) struct Wake {
    beat: watch::Sender<()>,
    tasks: Mutex<Vec<Listening>>,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wake {
    pub(super) fn new() -> Self {
        Self {
            beat: watch::Sender::new(()),
            tasks: Mutex::default(),
        }
    }

    /// Every beat from now on.
    pub(super) fn beats(&self, calls: &Arc<Calls>) -> watch::Receiver<()> {
        let beats = self.beat.subscribe();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.is_empty() || tasks.iter().any(|task| task.0.is_finished()) {
            let nothing = |path| Target::path(path).with("filter", "Node == `-` and Node != `-`");
            let targets = [
                Target::path("/v1/catalog/services"),
                nothing("/v1/health/state/any"),
                nothing("/v1/catalog/nodes"),
            ];
            let listening = targets.map(|target| {
                let target = target.within(&calls.settings.scope);
                Listening(tokio::spawn(listen(Arc::clone(calls), target, self.beat.clone())))
            });
            *tasks = listening.into();
        }
        beats
    }
}

async fn listen(calls: Arc<Calls>, target: Target, beat: watch::Sender<()>) {
    let (mut cursor, mut pace) = (Cursor::default(), Pace::new(tokio::time::Instant::now()));
    let mut waits = Backoff::try_new(SOON, SOON_AT_MOST).expect("both are constants");
    while beat.receiver_count() > 0 {
        pace.turn().await;
        let (host, ask) = (calls.host(), cursor.ask(true));
        match calls
            .get(host, &target.clone().asking(ask, calls.settings.wait))
            .await
        {
            Ok(answer) => {
                waits.reset();
                // Whose answer is how old is for the reads to judge.
                if cursor.judge(ask, &answer.head, Duration::MAX) != Worth::Unchanged {
                    beat.send_replace(());
                }
            }
            Err(failure) => {
                tracing::debug!(%failure, "waiting for changes in Consul");
                cursor.restart();
                calls.fail_over(host);
                // Who is woken now finds out for itself what is wrong.
                beat.send_replace(());
                sleep(waits.after_failure()).await;
            }
        }
    }
}

/// As a provider is run again after an error.
const SOON: Duration = Duration::from_millis(200);
const SOON_AT_MOST: Duration = Duration::from_secs(3);
