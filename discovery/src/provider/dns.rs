//! The addresses of a name: `dns` in the config.
//!
//! In: a host name with a port, or an SRV name. Out: an endpoint for each address, asked for again when the answer's time
//! to live is over.
//!
//! - The time to live counts within [`Settings::floor`] and [`Settings::ceiling`], and does not end at the same moment for
//!   all routers.
//! - An answer may be a part of the whole: resolvers give out random subsets. So an address is gone only after it was
//!   missing from several answers in a row; a new one counts at once.
//! - A name that does not exist, or has no addresses, is an unexplained "nothing". A server that is away, fails or
//!   refuses has not answered, and what was known stays.
//! - Of A and AAAA, and of several SRV targets, one may fail while the others answer: it keeps what it last had.
//! - SRV: the lowest priority counts, a weight of 0 counts as 1, and the target `.` means "there are none", which is
//!   believed.
//! - An answer that does not fit into a datagram is asked for by TCP.

mod ask;
mod held;
mod records;

use std::{net::SocketAddr, time::Duration};

use tokio::time::sleep;

use self::{
    ask::{Asker, Found},
    held::Held,
};
use crate::{
    Snapshot,
    provider::{Error, Provider, Publisher, Running},
};

/// The addresses of a name.
#[derive(Debug)]
pub struct Dns {
    settings: Settings,
    asker: Asker,
    held: Held,
}

/// What is asked, whom, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// What is asked.
    pub question: Question,
    /// Whom; absent: those that the system is configured with.
    pub server: Option<SocketAddr>,
    /// The shortest time between two questions.
    pub floor: Duration,
    /// The longest time between two questions.
    pub ceiling: Duration,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// The A and AAAA records of a name; each address is an endpoint at this port.
    Addresses {
        /// The name.
        name: String,
        /// The port of all its addresses.
        port: u16,
    },
    /// The SRV records of a name, and the addresses of their targets.
    Srv(String),
}

// === impl Settings ===

impl Settings {
    /// The system's servers, asked once a second at most and twice a minute at least.
    pub fn new(question: Question) -> Self {
        Self {
            question,
            server: None,
            floor: FLOOR,
            ceiling: CEILING,
        }
    }
}

// === impl Dns ===

impl Dns {
    /// The addresses of what `settings` ask for.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            asker: Asker::default(),
            held: Held::default(),
        }
    }

    async fn follow(&mut self, publisher: &Publisher) -> Result<std::convert::Infallible, Error> {
        self.asker.begin(self.settings.server)?;
        loop {
            let answer = self.asker.ask(&self.settings.question).await?;
            match answer.found {
                Found::Targets(targets) => publisher.publish(self.held.update(targets)),
                Found::None => {
                    self.held = Held::default();
                    publisher.publish(Snapshot::default());
                }
                Found::Nothing => {
                    self.held = Held::default();
                    publisher.publish_nothing();
                }
            }
            let life = answer.life.clamp(self.settings.floor, self.settings.ceiling);
            sleep(life + life.mul_f64(fastrand::f64() / 10.0)).await;
        }
    }
}

impl Provider for Dns {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(self.follow(publisher))
    }
}

/// Registries that answer by DNS give their answers no time to live; a new endpoint is seen within a second or two.
const FLOOR: Duration = Duration::from_secs(1);
/// Who gives an answer a day to live has not thought of endpoints; the resolver's cache answers until then.
const CEILING: Duration = Duration::from_secs(30);
