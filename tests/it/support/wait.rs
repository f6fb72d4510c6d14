//! Waiting for a state, never for a duration.

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::{runtime::Builder, time};

/// What is promised "at once", on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Runs one test on its own runtime; a test that hangs fails after a minute.
pub(crate) fn run(test: impl Future<Output = ()>) {
    run_within(Duration::from_mins(1), test);
}

/// As [`run`], for the few tests whose subject takes longer.
pub(crate) fn run_within(limit: Duration, test: impl Future<Output = ()>) {
    raise_descriptor_limit();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        if time::timeout(limit, test).await.is_err() {
            panic!("the test was still running after {limit:?}");
        }
    });
}

/// Waits for `future`; panics with `what` when the deadline passes first.
pub(crate) async fn within<T>(deadline: Duration, what: impl Debug, future: impl Future<Output = T>) -> T {
    match time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {deadline:?}: {what:?}"),
    }
}

/// Asks `state` again and again until it has an answer; panics with `what` when the deadline passes first.
pub(crate) async fn eventually<T, Fut>(deadline: Duration, what: &str, mut state: impl FnMut() -> Fut) -> T
where
    Fut: Future<Output = Option<T>>,
{
    within(deadline, what, async {
        let mut pace = time::interval(Duration::from_millis(10));
        loop {
            pace.tick().await;
            if let Some(value) = state().await {
                return value;
            }
        }
    })
    .await
}

/// Lets time pass in which something is measured that has no other end; nothing is ever waited for like this.
pub(crate) async fn measure_for(window: Duration) {
    time::sleep(window).await;
}

/// The tests hold both ends of every session, and many tests share the process.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("raising the soft limit to the hard one is always allowed");
}
