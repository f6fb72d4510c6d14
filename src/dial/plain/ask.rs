//! One endpoint is asked.
//!
//! In: a request and a place. Out: the head of the answer, its body still to come; or what went wrong.
//!
//! - What cannot be sent twice takes only a connection that was used within [`FRESH`], so that the backend has hardly closed
//!   it just now.
//! - A connection that turns out to be closed is replaced by a new one to the same place.
//!
//! Not here: which endpoint, and whether another is asked ([`super::Exchange`]).

use std::{pin::pin, sync::Arc, time::Duration};

use http::Response;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    link::{Link, Place},
    pool,
    request::Outgoing,
    trouble::{Sent, Trouble, judge},
    upload::{Progress, Silent},
};
use crate::timers::timeout_at;

/// An answer, and what it came by.
pub(super) struct Reply {
    pub(super) response: Response<Incoming>,
    pub(super) link: Link,
    pub(super) progress: Arc<Progress>,
}

/// Any pooled connection will do for a request that can be repeated.
const ANY: Duration = Duration::MAX;

/// Shorter than the shortest keep-alive that servers come with (2 s).
const FRESH: Duration = Duration::from_secs(1);

/// Asks over a connection that there is, and where that turns out to be closed over a new one, which is there by `deadline`.
pub(super) async fn ask(request: &mut Outgoing, place: &Place, deadline: Instant) -> Result<Reply, Trouble> {
    let age = if request.repeatable { ANY } else { FRESH };
    if let Some(link) = pool::take(place, age) {
        match send(request, link).await {
            Err(Trouble::Unsent) => {}
            Err(Trouble::Reset { .. }) if request.repeatable => {}
            reply => return reply,
        }
    }
    let open = Link::open(place.clone(), place.settings.connect_timeout);
    let link = timeout_at(deadline, open)
        .await
        .map_err(|_| Trouble::Silence)?
        .map_err(Trouble::Connect)?;
    send(request, link).await
}

async fn send(request: &mut Outgoing, mut link: Link) -> Result<Reply, Trouble> {
    let (made, progress) = request.make(link.place.address);
    let answer = pin!(link.send(made));
    let answer = progress.bound(link.place.settings.response_timeout, answer).await;
    let mut error = match answer {
        Ok(Ok(response)) => {
            judge(&response).map_err(Trouble::BadAnswer)?;
            link.heed(response.headers());
            return Ok(Reply {
                response,
                link,
                progress,
            });
        }
        Ok(Err(error)) => error,
        Err(Silent::Client) => return Err(Trouble::Stalled),
        Err(Silent::Backend) => return Err(Trouble::Silence),
    };
    if let Some(unsent) = error.take_message() {
        request.take_back(unsent);
        return Err(Trouble::Unsent);
    }
    let sent = match (request.repeatable, link.used, progress.is_whole()) {
        (true, _, _) => Sent::Repeatable,
        (_, true, _) => Sent::OnOldLink,
        (_, _, true) => Sent::Whole,
        (_, _, false) => Sent::Part,
    };
    Err(Trouble::of(error.error(), sent))
}
