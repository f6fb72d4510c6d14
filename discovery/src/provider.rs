//! A source of endpoints: what it is given, what it publishes and when it may stop.
//!
//! In: the settings of one source. Out: complete [`Snapshot`]s through a [`Publisher`], to any number of readers.
//!
//! Promises of every provider:
//! - It runs until its future is dropped, or until it fails; it publishes nothing after that.
//! - It publishes only what its source has answered in full. A failure publishes nothing: the last snapshot stays.
//!
//! Not here: what follows a failure. Whoever runs the provider starts it again, with a delay, as [`Error`] allows.

pub mod fixed;

use std::{convert::Infallible, fmt, pin::Pin};

use tokio::sync::watch;

use crate::Snapshot;

/// A source of endpoints.
pub trait Provider: fmt::Debug + Send {
    /// Publishes each new snapshot until the future is dropped; ends only with the error that it cannot go on after.
    /// May be run again after an error.
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a>;
}

/// A provider at work. To stop it, drop it.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Infallible, Error>> + Send + 'a>>;

/// Why a provider stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its source could not be reached or gave a broken answer: it may work the next time.
    #[error("the source of endpoints did not answer")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its source refused the request: without another configuration or permission it will refuse the next one too.
    #[error("the source of endpoints refused the request")]
    Rejected(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The writing end of a service's snapshots; `None` until the first one is published, and never again after it.
#[derive(Debug)]
pub struct Publisher {
    snapshots: watch::Sender<Option<Snapshot>>,
}

// === impl Publisher ===

impl Publisher {
    /// A publisher and its first reader. More readers come from cloning that one.
    pub fn channel() -> (Self, watch::Receiver<Option<Snapshot>>) {
        let (snapshots, reader) = watch::channel(None);
        (Self { snapshots }, reader)
    }

    /// Makes `snapshot` the current one. One that equals the current one wakes no reader.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshots.send_if_modified(|current| {
            let news = current.as_ref() != Some(&snapshot);
            if news {
                *current = Some(snapshot);
            }
            news
        });
    }

    /// Ends when the last reader is gone.
    pub async fn unread(&self) {
        self.snapshots.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::Endpoint;

    fn ports(ports: &[u16]) -> Snapshot {
        ports
            .iter()
            .map(|port| Endpoint::at(SocketAddr::from(([127, 0, 0, 1], *port))))
            .collect()
    }

    #[test]
    fn not_known_is_not_the_same_as_empty() {
        let (publisher, mut reader) = Publisher::channel();
        assert_eq!(*reader.borrow_and_update(), None);
        publisher.publish(Snapshot::default());
        assert!(reader.has_changed().unwrap());
        assert_eq!(*reader.borrow_and_update(), Some(Snapshot::default()));
    }

    #[test]
    fn an_equal_snapshot_wakes_nobody() {
        let (publisher, mut reader) = Publisher::channel();
        publisher.publish(ports(&[1, 2]));
        reader.mark_unchanged();
        publisher.publish(ports(&[2, 1]));
        assert!(!reader.has_changed().unwrap());
        publisher.publish(ports(&[1]));
        assert!(reader.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_publisher_learns_that_nobody_reads() {
        let (publisher, reader) = Publisher::channel();
        let second = reader.clone();
        drop(reader);
        let mut unread = std::pin::pin!(publisher.unread());
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(unread.as_mut().poll(cx).is_pending())).await
        );
        drop(second);
        unread.await;
    }
}
