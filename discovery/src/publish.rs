//! Between a provider and those who follow it: what its source last said, and how long ago.
//!
//! In: answers through a [`Publisher`]. Out: the latest of them through any number of [`Reader`]s, with the source's
//! [`Status`].
//!
//! Promises:
//! - "Not known yet" is no answer; once there is one, a source never goes back to "not known yet".
//! - An equal answer wakes no reader, but it does count for the age: the source is there and nothing has changed.
//! - A failure takes nothing back: the last answer stays, beside the words of the failure.
//! - A reader that falls behind sees the latest answer, never a queue of old ones.
//!
//! Not here: whether an answer is believed ([`merge`](crate::merge)), and what follows a failure
//! ([`supervise`](crate::supervise)).

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::{Snapshot, allow::Rules, provider::Error};

/// What a source has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The complete set. If it is empty the source has said so in a way that leaves no doubt.
    Endpoints(Snapshot),
    /// There is nothing, without a word on why: as likely a registry that is starting, or a permission that is missing,
    /// as a service that has no endpoints.
    Nothing,
}

/// The writing end of what a source says.
#[derive(Debug)]
pub struct Publisher {
    /// Of the source, in the log.
    name: Arc<str>,
    rules: Option<Rules>,
    report: watch::Sender<Report>,
}

/// The reading end of what a source says. Clones read the same source, each at its own pace.
#[derive(Clone, Debug)]
pub struct Reader {
    report: watch::Receiver<Report>,
}

/// How a source is doing, for those who watch from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// In one word.
    pub condition: Condition,
    /// Since the source last answered, even if only that nothing had changed; `None` if it never has.
    pub age: Option<Duration>,
    /// Why it failed, if it failed after its last answer.
    pub error: Option<Arc<str>>,
}

/// How a source is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Has neither answered nor failed yet.
    Waiting,
    /// Has not failed since it last answered.
    Answering,
    /// Could not be reached, or gave a broken answer: it is tried again within seconds.
    Failing,
    /// Refused the request: it is tried again within a minute.
    Refused,
}

/// All that is known of a source.
#[derive(Debug, Default)]
struct Report {
    answer: Option<Answer>,
    answered: Option<Instant>,
    failure: Option<Failure>,
}

#[derive(Debug, PartialEq, Eq)]
struct Failure {
    condition: Condition,
    words: Arc<str>,
}

// === impl Publisher ===

impl Publisher {
    /// The publisher of a source without a name, and its first reader. More readers come from cloning that one.
    pub fn channel() -> (Self, Reader) {
        Self::named("")
    }

    /// As [`channel`](Self::channel), of a source that has a name in the log.
    pub fn named(name: impl Into<Arc<str>>) -> (Self, Reader) {
        let (report, reader) = watch::channel(Report::default());
        let name = name.into();
        let publisher = Self {
            name,
            rules: None,
            report,
        };
        (publisher, Reader { report: reader })
    }

