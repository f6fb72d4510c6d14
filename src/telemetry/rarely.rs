//! Saying something that happens often now and then.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Lets one of many equal events be told every ten seconds, and counts the others.
#[derive(Debug, Default)]
pub struct Rarely(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

/// The least time between two tellings.
const QUIET: Duration = Duration::from_secs(10);

impl Rarely {
    /// Whether this event is to be told: how many were not told since the last one that was.
    pub fn tell(&self) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| last.elapsed() < QUIET) {
            told.untold += 1;
            return None;
        }
        told.last = Some(Instant::now());
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_then_one_in_ten_seconds_with_the_number_of_the_others() {
        let rarely = Rarely::default();
        assert_eq!(rarely.tell(), Some(0));
        assert_eq!([rarely.tell(), rarely.tell()], [None, None]);
        advance(QUIET).await;
        assert_eq!(rarely.tell(), Some(2));
        assert_eq!(rarely.tell(), None);
    }
}
