//! Step 3: what a route demands, before a dial is spent on the request.
//!
//! In: a request whose route is known. Out: the same request, fit for the backend, or the policy's answer.
//!
//! Not here: whether the request is one at all ([`crate::listen`]).

pub mod cors;
pub mod headers;
pub mod origin;

use std::{net::SocketAddr, sync::Arc};

use http::{StatusCode, request::Parts};

use crate::{
    answer::Answer,
    listen::{Arrival, Kind},
    route::Matched,
    router::Router,
};

/// The last step before the dial: the header as the backend is to see it, and who the client is.
pub fn clean(_: &Router, head: &mut Parts) -> Result<(), Answer> {
    let (Some(arrival), Some(&kind)) = (
        head.extensions.get::<Arc<Arrival>>().cloned(),
        head.extensions.get::<Kind>(),
    ) else {
        return Err(out_of_order());
    };
    let Some(matched) = head.extensions.get_mut::<Matched>() else {
        return Err(out_of_order());
    };
    let client = headers::to_backend(&mut head.headers, &arrival.peer, &matched.planned.route, kind);
    if client != arrival.address.ip().to_canonical() {
        // What a trusted proxy says of a client has no port.
        matched.client = SocketAddr::new(client, 0);
    }
    Ok(())
}

/// Only a stack that was composed without the steps before this one gets here.
pub(crate) fn out_of_order() -> Answer {
    Answer::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the steps of this router are out of order",
    )
    .closing()
}