    /// As it is, but endpoints that `rules` refuse are left out of every answer.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self {
            rules: Some(rules),
            ..self
        }
    }

    /// What the source is called in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source has answered: this is the complete set. An empty one is believed, so it is only for a source that
    /// says "none" in so many words; see [`publish_nothing`](Self::publish_nothing).
    ///
    /// Endpoints that the publisher's [`Rules`] refuse are left out; if none is left, that is an unexplained "nothing".
    pub fn publish(&self, endpoints: Snapshot) {
        let some = !endpoints.is_empty();
        let admitted = self.admit(endpoints);
        // A source all of whose endpoints are refused has made a mistake; it did not say that there are none.
        match some && admitted.is_empty() {
            true => self.answer(Answer::Nothing),
            false => self.answer(Answer::Endpoints(admitted)),
        }
    }

    /// The source has answered that there is nothing, and has not explained it: Consul's `[]`, a Kubernetes service
    /// without a slice, a name that does not exist.
    pub fn publish_nothing(&self) {
        self.answer(Answer::Nothing);
    }

    /// The source has answered that nothing has changed. Says nothing to readers, but the source is not stale and a
    /// failure before is over. Without an answer to confirm it does nothing.
    pub fn confirm(&self) {
        self.report.send_if_modified(|report| {
            let answered = report.answer.is_some();
            answered && report.alive(&self.name)
        });
    }

    /// The source has failed; its last answer stays. For a provider that goes on by itself; one that ends with the error
    /// leaves this to [`supervise`](crate::supervise).
    pub fn fail(&self, error: &Error) {
        let condition = match error {
            Error::Transient(_) => Condition::Failing,
            Error::Rejected(_) => Condition::Refused,
        };
        let failure = Failure {
            condition,
            words: words(error).into(),
        };
        self.report.send_if_modified(|report| {
            let news = report.failure.as_ref() != Some(&failure);
            if news {
                tracing::warn!(
                    source = &*self.name,
                    error = &*failure.words,
                    "a source of endpoints fails"
                );
                report.failure = Some(failure);
            }
            news
        });
    }

    /// Ends when the last reader is gone.
    pub async fn unread(&self) {
        self.report.closed().await;
    }

    /// What of `endpoints` the publisher's [`Rules`] let pass.
    pub(crate) fn admit(&self, endpoints: Snapshot) -> Snapshot {
        match &self.rules {
            Some(rules) => rules.admit(&self.name, endpoints),
            None => endpoints,
        }
    }

    /// When the source last answered.
    pub(crate) fn answered(&self) -> Option<Instant> {
        self.report.borrow().answered
    }

    fn answer(&self, answer: Answer) {
        self.report.send_if_modified(|report| {
            let recovered = report.alive(&self.name);
            let news = report.answer.as_ref() != Some(&answer);
            if news {
                report.answer = Some(answer);
            }
            news || recovered
        });
    }
}

// === impl Reader ===

impl Reader {
    /// Waits for something that this reader has not seen: another answer, a failure, the end of one. False when there
    /// will be nothing more. May be dropped at any await without losing anything.
    pub async fn changed(&mut self) -> bool {
        self.report.changed().await.is_ok()
    }

    /// Whether there is something that this reader has not seen.
    pub fn has_changed(&self) -> bool {
        self.report.has_changed().unwrap_or(false)
    }

    /// The last answer, which is seen by that; `None` if there was none yet.
    pub fn answer(&mut self) -> Option<Answer> {
        self.report.borrow_and_update().answer.clone()
    }

    /// The set of the last answer, which is seen by that; `None` if there was none yet.
    pub fn endpoints(&mut self) -> Option<Snapshot> {
        self.answer().map(Answer::into_endpoints)
    }

    /// Waits until the last answer is one that `wanted` accepts, and returns its set; `None` if that cannot come.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&Answer) -> bool) -> Option<Snapshot> {
        let accepts = |report: &Report| report.answer.as_ref().is_some_and(&mut wanted);
        let answer = self.report.wait_for(accepts).await.ok()?.answer.clone();
        answer.map(Answer::into_endpoints)
    }

    /// How the source is doing now.
    pub fn status(&self) -> Status {
        let report = self.report.borrow();
        let condition = match (&report.failure, &report.answer) {
            (Some(failure), _) => failure.condition,
            (None, Some(_)) => Condition::Answering,
            (None, None) => Condition::Waiting,
        };
        Status {
            condition,
            age: report.answered.map(|at| at.elapsed()),
            error: report.failure.as_ref().map(|failure| failure.words.clone()),
        }
    }
}

// === impl Report ===

impl Report {
    /// Notes a sign of life; whether it ends a failure.
    fn alive(&mut self, name: &str) -> bool {
        self.answered = Some(Instant::now());
        let recovered = self.failure.take().is_some();
        if recovered {
            tracing::info!(source = name, "a source of endpoints answers again");
        }
        recovered
    }
}

// === impl Answer ===

impl Answer {
    /// The set that was answered; that of [`Answer::Nothing`] is empty.
    pub fn into_endpoints(self) -> Snapshot {
        match self {
            Self::Endpoints(endpoints) => endpoints,
            Self::Nothing => Snapshot::default(),
        }
    }
}

// === impl Condition ===

impl Condition {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Answering => "answering",
            Self::Failing => "failing",
            Self::Refused => "refused",
        }
    }
}

/// An error with all its causes, on one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words.replace('\n', "; ")
}

#[cfg(test)]
mod tests;
