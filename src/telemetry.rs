//! The log and the metrics: what Longhaul tells those who run it.
//!
//! In: events of every module through `tracing`, and the config's [`Log`]. Out: lines on stderr, JSON when it is not a
//! terminal, readable text when it is; and the counters of [`metrics`].
//!
//! Promises:
//! - a log pipe that nobody reads never blocks a worker: lines go through a bounded queue to a thread of their own, are
//!   dropped when it is full, counted ([`LogLoss`]) and reported in the log as soon as it moves again;
//! - what other crates log below WARN is never written, as their words may carry headers of a request;
//! - a panic is one log line with its place; text that was formatted, and so may hold what a client sent, is left out.
//!
//! Not here: the answers to operators ([`crate::admin`]).

use std::{
    any::Any,
    io::{self, BufWriter, IsTerminal, Write},
    panic::PanicHookInfo,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::Log;

pub mod metrics;
mod rarely;
pub mod sessions;
pub mod status;

pub use rarely::Rarely;

/// The log of the process; dropping it writes out what is queued, for a second at most.
#[derive(Debug)]
pub struct Telemetry {
    filter: reload::Handle<Targets, Registry>,
    loss: LogLoss,
    _flush: WorkerGuard,
}

/// Counts the log lines that were dropped; clones share the count.
#[derive(Clone, Debug, Default)]
pub struct LogLoss {
    queue: Arc<OnceLock<ErrorCounter>>,
    unwritten: Arc<AtomicU64>,
}

/// The log was set up before.
#[derive(Debug, thiserror::Error)]
#[error("the log of this process is already set up")]
pub struct AlreadySetUp(#[source] tracing_subscriber::util::TryInitError);

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Text { ansi: bool },
}

/// The log thread's end of the queue.
struct Sink<W: Write> {
    out: BufWriter<W>,
    format: Format,
    loss: LogLoss,
    reported: u64,
}

// === impl Telemetry ===

impl Telemetry {
    /// Sets up the log of the process, once; panics are logged from then on.
    pub fn init(log: &Log) -> Result<Self, AlreadySetUp> {
        let format = if io::stderr().is_terminal() {
            Format::Text {
                ansi: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            }
        } else {
            Format::Json
        };
        let (subscriber, telemetry) = build(log, io::stderr(), format, QUEUED_LINES);
        subscriber.try_init().map_err(AlreadySetUp)?;
        std::panic::set_hook(Box::new(log_panic));
        Ok(telemetry)
    }

    /// Writes by these settings from now on.
    pub fn set(&self, log: &Log) {
        // Fails only if the subscriber is gone, and then there is no log to set.
        let _ = self.filter.reload(targets(log));
    }

    /// The count of dropped lines, for [`metrics::Metrics::new`].
    pub fn loss(&self) -> LogLoss {
        self.loss.clone()
    }
}

// === impl LogLoss ===

impl LogLoss {
    /// Lines dropped so far.
    pub fn lines(&self) -> u64 {
        let queue = self.queue.get().map_or(0, ErrorCounter::dropped_lines);
        queue as u64 + self.unwritten.load(Ordering::Relaxed)
    }
}

// === impl Sink ===

impl<W: Write> Sink<W> {
    fn report_loss(&mut self) {
        let lost = self.loss.lines();
        if lost == self.reported {
            return;
        }
        let dropped = lost - self.reported;
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        let line = match self.format {
            Format::Json => format!(
                "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"log lines were dropped\",\
                 \"dropped\":{dropped},\"target\":\"longhaul::telemetry\"}}\n"
            ),
            Format::Text { .. } => {
                format!("{now}  WARN longhaul::telemetry: log lines were dropped dropped={dropped}\n")
            }
        };
        if self.out.write_all(line.as_bytes()).is_ok() {
            self.reported = lost;
        }
    }
}

/// Never fails: the log thread has nobody to tell, and an error at exit would keep it from ending.
impl<W: Write> Write for Sink<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.report_loss();
        if self.out.write_all(line).is_err() {
            self.loss.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What could not be written stays in the buffer and is tried again with the next line.
        let _ = self.out.flush();
        Ok(())
    }
}

fn build<W>(
    log: &Log,
    out: W,
    format: Format,
    queued_lines: usize,
) -> (impl Subscriber + Send + Sync + 'static, Telemetry)
where
    W: Write + Send + 'static,
{
    let loss = LogLoss::default();
    let sink = Sink {
        out: BufWriter::with_capacity(BUFFER, out),
        format,
        loss: loss.clone(),
        reported: 0,
    };
    let (queue, flush) = NonBlockingBuilder::default()
        .buffered_lines_limit(queued_lines)
        .lossy(true)
        .thread_name("log")
        .finish(sink);
    let _ = loss.queue.set(queue.error_counter());
    let (filter, handle) = reload::Layer::new(targets(log));
    let subscriber = Registry::default().with(filter).with(lines(format, queue));
    let telemetry = Telemetry {
        filter: handle,
        loss,
        _flush: flush,
    };
    (subscriber, telemetry)
}

fn lines<S>(format: Format, queue: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    // Internal errors would go to stderr from the caller's thread, which may block there.
    let lines = fmt::layer().with_writer(queue).log_internal_errors(false);
    match format {
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        Format::Text { ansi } => lines.with_ansi(ansi).boxed(),
    }
}

fn targets(log: &Log) -> Targets {
    let sessions = if log.sessions {
        LevelFilter::from_level(log.level)
    } else {
        LevelFilter::OFF
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(log.level)))
        .with_target("longhaul", log.level)
        .with_target("discovery", log.level)
        // It warns of what a client does, once for every frame: a client could fill the log with it.
        .with_target("h2", LevelFilter::ERROR)
        .with_target(sessions::TARGET, sessions)
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(tracing::field::display);
    let thread = std::thread::current();
    tracing::error!(
        target: "longhaul::panic",
        place,
        thread = thread.name(),
        words = literal_text(info.payload()),
        "panic"
    );
}

/// The text of a panic, if it was written in the source and not made from values.
fn literal_text(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

/// The lines of 9,000 sessions that open and end at once fit; about 13 MiB if nobody ever reads them.
const QUEUED_LINES: usize = 32_768;

/// Lines that come together are written together.
const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests;
