//! A service's sources: each of one kind, with the keys of that kind.

mod consul;
mod dns;
pub(super) mod kubernetes;

use std::{net::SocketAddr, num::NonZeroU32, path::Path};

use discovery::Endpoint;
use serde_json::Value as Json;

use super::{address, process::file_in};
use crate::config::{
    Discovery, Source,
    group::{Each, OneOrEach, WordOr, refuse_twins},
    leaf,
    section::{Object, Section},
    shape::{At, Located, Shape},
};

/// One source, or a list of them.
pub(super) fn sources(folder: &Path) -> impl Shape<Value = Vec<Located<Source>>> {
    let wants = "a source such as `{ static: [127.0.0.1:9001] }`";
    OneOrEach(Each {
        item: Object::new(wants, move |section: &mut Section<'_>| source(section, folder)),
        some: true,
        wants,
    })
}

/// Without an ordinary source there is nothing to fall back from.
pub(super) fn refuse_only_fallbacks(service: &Section<'_>, sources: &[Located<Source>]) {
    if let Some(first) = sources.first()
        && sources.iter().all(|source| source.value.fallback)
    {
        service.refuse_at(
            first,
            "is a fallback, and so is every other source; remove `fallback` from one of them",
        );
    }
}

fn source(source: &mut Section<'_>, folder: &Path) -> Option<Source> {
    let list = EndpointList;
    let listed = source.optional("static", "A list in this file.", &list);
    let file = "The name of a file with a list as under static; relative to this file.";
    let file = source.optional("file", file, &file_in(folder));
    let dns = Object::new("`{ name: chat.internal, port: 9001 }`", dns::dns);
    let dns = source.optional("dns", "The addresses of a name.", &dns);
    let consul = Object::new("`{ service: chat }`", consul::consul);
    let consul = source.optional("consul", "The instances of a service in Consul.", &consul);
    let kubernetes = Object::new("`{ service: chat, port: ws }`", kubernetes::kubernetes);
    let kubernetes = source.optional("kubernetes", "The pods behind a Service.", &kubernetes);
    let fallback = "Whether it is used only while the other sources have no active endpoint.";
    let fallback = source.or("fallback", fallback, &leaf::flag(), FALLBACK);
    let kinds: Vec<_> = KINDS.iter().filter(|kind| source.has(kind)).collect();
    match kinds[..] {
        // Another key in its place is noted as one that is unknown.
        [] if source.is_empty() || source.has("fallback") => {
            source.refuse("static", format!("is missing; write {}", list.wants()));
        }
        [first, second, ..] => source.refuse(
            second,
            format!("stands beside `{first}`; write each in a source of its own, as a list"),
        ),
        _ => {}
    }
    let kinds = [
        listed.map(Discovery::Static),
        file.map(Discovery::File),
        dns.map(Discovery::Dns),
        consul.map(Discovery::Consul),
        kubernetes.map(Discovery::Kubernetes),
    ];
    let discovery = kinds.into_iter().flatten().next()?;
    Some(Source { discovery, fallback })
}

/// A list of endpoints, none of them twice.
#[derive(Debug)]
pub(in crate::config) struct EndpointList;

impl EndpointList {
    fn items() -> impl Shape<Value = Vec<Located<Endpoint>>> {
        Each {
            item: WordOr {
                word: address::to_dial(Endpoint::at),
                other: Object::new("`{ address: 127.0.0.1:9001, weight: 2 }`", endpoint),
            },
            some: false,
            wants: "a list such as `[127.0.0.1:9001]`",
        }
    }
}

impl Shape for EndpointList {
    type Value = Vec<Endpoint>;

    fn wants(&self) -> String {
        Self::items().wants()
    }

    fn schema(&self) -> Json {
        Self::items().schema()
    }

    fn read(&self, at: &At<'_>) -> Option<Vec<Endpoint>> {
        let endpoints = Self::items().read(at)?;
        // One endpoint in two spellings would count its sessions twice.
        refuse_twins(at.notes, &endpoints, "is the same endpoint as", |endpoint| {
            SocketAddr::new(endpoint.address.ip().to_canonical(), endpoint.address.port())
        });
        Some(endpoints.into_iter().map(|endpoint| endpoint.value).collect())
    }
}

fn endpoint(endpoint: &mut Section<'_>) -> Option<Endpoint> {
    let address = endpoint.required("address", "Where it is dialled.", &address::to_dial(Endpoint::at));
    let doc = "Its share of sessions against the others'.";
    let weight = endpoint.or("weight", doc, &leaf::whole(1..=MAX_WEIGHT), WEIGHT);
    let weight = u32::try_from(weight).ok().and_then(NonZeroU32::new)?;
    Some(Endpoint { weight, ..address? })
}

/// The keys of which a source has one.
const KINDS: [&str; 5] = ["static", "file", "dns", "consul", "kubernetes"];
/// Sources are equals unless the operator says otherwise.
const FALLBACK: &str = "false";
/// What each endpoint has that says nothing.
const WEIGHT: &str = "1";
/// What registries allow; sums of 10,000 of them fit in 32 bits.
const MAX_WEIGHT: usize = 65_535;
