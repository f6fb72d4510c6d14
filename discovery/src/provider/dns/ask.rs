//! One round of questions to a name server, and what its answers mean.
//!
//! In: a [`Question`]. Out: addresses with the shortest time to live of all the records that led to them; or that there
//! are none; or the failure.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{RData, Record, RecordType, rdata::SRV},
    },
};
use tokio::time::timeout;

use super::{Question, held::Target};
use crate::provider::Error;

/// Who asks, with what it needs to know of earlier rounds.
#[derive(Debug, Default)]
pub(super) struct Asker {
    resolver: Option<TokioResolver>,
    /// The last addresses by question, for one that fails while others answer.
    last: HashMap<(String, RecordType), Vec<IpAddr>>,
}

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

/// The records of one type of a name; none if the server says that there are none.
struct Records {
    lookup: Option<Lookup>,
    life: Duration,
}

/// An SRV target with what the server has told of its addresses unasked.
struct Wanted {
    name: String,
    port: u16,
    weight: NonZeroU32,
    glue: Vec<IpAddr>,
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
        let round = async {
            match question {
                Question::Addresses { name, port } => self.of_name(name, *port).await,
                Question::Srv(name) => self.of_srv(name).await,
            }
        };
        let answer = timeout(PATIENCE, round).await;
        answer.unwrap_or(Err(NetError::Timeout)).map_err(failure)
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
                    self.last.insert(key, ips);
                }
                Err(error) => {
                    all.ips.extend(self.last.get(&key).into_iter().flatten());
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

/// The addresses of one type, and how long they hold.
type Asked = Result<(Vec<IpAddr>, Duration), NetError>;

/// A, then AAAA.
async fn addresses(resolver: &TokioResolver, name: &str) -> [Asked; 2] {
    let of = async |of| {
        let records = records(resolver, name, of).await?;
        let ips = records.lookup.iter().flat_map(Lookup::answers).filter_map(ip);
        Ok((ips.collect(), records.life))
    };
    tokio::join!(of(RecordType::A), of(RecordType::AAAA)).into()
}

async fn records(resolver: &TokioResolver, name: &str, of: RecordType) -> Result<Records, NetError> {
    match resolver.lookup(name, of).await {
        Ok(lookup) => {
            let life = lookup.answers().iter().map(|record| record.ttl).min();
            Ok(Records {
                life: Duration::from_secs(life.unwrap_or_default().into()),
                lookup: Some(lookup),
            })
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) if is_final(&none) => Ok(Records {
            lookup: None,
            life: Duration::from_secs(none.negative_ttl.unwrap_or_default().into()),
        }),
        Err(error) => Err(error),
    }
}

/// Whether the server means that there are none, and not that somebody else should be asked.
fn is_final(none: &NoRecords) -> bool {
    let referral = none.soa.is_none() && none.ns.is_some();
    match none.response_code {
        ResponseCode::NXDomain => true,
        ResponseCode::NoError => !referral,
        _ => false,
    }
}

fn services(lookup: Option<&Lookup>) -> Vec<SRV> {
    let srv = |record: &Record| match &record.data {
        RData::SRV(srv) => Some(srv.clone()),
        _ => None,
    };
    lookup
        .into_iter()
        .flat_map(Lookup::answers)
        .filter_map(srv)
        .collect()
}

/// The targets of the lowest priority, with what `lookup` tells of them beside.
fn wanted(mut services: Vec<SRV>, lookup: Option<&Lookup>) -> Vec<Wanted> {
    services.retain(|srv| !srv.target.is_root());
    let first = services.iter().map(|srv| srv.priority).min();
    services.retain(|srv| Some(srv.priority) == first);
    let glue = |srv: &SRV| {
        let beside = lookup.into_iter().flat_map(Lookup::additionals);
        beside
            .filter(|record| record.name == srv.target)
            .filter_map(ip)
            .collect()
    };
    let wanted = services.iter().take(MAX_TARGETS).map(|srv| Wanted {
        name: srv.target.to_ascii(),
        port: srv.port,
        weight: NonZeroU32::new(srv.weight.into()).unwrap_or(NonZeroU32::MIN),
        glue: glue(srv),
    });
    wanted.collect()
}

fn ip(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = match server {
        None => TokioResolver::builder(provider)?,
        Some(server) => {
            let to = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![to(ConnectionConfig::udp()), to(ConnectionConfig::tcp())];
            let server = NameServerConfig::new(server.ip(), true, connections);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            let mut builder = TokioResolver::builder_with_config(config, provider);
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        }
    };
    let options = builder.options_mut();
    // How long an answer holds is decided here.
    options.cache_size = 0;
    options.timeout = TRY;
    options.edns0 = true;
    options.try_tcp_on_error = true;
    builder.build()
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

/// A server on the same network answers within milliseconds; a lost datagram should not cost five seconds.
const TRY: Duration = Duration::from_secs(2);
/// For a whole round, with all tries.
const PATIENCE: Duration = Duration::from_secs(15);
/// Questions for SRV targets under way at once.
const AT_ONCE: usize = 8;
/// More SRV targets than one answer holds names for.
const MAX_TARGETS: usize = 1000;
