//! A list in the config keeps the contract.

use std::net::SocketAddr;

use discovery::{Endpoint, Provider, provider::fixed::Fixed};

use crate::suite::{Rig, contract};

struct List(Vec<SocketAddr>);

impl Rig for List {
    const EXPLAINS_EMPTY: bool = true;

    async fn start(endpoints: &[SocketAddr]) -> Self {
        Self(endpoints.to_vec())
    }

    fn provider(&self) -> Box<dyn Provider> {
        Box::new(Fixed::new(self.0.iter().copied().map(Endpoint::at)))
    }

    async fn set(&mut self, _: &[SocketAddr]) {
        unreachable!("a list does not change")
    }

    async fn away(&mut self, _: bool) {
        unreachable!("a list is always there")
    }
}

contract!(List: the_first_answer_is_what_the_source_has, a_source_that_is_empty_at_first_says_so_in_the_right_way);
