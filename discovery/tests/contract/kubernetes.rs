//! Kubernetes keeps the contract.

#[path = "../kubernetes/server.rs"]
#[expect(dead_code, reason = "the tests of Kubernetes alone need more of it")]
mod server;

use std::{net::SocketAddr, time::Duration};

use discovery::{
    Provider,
    provider::kubernetes::{Access, Cluster, PortChoice, Target},
};

use self::server::Server;
use crate::suite::{Rig, contract};

impl Rig for Server {
    const EXPLAINS_EMPTY: bool = true;

    async fn start(endpoints: &[SocketAddr]) -> Self {
        let mut server = Self::start().await;
        server.set(endpoints).await;
        server
    }

    fn provider(&self) -> Box<dyn Provider> {
        let access = Access::Kubeconfig(self.kubeconfig());
        let target = Target::try_new("chat").unwrap().in_namespace("default").unwrap();
        let target = target.on(PortChoice::Named("ws".into()));
        Box::new(Cluster::watching_for(access, Duration::from_secs(1)).provider(target))
    }

    async fn set(&mut self, endpoints: &[SocketAddr]) {
        self.put_addresses("chat-1", "chat", endpoints);
    }

    async fn away(&mut self, away: bool) {
        self.refuse(away.then_some(503));
        self.end_watches();
    }
}

// It goes on by itself after an error, for all services of a namespace at once, and so does not end with it.
contract!(Server: the_first_answer_is_what_the_source_has, changes_are_followed,
    a_source_that_is_empty_at_first_says_so_in_the_right_way, a_source_that_becomes_empty_says_so_in_the_right_way,
    a_source_that_is_away_keeps_its_set_and_its_age_grows, a_provider_that_was_dropped_publishes_nothing_more,
    a_source_that_says_the_same_wakes_nobody_and_is_not_stale);
