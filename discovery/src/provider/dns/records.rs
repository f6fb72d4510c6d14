//! One question to a name server, and the records of its answer.
//!
//! In: a name and a type. Out: the records, with the shortest time to live among them; that there are none, where the
//! server means that; or the failure.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

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

/// The records of one type of a name; none if the server says that there are none.
pub(super) struct Records {
    pub(super) lookup: Option<Lookup>,
    pub(super) life: Duration,
}

/// An SRV target with what the server has told of its addresses unasked.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) weight: NonZeroU32,
    pub(super) glue: Vec<IpAddr>,
}

/// The addresses of one type, and how long they hold.
pub(super) type Asked = Result<(Vec<IpAddr>, Duration), NetError>;

/// A, then AAAA.
pub(super) async fn addresses(resolver: &TokioResolver, name: &str) -> [Asked; 2] {
    let of = async |of| {
        let records = records(resolver, name, of).await?;
        let ips = records.lookup.iter().flat_map(Lookup::answers).filter_map(ip);
        Ok((ips.collect(), records.life))
    };
    tokio::join!(of(RecordType::A), of(RecordType::AAAA)).into()
}

pub(super) async fn records(
    resolver: &TokioResolver,
    name: &str,
    of: RecordType,
) -> Result<Records, NetError> {
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

pub(super) fn services(lookup: Option<&Lookup>) -> Vec<SRV> {
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
pub(super) fn wanted(mut services: Vec<SRV>, lookup: Option<&Lookup>) -> Vec<Wanted> {
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

pub(super) fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
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

/// A server on the same network answers within milliseconds; a lost datagram should not cost five seconds.
const TRY: Duration = Duration::from_secs(2);
/// More SRV targets than one answer holds names for.
const MAX_TARGETS: usize = 1000;
