//! Keeps a provider running.
//!
//! In: a provider and its [`Publisher`]. Out: the provider, run again after each error for as long as anybody reads.
//!
//! - After a transient error it is run again within 0.2 s to 3 s, after a refusal within 1 s to 60 s: a permission does
//!   not come back by asking, and a registry that says "too many requests" means it.
//! - The waits grow with failures in a row; an answer ends the row.
//! - The last answer stays through all of that; the reader's [`Status`](crate::Status) says how old it is and what is
//!   wrong.
//! - A source writes a line when it begins to fail, when it fails in another way, and when it answers again; not at each
//!   try.
//! - A provider that panics has failed like any other.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::sleep;

use crate::{Provider, Publisher, backoff::Backoff, provider::Error};

/// Runs `provider` until nobody reads what it publishes.
pub async fn supervise(mut provider: Box<dyn Provider>, publisher: &Publisher) {
    tokio::select! {
        () = publisher.unread() => {}
        () = keep_running(&mut *provider, publisher) => {}
    }
}

async fn keep_running(provider: &mut dyn Provider, publisher: &Publisher) {
    let mut waits = Waits::new();
    loop {
        let before = publisher.answered();
        let ran = AssertUnwindSafe(provider.run(publisher)).catch_unwind();
        let error = match ran.await {
            Ok(Err(error)) => error,
            Err(_) => Error::Transient("the provider panicked".into()),
        };
        if publisher.answered() != before {
            waits.reset();
        }
        let wait = waits.after(&error);
        publisher.fail(&error);
        tracing::debug!(source = publisher.name(), ?wait, "trying again later");
        sleep(wait).await;
    }
}

#[derive(Debug)]
struct Waits {
    transient: Backoff,
    rejected: Backoff,
}

impl Waits {
    fn new() -> Self {
        let waits = |shortest, longest| Backoff::try_new(shortest, longest).expect("both are constants");
        Self {
            transient: waits(SOON, SOON_AT_MOST),
            rejected: waits(LATER, LATER_AT_MOST),
        }
    }

    fn after(&mut self, error: &Error) -> Duration {
        match error {
            Error::Transient(_) => self.transient.after_failure(),
            Error::Rejected(_) => self.rejected.after_failure(),
        }
    }

    fn reset(&mut self) {
        self.transient.reset();
        self.rejected.reset();
    }
}

/// A registry that restarts is away for 2 to 5 s; this finds it early without a storm.
const SOON: Duration = Duration::from_millis(200);
/// What a change may be late by, at the worst, after an outage.
const SOON_AT_MOST: Duration = Duration::from_secs(3);
/// A token file that is being rotated is whole after a second.
const LATER: Duration = Duration::from_secs(1);
/// An operator who has given the permission looks for the effect within a minute.
const LATER_AT_MOST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
