//! One round of questions to a name server, and what its answers mean.
//!
//! In: a [`Question`]. Out: addresses with the shortest time to live of all the records that led to them; or that there
//! are none; or the failure.

use std::{
    collections::HashMap,
    mem,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError},
    proto::{op::ResponseCode, rr::RecordType},
};
use tokio::time::timeout;

use super::{
    Question,
    held::Target,
    records::{Asked, Records, Wanted, addresses, records, resolver, services, wanted},
};
use crate::provider::Error;

/// Who asks, with what it needs to know of earlier rounds.
#[derive(Debug, Default)]
pub(super) struct Asker {
    resolver: Option<TokioResolver>,
    /// The addresses of the last round, for a question that fails while others answer.
    last: Known,
    /// Those of this round so far.
    found: Known,
}

/// Addresses by question.
type Known = HashMap<(String, RecordType), Vec<IpAddr>>;

/// What a round has brought.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) found: Found,
    /// How long it holds.
    pub(super) life: Duration,
}

#[derive(Debug)]
pub(super) enum Found {
    /// At least one.
    Targets(Vec<Target>),
    /// There are none, in so many words.
    None,
    /// There is no such name, or it has no such records.
    Nothing,
}

/// The addresses of one name.
struct Addresses {
    ips: Vec<IpAddr>,
    life: Duration,
}

// === impl Asker ===

impl Asker {
    /// Must be called before a row of rounds: what the system is configured with may have changed.
    pub(super) fn begin(&mut self, server: Option<SocketAddr>) -> Result<(), Error> {
        self.resolver = Some(resolver(server).map_err(failure)?);
        Ok(())
    }

    pub(super) async fn ask(&mut self, question: &Question) -> Result<Answer, Error> {
        self.found.clear();
        let round = async {
            match question {
                Question::Addresses { name, port } => self.of_name(name, *port).await,
                Question::Srv(name) => self.of_srv(name).await,
            }
        };
        let answer = timeout(PATIENCE, round).await;
        let answer = answer.unwrap_or(Err(NetError::Timeout)).map_err(failure)?;
        // What nobody asks about any more is forgotten.
        self.last = mem::take(&mut self.found);
        Ok(answer)
    }

    async fn of_name(&mut self, name: &str, port: u16) -> Result<Answer, NetError> {
        let asked = addresses(self.resolver(), name).await;
        let addresses = self.settle(name, asked)?;
        let target = |ip: &IpAddr| Target {
            address: SocketAddr::new(*ip, port),
            weight: NonZeroU32::MIN,
        };
        Ok(Answer::of(
            addresses.ips.iter().map(target).collect(),
            addresses.life,
        ))
    }

    async fn of_srv(&mut self, name: &str) -> Result<Answer, NetError> {
        let Records { lookup, life } = records(self.resolver(), name, RecordType::SRV).await?;
        let services = services(lookup.as_ref());
        if !services.is_empty() && services.iter().all(|srv| srv.target.is_root()) {
            let found = Found::None;
            return Ok(Answer { found, life });
        }
        let resolver = self.resolver().clone();
        let asked = stream::iter(wanted(services, lookup.as_ref())).map(|wanted| async {
            let answers = match wanted.glue.is_empty() {
                true => addresses(&resolver, &wanted.name).await,
                false => [Ok((wanted.glue.clone(), life)), Ok((Vec::new(), life))],
            };
            (wanted, answers)
        });
        let answers = asked.buffer_unordered(AT_ONCE).collect().await;
        self.targets(answers, life)
    }

    /// The addresses of SRV targets, of which some may have failed.
    fn targets(
        &mut self,
        answers: Vec<(Wanted, [Asked; 2])>,
        mut life: Duration,
    ) -> Result<Answer, NetError> {
        let (mut targets, mut failed) = (Vec::new(), None);
        for (wanted, answers) in answers {
            match self.settle(&wanted.name, answers) {
                Ok(addresses) => {
                    life = life.min(addresses.life);
                    targets.extend(addresses.ips.iter().map(|ip| Target {
                        address: SocketAddr::new(*ip, wanted.port),
                        weight: wanted.weight,
                    }));
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            // Whether there are none cannot be said without the one that failed.
            Some(error) if targets.is_empty() => Err(error),
            _ => Ok(Answer::of(targets, life)),
        }
    }

    /// The addresses of a name from its two answers, with the last one in the place of one that failed.
    fn settle(&mut self, name: &str, answers: [Asked; 2]) -> Result<Addresses, NetError> {
        let mut all = Addresses {
            ips: Vec::new(),
            life: Duration::MAX,
        };
        let mut failed = None;
        for (answer, of) in answers.into_iter().zip([RecordType::A, RecordType::AAAA]) {
            let key = (name.to_owned(), of);
            match answer {
                Ok((ips, life)) => {
                    all.life = all.life.min(life);
                    all.ips.extend(&ips);
                    self.found.insert(key, ips);
                }
                Err(error) => {
                    let known = self.last.get(&key).cloned().unwrap_or_default();
                    all.ips.extend(&known);
                    self.found.insert(key, known);
                    tracing::debug!(name, %of, %error, "one of several questions failed");
                    if failed.is_some() {
                        return Err(error);
                    }
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if all.ips.is_empty() => Err(error),
            _ => Ok(all),
        }
    }

    fn resolver(&self) -> &TokioResolver {
        self.resolver.as_ref().expect("`begin` comes first")
    }
}

// === impl Answer ===

impl Answer {
    fn of(targets: Vec<Target>, life: Duration) -> Self {
        let found = match targets.is_empty() {
            true => Found::Nothing,
            false => Found::Targets(targets),
        };
        Self { found, life }
    }
}

fn failure(error: NetError) -> Error {
    let refused = matches!(
        error,
        NetError::Dns(DnsError::ResponseCode(
            ResponseCode::Refused | ResponseCode::NotAuth
        ))
    );
    match refused {
        true => Error::Rejected(error.into()),
        false => Error::Transient(error.into()),
    }
}

/// For a whole round, with all tries.
const PATIENCE: Duration = Duration::from_secs(15);
/// Questions for SRV targets under way at once.
const AT_ONCE: usize = 8;
