//! The Consul provider against real servers, and against one that misbehaves as no real one can be made to.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod access;
mod cluster;
mod hostile;
mod interop;
mod latency;
mod many;
mod registration;
mod server;
mod watch;

use discovery::{
    Answer, Condition, Endpoint, Publisher, Reader, Snapshot, State,
    provider::consul::{Agent, Consul, Settings, Wanted},
    supervise,
};
use tokio::task::JoinHandle;

/// A supervised watch.
pub(crate) struct Watch {
    pub(crate) reader: Reader,
    running: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Watch {
    /// On all instances of a service.
    pub(crate) fn on(settings: Settings, service: &str) -> Self {
        Self::of(Agent::new(settings), Wanted::service(service))
    }

    pub(crate) fn of(agent: std::sync::Arc<Agent>, wanted: Wanted) -> Self {
        let (publisher, reader) = Publisher::named(&*wanted.service);
        let provider = Box::new(Consul::new(agent, wanted));
        let running = tokio::spawn(async move { supervise(provider, &publisher).await });
        Self { reader, running }
    }

    /// Waits until what is known is as `wanted` says.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl FnMut(&Answer) -> bool) -> Snapshot {
        match tokio::time::timeout(server::PATIENCE, self.reader.wait_for(wanted)).await {
            Ok(found) => found.expect("the watch runs"),
            Err(_) => panic!(
                "no {what}: {:?}, {:?}",
                self.reader.answer(),
                self.reader.status()
            ),
        }
    }

    /// Waits until the endpoints are exactly those, each by its port.
    pub(crate) async fn until_ports(&mut self, ports: &[u16]) -> Snapshot {
        self.until(&format!("ports {ports:?}"), |answer| self::ports(answer) == ports)
            .await
    }

    /// Waits until the only endpoint is in this state, with this weight.
    pub(crate) async fn until_state(&mut self, state: State, weight: u32) {
        self.until(&format!("{state:?} of weight {weight}"), |answer| match answer {
            Answer::Endpoints(all) => {
                matches!(&all[..], [one] if (one.state, one.weight.get()) == (state, weight))
            }
            Answer::Nothing => false,
        })
        .await;
    }

    /// Waits until the answer is an unexplained "nothing".
    pub(crate) async fn until_nothing(&mut self) {
        self.until("empty answer", |answer| *answer == Answer::Nothing)
            .await;
    }

    /// Waits until the source is in this condition; what it says is wrong.
    pub(crate) async fn until_condition(&mut self, condition: Condition) -> String {
        let reader = &mut self.reader;
        let waiting = async {
            while reader.status().condition != condition {
                assert!(reader.changed().await);
            }
            reader.status().error.unwrap_or_default().to_string()
        };
        match tokio::time::timeout(server::PATIENCE, waiting).await {
            Ok(error) => error,
            Err(_) => panic!("not {condition:?}: {:?}", self.reader.status()),
        }
    }
}

/// The ports of an answer, sorted.
pub(crate) fn ports(answer: &Answer) -> Vec<u16> {
    let endpoints = answer.clone().into_endpoints();
    let mut ports: Vec<u16> = endpoints
        .iter()
        .map(|endpoint: &Endpoint| endpoint.address.port())
        .collect();
    ports.sort_unstable();
    ports
}
