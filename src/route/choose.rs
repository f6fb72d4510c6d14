//! The routing step of the stack.
//!
//! In: a request that is a proper one. Out: the same with a [`Matched`], or 400, 404, 414 or 421.

use std::{net::SocketAddr, sync::Arc};

use http::{StatusCode, request::Parts, uri::PathAndQuery};

use super::{BadTarget, NoRoute, PathTooLong, Target};
use crate::{
    answer::Answer,
    listen::Arrival,
    router::{Planned, Router},
    telemetry::metrics::HandshakeEnd,
};

/// What routing made of a request; travels with it to the dial.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The route and what it leads to.
    pub planned: Arc<Planned>,
    /// What the backend is asked for.
    pub upstream: PathAndQuery,
    /// Who the client is: the peer until the headers policy knows better.
    pub client: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Target(#[from] BadTarget),
    #[error("the certificate of this connection is not for this host; connect to the host itself")]
    Misdirected,
    #[error(transparent)]
    Route(#[from] NoRoute),
    #[error(transparent)]
    Long(#[from] PathTooLong),
}

/// Finds the route of a request.
pub fn choose(router: &Router, head: &mut Parts) -> Result<(), Answer> {
    let matched = find(router, head).map_err(|refused| refused.answer(router))?;
    head.extensions.insert(matched);
    Ok(())
}

fn find(router: &Router, head: &Parts) -> Result<Matched, Refused> {
    let target = Target::of(head)?;
    let arrival = head.extensions.get::<Arc<Arrival>>();
    if let (Some(arrival), Some(host)) = (arrival, target.host())
        && !arrival.covers(host)
    {
        return Err(Refused::Misdirected);
    }
    let plan = router.plan.load();
    let found = plan.table.find(&target, &head.headers)?;
    let upstream = found.upstream(&target)?;
    // Every route of the table is in the plan that it was compiled with.
    let planned = plan.planned(&found.route).ok_or(NoRoute::Nothing)?;
    let client = arrival.map(|arrival| arrival.address);
    Ok(Matched {
        planned: Arc::clone(planned),
        upstream,
        client: client.ok_or(NoRoute::Nothing)?,
    })
}

impl Refused {
    fn answer(&self, router: &Router) -> Answer {
        let (status, end) = match self {
            Self::Target(refused) => (refused.status(), HandshakeEnd::BadRequest),
            // Not closing: a client that shares this connection between hosts has others under way on it.
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, HandshakeEnd::Misdirected),
            Self::Route(NoRoute::EncodedSlash) => (StatusCode::BAD_REQUEST, HandshakeEnd::BadRequest),
            Self::Route(refused) => (refused.status(), HandshakeEnd::NoRoute),
            Self::Long(refused) => (refused.status(), HandshakeEnd::TooLarge),
        };
        router.metrics.unrouted().handshake(end);
        Answer::new(status, self.to_string())
    }
}
