//! What the sources of one kind have in common, and the folder of last known endpoints.

pub(super) mod consul;

use std::{path::Path, time::Duration};

use discovery::provider::kubernetes::{Access, Location};
use ipnet::IpNet;

use super::{address, process::file_in, source};
use crate::config::{
    Cache, DnsProvider, KubernetesProvider, Providers,
    group::{Each, refuse_twins},
    leaf,
    section::Section,
};

pub(super) fn providers(providers: &mut Section<'_>, folder: &Path) -> Option<Providers> {
    let consul = "The cluster that all consul sources ask.";
    let read = |section: &mut Section<'_>| consul::consul(section, folder);
    let consul = providers.section("consul", consul, "`{ address: http://127.0.0.1:8500 }`", read);
    let dns = "What all dns sources have in common.";
    let dns = providers.section("dns", dns, "`{ allow: [127.0.0.0/8] }`", self::dns);
    let kubernetes = "What all kubernetes sources have in common.";
    let read = |section: &mut Section<'_>| self::kubernetes(section, folder);
    let wants = "`{ kubeconfig: FILE }`, or `{}` in a cluster";
    let kubernetes = providers.section("kubernetes", kubernetes, wants, read);
    Some(Providers {
        consul,
        dns,
        kubernetes,
    })
}

/// Without a check it would be announced while it is not ready.
pub(super) fn refuse_without_check(file: &Section<'_>, providers: &Providers) {
    let register = providers.consul.register.as_ref();
    if register.is_some_and(|register| register.check.is_none()) && !file.has("admin") {
        file.refuse(
            "providers",
            "`consul.register` has nothing to check; write an `admin` address, or a `check`",
        );
    }
}

fn dns(dns: &mut Section<'_>) -> Option<DnsProvider> {
    let allow = allow(dns);
    Some(DnsProvider { allow })
}

fn kubernetes(kubernetes: &mut Section<'_>, folder: &Path) -> Option<KubernetesProvider> {
    let doc = "A kubeconfig file; absent: the cluster that this process runs in. Relative to this file.";
    let kubeconfig = kubernetes.optional("kubeconfig", doc, &file_in(folder));
    let doc = "The namespace of services that name none; absent: the service account's or the context's own.";
    let namespace = kubernetes.optional(
        "namespace",
        doc,
        &source::kubernetes::name("a namespace such as `default`"),
    );
    let zone = "The zone that this runs in; absent: LONGHAUL_ZONE of the environment, if any.";
    let zone = kubernetes.optional("zone", zone, &source::kubernetes::label("a zone such as `eu-1a`"));
    let node = "The node that this runs on; absent: LONGHAUL_NODE of the environment, if any.";
    let node = kubernetes.optional(
        "node",
        node,
        &source::kubernetes::label("a node such as `node-1`"),
    );
    let allow = allow(kubernetes);
    Some(KubernetesProvider {
        access: kubeconfig.map_or(Access::InCluster, Access::Kubeconfig),
        namespace,
        location: Location { zone, node },
        allow,
    })
}

/// The networks that a registry may name although they mean another machine to it than to the router.
pub(super) fn allow(provider: &mut Section<'_>) -> Vec<IpNet> {
    let doc = "Networks of loopback, link-local and metadata addresses that may be endpoints.";
    let networks = Each {
        item: address::network(),
        some: false,
        wants: "a list of networks such as `[127.0.0.0/8]`",
    };
    let allow = provider.or("allow", doc, &networks, ALLOW);
    refuse_twins(provider.notes(), &allow, "is the same network as", |network| {
        *network
    });
    allow.into_iter().map(|network| network.value).collect()
}

pub(super) fn cache(file: &mut Section<'_>, folder: &Path) -> Option<Cache> {
    let doc =
        "A folder for last known endpoints, used at start while a registry is away; relative to this file.";
    let cache = file.optional("cache", doc, &file_in(folder));
    let doc = "Endpoints in the cache that were last confirmed longer ago are not used.";
    let max_age = file.or("cache_max_age", doc, &leaf::duration(MIN_AGE..=MAX_AGE), AGE);
    Some(Cache {
        folder: cache?,
        max_age,
    })
}

/// Whoever can write to a registry would choose which of our own machine's ports is connected to.
const ALLOW: &str = "[]";
/// Long enough for an outage that nobody notices at night, too short for a set that nobody remembers.
const AGE: &str = "24h";
/// Sources answer every few minutes where nothing changes.
const MIN_AGE: Duration = Duration::from_secs(60);
/// A year.
const MAX_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
