//! How soon new sessions follow a registry, for `longhaul-bench discovery`: rows that it puts into its table.
//!
//! In: a router, and a [`Registry`] that its only service is in. Out: rows on the terminal.
//!
//! - Sessions are opened one after the other all the time, about 400 a second. Of each it is known when its 101 came and
//!   which endpoint it is with.
//! - A change counts from the moment when the registry has answered the write. It may be followed before that, since a
//!   registry tells those who watch at the same time: that is 0.
//!
//! The tests that measure are beside the others of each registry, and ignored: they take minutes and judge nothing.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

use crate::support::*;

/// Where the service `chat` is written; a write has been answered when its future ends.
pub(crate) trait Registry {
    async fn add(&mut self, endpoint: SocketAddr);
    async fn remove(&mut self, endpoint: SocketAddr);
}

/// Sessions that are opened for as long as this lives.
struct Sessions {
    opened: watch::Receiver<Vec<(Instant, SocketAddr)>>,
    task: JoinHandle<()>,
}

/// All that is measured of one registry, which has the first of `endpoints` and not the others.
pub(crate) async fn measure(
    name: &str,
    router: &Router,
    registry: &mut impl Registry,
    endpoints: &[SocketAddr],
) {
    let sessions = Sessions::open(router.address());
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let mut second = interval(Duration::from_secs(1));
    let mut turns = endpoints.iter().zip(endpoints.iter().cycle().skip(1)).cycle();
    for (old, new) in turns.by_ref().take(CHANGES) {
        second.tick().await;
        registry.add(*new).await;
        let answered = Instant::now();
        first.push(sessions.first_on(*new, answered, Duration::from_secs(1)).await);
        second.tick().await;
        registry.remove(*old).await;
        let answered = Instant::now();
        sleep_until(answered + Duration::from_millis(900)).await;
        last.push(sessions.last_but_on(*new, answered));
    }
    let title = |what| format!("{name}, a change per second: {what}");
    row(&title("first session on a new endpoint"), "100 ms", &mut first);
    row(&title("last session on a removed one"), "100 ms", &mut last);
    // On a machine that is busy with other work this is what the figures above are as well.
    single(
        &title("longest pause between two sessions"),
        "",
        &show(sessions.longest_pause()),
    );
    let (mut settled, mut rate) = (Vec::new(), 0.0);
    for _ in 0..STORMS {
        let mut pace = interval(Duration::from_millis(20));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let begun = Instant::now();
        let mut left = endpoints[0];
        for (old, new) in turns.by_ref().take(STORM / 2) {
            pace.tick().await;
            registry.add(*new).await;
            pace.tick().await;
            registry.remove(*old).await;
            left = *new;
        }
        let answered = Instant::now();
        rate += STORM as f64 / (answered - begun).as_secs_f64() / STORMS as f64;
        let first = sessions.first_on(left, answered, Duration::ZERO).await;
        sleep_until(answered + SETTLED).await;
        settled.push(first.max(sessions.last_but_on(left, answered)));
    }
    row(
        &format!("{name}, after {rate:.0} changes per second: last session on a removed one"),
        "1 s",
        &mut settled,
    );
}

/// A row of the table: the median of what was measured, and what 99 of 100 are not above.
pub(crate) fn row(title: &str, budget: &str, measured: &mut [Duration]) {
    measured.sort_unstable();
    let count = measured.len();
    let at = |part: usize| show(measured[(count * part).div_ceil(100).max(1) - 1]);
    say(title, &format!("{count} times"), &at(50), &at(99), budget);
}

/// A row with one figure.
pub(crate) fn single(title: &str, budget: &str, measured: &str) {
    say(title, "once", measured, "", budget);
}

fn say(title: &str, count: &str, median: &str, most: &str, budget: &str) {
    println!("{ROW}{title} | {count} | {median} | {most} | {budget}");
}

fn show(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

impl Sessions {
    fn open(router: SocketAddr) -> Self {
        let (tell, opened) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            loop {
                let (client, head) = Conn::upgrade(router, &Request::upgrade("/")).await;
                assert_eq!(head.status(), 101, "{head:?}");
                let at = head.value("x-backend").and_then(|at| at.parse().ok());
                let at: SocketAddr = at.expect("an address");
                tell.send_modify(|opened| opened.push((Instant::now(), at)));
                // A connection that is reset leaves no port behind that waits.
                client.reset();
                sleep(Duration::from_millis(2)).await;
            }
        });
        Self { opened, task }
    }

    /// How long after `answered` the first session was on `endpoint`; those count that are up to `early` before it.
    async fn first_on(&self, endpoint: SocketAddr, answered: Instant, early: Duration) -> Duration {
        let mut opened = self.opened.clone();
        let since = answered - early;
        let first = |opened: &[(Instant, SocketAddr)]| {
            let recent = opened.iter().rev().take_while(|(at, _)| *at > since);
            recent.filter(|(_, on)| *on == endpoint).map(|(at, _)| *at).last()
        };
        let reached = timeout(SOON, opened.wait_for(|opened| first(opened).is_some())).await;
        let opened = reached
            .unwrap_or_else(|_| panic!("no session on {endpoint} within {SOON:?}"))
            .expect("sessions are opened");
        first(&opened)
            .expect("there is one")
            .saturating_duration_since(answered)
    }

    fn longest_pause(&self) -> Duration {
        let opened = self.opened.borrow();
        let pauses = opened.windows(2).map(|pair| pair[1].0 - pair[0].0);
        pauses.max().unwrap_or_default()
    }

    /// How long after `answered` a session was last on any but `endpoint`; 0 if none was.
    fn last_but_on(&self, endpoint: SocketAddr, answered: Instant) -> Duration {
        assert!(!self.task.is_finished(), "sessions are opened");
        let opened = self.opened.borrow();
        let late = opened.iter().rev().take_while(|(at, _)| *at > answered);
        let late = late.filter(|(_, on)| *on != endpoint).map(|(at, _)| *at).max();
        late.map_or(Duration::ZERO, |at| at - answered)
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Of each kind.
const CHANGES: usize = 30;
const STORMS: usize = 5;
const STORM: usize = 100;
/// Longer than what is promised after a storm.
const SETTLED: Duration = Duration::from_millis(1500);
/// What a row begins with, for whoever reads the output.
pub(crate) const ROW: &str = "row: ";
