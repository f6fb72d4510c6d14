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
    use crate::Answer;

    async fn first_answer(mut provider: Fixed) -> Option<Answer> {
        let (publisher, mut reader) = Publisher::channel();
        tokio::select! {
            biased;
            stopped = provider.run(&publisher) => panic!("stopped: {stopped:?}"),
            _ = reader.changed() => reader.answer(),
        }
    }

    #[tokio::test]
    async fn the_list_is_published_once_and_the_provider_keeps_running() {
        let endpoint = Endpoint::at(SocketAddr::from(([127, 0, 0, 1], 9001)));
        let answer = first_answer(Fixed::new([endpoint.clone()])).await;
        assert_eq!(answer, Some(Answer::Endpoints(Snapshot::from_iter([endpoint]))));
    }

    #[tokio::test]
    async fn an_empty_list_is_known_to_be_empty() {
        let answer = first_answer(Fixed::new([])).await;
        assert_eq!(answer, Some(Answer::Endpoints(Snapshot::default())));
    }
}
