//! The list that never changes: `static` in the config.
//!
//! In: endpoints. Out: one snapshot of them, at once, and nothing more. It never fails.

use crate::{
    Endpoint, Snapshot,
    provider::{Provider, Publisher, Running},
};

/// A list of endpoints that is published once.
#[derive(Clone, Debug)]
pub struct Fixed {
    endpoints: Snapshot,
}

impl Fixed {
    /// The provider of exactly these endpoints.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self {
            endpoints: endpoints.into_iter().collect(),
        }
    }
}

impl Provider for Fixed {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(async {
            publisher.publish(self.endpoints.clone());
            std::future::pending().await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[tokio::test]
    async fn the_list_is_published_once_and_the_provider_keeps_running() {
        let endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], 9001)));
        let (publisher, mut reader) = Publisher::channel();
        let mut provider = Fixed::new([endpoint.clone()]);
        tokio::select! {
            biased;
            stopped = provider.run(&publisher) => panic!("stopped: {stopped:?}"),
            changed = reader.changed() => changed.unwrap(),
        }
        assert_eq!(reader.borrow().as_deref(), Some(&[endpoint][..]));
    }

    #[tokio::test]
    async fn an_empty_list_is_known_to_be_empty() {
        let (publisher, mut reader) = Publisher::channel();
        let mut provider = Fixed::new([]);
        tokio::select! {
            biased;
            stopped = provider.run(&publisher) => panic!("stopped: {stopped:?}"),
            changed = reader.changed() => changed.unwrap(),
        }
        assert_eq!(*reader.borrow(), Some(Snapshot::default()));
    }
}
