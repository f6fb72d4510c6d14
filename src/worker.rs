//! One thread per core; a session never leaves its worker.
//!
//! In: listeners to accept on and connections to serve. Out: served connections and their sessions, all polled by the
//! one thread that they were given to.
//!
//! - Each worker is a tokio current-thread runtime: no work is stolen, no lock is taken on the way of a byte, and one
//!   buffer serves all sessions of a worker.
//! - A worker that receives a connection from another's accept loop is woken once per connection; with one worker none
//!   is ever woken.
//!
//! Not here: discovery, health, admin and reload, which run on the control thread ([`crate::app`]).

use std::{io, net::TcpListener, sync::Arc, thread};

use tokio::{
    net::TcpStream,
    runtime,
    sync::{mpsc, watch},
};

use crate::{
    listen::{self, Accepted, Admission, Deliver, Door, Site},
    relay::outbox,
    router::Router,
    stack::Stack,
    telemetry::metrics::Refused,
    timers::Timers,
};

/// The worker threads.
#[derive(Debug)]
pub struct Workers {
    desks: Arc<[mpsc::Sender<Work>]>,
    threads: Vec<thread::JoinHandle<()>>,
    admission: Arc<Admission>,
    halt: watch::Sender<bool>,
    next: usize,
}

/// What a worker is given.
#[derive(Debug)]
enum Work {
    Serve(Accepted<std::net::TcpStream>),
    Accept(TcpListener, Arc<Site>, watch::Receiver<bool>),
}

/// What one worker needs to do its work.
struct Worker {
    index: usize,
    desks: Arc<[mpsc::Sender<Work>]>,
    admission: Arc<Admission>,
    router: Arc<Router>,
    stack: Stack,
    halted: watch::Receiver<bool>,
}

/// Hands accepted connections over.
struct Desk {
    home: usize,
    desks: Arc<[mpsc::Sender<Work>]>,
    router: Arc<Router>,
    stack: Stack,
}

/// A connection that cannot be registered here for want of memory is closed; its client tries again.
fn serve(accepted: io::Result<Accepted>, stack: &Stack, router: &Arc<Router>) {
    match accepted {
        Ok(accepted) => drop(tokio::spawn(listen::serve(
            accepted,
            stack.clone(),
            Arc::clone(router),
        ))),
        Err(error) => tracing::warn!(%error, "a connection was lost between two workers"),
    }
}

/// Connections on their way to a worker that is busy; more than the kernel would queue makes no sense.
const DESK: usize = 4096;

/// Places on a desk that only listeners get: a storm of connections must not cost a new listener.
const KEPT: usize = 64;

// === impl Workers ===

impl Workers {
    /// Starts the threads. `foreign`: the stack has layers of an embedder's own, which may want `tokio::time`.
    pub fn start(
        router: &Arc<Router>,
        admission: &Arc<Admission>,
        count: usize,
        stack: &Stack,
        foreign: bool,
    ) -> io::Result<Self> {
        let (desks, boxes): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(DESK)).unzip();
        let desks: Arc<[_]> = desks.into();
        let (halt, halted) = watch::channel(false);
        let mut threads = Vec::with_capacity(count);
        for (index, work) in boxes.into_iter().enumerate() {
            let worker = Worker {
                index,
                desks: Arc::clone(&desks),
                admission: Arc::clone(admission),
                router: Arc::clone(router),
                stack: stack.clone(),
                halted: halted.clone(),
            };
            let name = format!("worker-{index}");
            threads.push(
                thread::Builder::new()
                    .name(name)
                    .spawn(worker.thread(work, foreign)?)?,
            );
        }
        Ok(Self {
            desks,
            threads,
            admission: Arc::clone(admission),
            halt,
            next: 0,
        })
    }

    /// Accepts on a bound socket until `stop` says so; listeners take turns over the workers.
    pub fn accept(&mut self, listener: TcpListener, site: Arc<Site>, stop: watch::Receiver<bool>) {
        let worker = self.next % self.desks.len();
        self.next += 1;
        // A worker's box is as large as a whole backlog and it ends only with the process.
        if self.desks[worker]
            .try_send(Work::Accept(listener, site, stop))
            .is_err()
        {
            tracing::error!(worker, "a worker is too busy to accept on a listener");
        }
    }

    /// The connections that all workers hold.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }
}

/// Ends the threads and with them all that they serve.
impl Drop for Workers {
    fn drop(&mut self) {
        self.halt.send_replace(true);
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its tasks; one of its own has been logged.
            let _ = thread.join();
        }
    }
}

// === impl Worker ===

impl Worker {
    /// What its thread does.
    fn thread(self, work: mpsc::Receiver<Work>, foreign: bool) -> io::Result<impl FnOnce() + Send + 'static> {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_io().on_thread_park(outbox::send);
        if foreign {
            builder.enable_time();
        }
        let timers = Timers::start(format!("timers-{}", self.index))?;
        let runtime = builder.build()?;
        Ok(move || {
            timers.keep();
            outbox::open();
            runtime.block_on(self.run(work));
            outbox::send();
            // What is left of its tasks still has timers.
            drop(runtime);
            drop(timers);
        })
    }

    async fn run(mut self, mut work: mpsc::Receiver<Work>) {
        loop {
            let work = tokio::select! {
                work = work.recv() => work,
                _ = self.halted.changed() => return,
            };
            match work {
                Some(Work::Serve(accepted)) => {
                    serve(accepted.try_map(TcpStream::from_std), &self.stack, &self.router);
                }
                Some(Work::Accept(listener, site, stop)) => self.accept(listener, site, stop),
                None => return,
            }
        }
    }

    fn accept(&self, listener: TcpListener, site: Arc<Site>, stop: watch::Receiver<bool>) {
        let desk = Desk {
            home: self.index,
            desks: Arc::clone(&self.desks),
            router: Arc::clone(&self.router),
            stack: self.stack.clone(),
        };
        let address = site.bound;
        let door = Door {
            site,
            admission: Arc::clone(&self.admission),
            worker: self.index,
            deliver: desk,
        };
        tokio::spawn(async move {
            if let Err(error) = outbox::counted(Box::pin(listen::accept(listener, door, stop))).await {
                tracing::error!(%address, %error, "a listener failed");
            }
        });
    }
}

// === impl Desk ===

impl Deliver for Desk {
    fn deliver(&self, accepted: Accepted) -> Result<(), Accepted> {
        // A storm of connections keeps no message waiting.
        outbox::send();
        let worker = accepted.worker();
        if worker == self.home {
            tokio::spawn(listen::serve(
                accepted,
                self.stack.clone(),
                Arc::clone(&self.router),
            ));
            return Ok(());
        }
        if self.desks[worker].capacity() <= KEPT {
            return Err(accepted);
        }
        // The place first: from here on the connection cannot come back.
        let Ok(place) = self.desks[worker].try_reserve() else {
            return Err(accepted);
        };
        if let Ok(accepted) = accepted.try_map(TcpStream::into_std) {
            place.send(Work::Serve(accepted));
        }
        Ok(())
    }

    fn refused(&self) {
        self.router.metrics.refused(Refused::Limit);
    }

    fn failed(&self, error: &io::Error, news: bool) {
        self.router.metrics.accept_failed();
        if news {
            tracing::warn!(%error, "cannot accept; waiting for descriptors or memory");
        }
    }
}
