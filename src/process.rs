//! The process around a router: its config file, its signals, its exit code.
//!
//! In: a checked configuration and, if it came from a file, the file's path. Out: a running router that follows the file.
//! SIGHUP and a change of the file reload; SIGTERM and SIGINT drain; a second one exits at once.
//!
//! - A file that is wrong changes nothing: its problems are logged with file, line and column, and counted.
//! - Reloads come one after the other; while draining there are none.
//!
//! Not here: what a reload does ([`crate::app`]).

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use discovery::files::Changes;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    app::{App, Options},
    config::{self, Config},
    telemetry::Telemetry,
};

/// A running router and what it listens to from outside.
#[derive(Debug)]
pub struct Process {
    app: App,
    telemetry: Telemetry,
    file: Option<File>,
    signals: Signals,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    changes: Changes,
}

#[derive(Debug)]
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// Why the process goes on or ends.
enum Wish {
    Reload,
    End,
}

/// The exit code after a second signal: the drain was not finished.
const IMPATIENT: i32 = 1;

/// Runs the router of this file until it is told to end.
pub fn run(path: &Path) -> ExitCode {
    with_runtime(async {
        // Watched before it is read, so that no change falls between.
        let changes = Changes::watch([path.to_owned()]);
        let config = config::load(path)?;
        let process = Process::start(config, Options::default()).await?;
        Ok(process
            .follow(File {
                path: path.to_owned(),
                changes,
            })
            .until_told()
            .await)
    })
}

/// Says what is wrong with this file.
pub fn check(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(_) => {
            println!("{}: ok", path.display());
            ExitCode::SUCCESS
        }
        Err(problems) => fail(&problems),
    }
}

/// Runs `work` on this thread, the control thread.
pub fn with_runtime(work: impl Future<Output = Result<ExitCode, Box<dyn Error>>>) -> ExitCode {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(work))
    {
        Ok(code) => code,
        Err(error) => fail(&*error),
    }
}

impl Process {
    /// Sets up the log and opens everything that `config` names.
    pub async fn start(config: Config, options: Options) -> Result<Self, Box<dyn Error>> {
        let telemetry = Telemetry::init(&config.log)?;
        let signals = Signals::new()?;
        let app = App::start(
            config,
            Options {
                loss: telemetry.loss(),
                ..options
            },
        )
        .await?;
        Ok(Self {
            app,
            telemetry,
            file: None,
            signals,
        })
    }

    /// The router.
    pub fn app(&self) -> &App {
        &self.app
    }

    fn follow(self, file: File) -> Self {
        Self {
            file: Some(file),
            ..self
        }
    }

    /// Reloads when asked, until a signal ends the process; returns once the last session has ended.
    pub async fn until_told(mut self) -> ExitCode {
        let readiness = self.app.readiness().clone();
        let welcome = tokio::spawn(async move {
            readiness.ready().await;
            tracing::info!("ready");
        });
        while let Wish::Reload = self.next_wish().await {
            self.reload();
        }
        welcome.abort();
        let Self {
            app,
            mut signals,
            telemetry,
            ..
        } = self;
        tokio::select! {
            () = app.shutdown() => {}
            () = signals.end() => {
                tracing::warn!("told to end twice: exiting at once");
                drop(telemetry);
                // Not by returning: that would wait for the workers.
                std::process::exit(IMPATIENT);
            }
        }
        drop(telemetry);
        ExitCode::SUCCESS
    }

    async fn next_wish(&mut self) -> Wish {
        let changed = async {
            match &mut self.file {
                Some(file) => drop(file.changes.next().await),
                None => std::future::pending().await,
            }
        };
        let Signals {
            hangup,
            interrupt,
            terminate,
        } = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => Wish::End,
            _ = terminate.recv() => Wish::End,
            _ = hangup.recv() => Wish::Reload,
            () = changed => Wish::Reload,
        }
    }

    fn reload(&mut self) {
        let Some(file) = &self.file else { return };
        let loaded = config::load(&file.path).map_err(Box::<dyn Error>::from);
        let reloaded = loaded.and_then(|config| Ok(self.app.reload(config)?));
        let metrics = &self.app.router().metrics;
        metrics.reloaded(reloaded.is_ok());
        match reloaded {
            Ok(()) => {
                self.telemetry.set(&self.app.config().log);
                tracing::info!(file = %file.path.display(), "config reloaded");
            }
            Err(error) => {
                for line in with_causes(&*error).lines() {
                    tracing::error!(problem = line, "config not reloaded; the one before stays");
                }
            }
        }
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("{}", with_causes(error));
    ExitCode::FAILURE
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
