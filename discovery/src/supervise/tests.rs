use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use super::*;
use crate::{Condition, Endpoint, Snapshot, provider::Running};

/// What a scripted provider does in one run.
#[derive(Clone, Copy, Debug)]
enum Act {
    Fail,
    Refuse,
    AnswerThenFail,
    Panic,
    Hang,
}

#[derive(Debug)]
struct Scripted {
    acts: std::vec::IntoIter<Act>,
    runs: Arc<Mutex<Vec<Instant>>>,
}

impl Provider for Scripted {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(async {
            self.runs.lock().unwrap().push(Instant::now());
            match self.acts.next().unwrap_or(Act::Hang) {
                Act::Fail => Err(Error::Transient("connection refused".into())),
                Act::Refuse => Err(Error::Rejected("403".into())),
                Act::Panic => panic!("a defect of a provider"),
                Act::Hang => std::future::pending().await,
                Act::AnswerThenFail => {
                    publisher.publish(one());
                    Err(Error::Transient("cut in the middle".into()))
                }
            }
        })
    }
}

fn one() -> Snapshot {
    Snapshot::from_iter([Endpoint::at(SocketAddr::from(([10, 0, 0, 1], 80)))])
}

/// The waits between the runs of these acts, the last run included, which hangs; and what a reader sees then.
async fn waits_of(acts: Vec<Act>) -> (Vec<Duration>, crate::Reader) {
    let (publisher, reader) = Publisher::channel();
    let runs = Arc::default();
    let count = acts.len() + 1;
    let provider = Scripted {
        acts: acts.into_iter(),
        runs: Arc::clone(&runs),
    };
    let running = supervise(Box::new(provider), &publisher);
    tokio::select! {
        () = running => panic!("somebody still reads"),
        () = async {
            while runs.lock().unwrap().len() < count {
                sleep(Duration::from_millis(1)).await;
            }
        } => {}
    }
    let runs = runs.lock().unwrap();
    (runs.windows(2).map(|pair| pair[1] - pair[0]).collect(), reader)
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn after_errors_it_runs_again_soon_and_then_less_often() {
    let (waits, reader) = waits_of(vec![Act::Fail; 12]).await;
    assert!(waits[0] >= SOON && waits[0] <= 2 * SOON + MS, "{waits:?}");
    assert!(
        waits[11] >= SOON_AT_MOST / 2 && waits[11] <= SOON_AT_MOST + MS,
        "{waits:?}"
    );
    assert_eq!(reader.status().condition, Condition::Failing);
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_it_waits_for_longer() {
    let (waits, reader) = waits_of(vec![Act::Refuse; 12]).await;
    assert!(waits[0] >= LATER && waits[0] <= 2 * LATER + MS, "{waits:?}");
    assert!(
        waits[11] >= LATER_AT_MOST / 2 && waits[11] <= LATER_AT_MOST + MS,
        "{waits:?}"
    );
    assert_eq!(reader.status().condition, Condition::Refused);
    assert!(reader.status().error.unwrap().ends_with("403"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_the_row_of_failures_and_stays_through_the_next() {
    let mut acts = vec![Act::Fail; 10];
    acts.push(Act::AnswerThenFail);
    let (waits, mut reader) = waits_of(acts).await;
    assert!(waits[9] > 2 * SOON + MS, "{waits:?}");
    assert!(waits[10] <= 2 * SOON + MS, "{waits:?}");
    assert_eq!(reader.endpoints(), Some(one()));
    assert_eq!(reader.status().condition, Condition::Failing);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_is_run_again() {
    let (waits, reader) = waits_of(vec![Act::Panic]).await;
    assert!(waits[0] <= 2 * SOON + MS, "{waits:?}");
    assert!(reader.status().error.unwrap().contains("panicked"));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_last_reader() {
    let (publisher, reader) = Publisher::channel();
    let provider = Scripted {
        acts: vec![Act::Fail; 3].into_iter(),
        runs: Arc::default(),
    };
    let running = tokio::spawn(async move { supervise(Box::new(provider), &publisher).await });
    sleep(Duration::from_secs(30)).await;
    assert!(!running.is_finished());
    drop(reader);
    running.await.unwrap();
}
