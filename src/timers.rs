//! The timers of a worker, off its thread.
//!
//! In: how long to wait. Out: tokio's own timers, which a thread beside the worker looks after.
//!
//! - A runtime that has timers reads the clock and looks for the next of them before and after every wait for sockets: a
//!   quarter of all instructions of a small message. Nearly all timers of a worker are hours away or never fire. So a
//!   thread that sleeps keeps them, and the worker waits for sockets only.
//! - Whatever waits on a worker waits here: `tokio::time` has no timers there. On any other thread these functions are
//!   those of `tokio::time`.
//!
//! Not here: what is waited for.

use std::{cell::OnceCell, io, pin::Pin, thread, time::Duration};

use hyper::rt::Timer;
use hyper_util::rt::TokioTimer;
use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    time::{self, Instant, Sleep, Timeout},
};

/// The thread that keeps a worker's timers; dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Timers {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

/// The timers of this thread, as hyper asks for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyperTimer;

/// How often the thread wakes up while nothing is due.
///
/// tokio wakes the thread of a runtime for every timer that is due before the one that it sleeps for. A handshake has
/// four timers of a second and more; with one that is always due earlier none of them does.
const PULSE: Duration = Duration::from_millis(500);

impl Timers {
    /// Starts the thread.
    pub(crate) fn start(name: String) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (end, mut ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                let mut pulse = time::interval(PULSE);
                loop {
                    tokio::select! {
                        _ = pulse.tick() => {}
                        _ = &mut ended => return,
                    }
                }
            });
        })?;
        Ok(Self { handle, _end: end })
    }

    /// Keeps the timers of the calling thread from now on. The thread must be done with them before this is dropped.
    pub(crate) fn keep(&self) {
        KEPT.with(|kept| {
            let _ = kept.set(self.handle.clone());
        });
    }
}

thread_local! {
    static KEPT: OnceCell<Handle> = const { OnceCell::new() };
}

/// Makes a timer where this thread's are kept.
fn make<T>(timer: impl FnOnce() -> T) -> T {
    KEPT.with(|kept| {
        let _entered = kept.get().map(Handle::enter);
        timer()
    })
}

/// See [`time::sleep`].
pub(crate) fn sleep(duration: Duration) -> Sleep {
    make(|| time::sleep(duration))
}

/// See [`time::sleep_until`].
pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
    make(|| time::sleep_until(deadline))
}

/// See [`time::timeout`].
pub(crate) fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    make(|| time::timeout(duration, future))
}

/// See [`time::timeout_at`].
pub(crate) fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    make(|| time::timeout_at(deadline, future))
}

#[expect(clippy::disallowed_types, reason = "the trait's own")]
impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        make(|| TokioTimer::new().sleep(duration))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        make(|| TokioTimer::new().sleep_until(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: std::time::Instant) {
        TokioTimer::new().reset(sleep, deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_without_timers_waits_with_those_that_are_kept_for_its_thread() {
        let timers = Timers::start("timers".to_owned()).unwrap();
        let worker = thread::spawn(move || {
            timers.keep();
            let runtime = runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            runtime.block_on(async {
                sleep(Duration::from_millis(1)).await;
                timeout(Duration::from_millis(1), std::future::pending::<()>())
                    .await
                    .unwrap_err();
                HyperTimer.sleep(Duration::from_millis(1)).await;
            });
            drop(runtime);
        });
        worker.join().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_they_are_those_of_the_runtime() {
        let started = Instant::now();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(started.elapsed(), Duration::from_secs(3600));
    }
}
