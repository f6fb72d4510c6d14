//! The clock of every figure: monotonic, in nanoseconds.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since some fixed moment.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("a monotonic clock does not run below zero");
    Duration::new(
        seconds,
        u32::try_from(time.tv_nsec).expect("nanoseconds are below a second"),
    )
}
