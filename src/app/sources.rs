//! From the sources that a configuration names to providers that run.
//!
//! In: a service's sources, and what all sources share. Out: one [`Supply`] each, for [`discovery::follow`].
//!
//! A source's name says all that makes it this source: with another name, nothing that was known of it before is used.
//!
//! Not here: what becomes of the endpoints ([`super::feed`]).

use std::{
    env,
    sync::{Arc, Mutex, PoisonError},
};

use discovery::{
    Provider, Supply,
    allow::{Own, Rules},
    cache::Cache,
    provider::{
        consul::{AddressOf, Agent, Consul, Settings, Wanted},
        dns::{self, Dns, Question},
        file::File,
        fixed::Fixed,
        kubernetes::{Access, Cluster, Location, Target},
    },
};

use crate::config::{self, Discovery, Providers};

/// What all sources of a router share.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    /// The addresses that this process listens on.
    pub(super) own: Own,
    /// What was last known.
    pub(super) cache: Cache,
    /// The agents of the Consul cluster, and their connections.
    consul: Arc<Mutex<Option<Arc<Agent>>>>,
    /// The watches of all `kubernetes` sources.
    cluster: Cluster,
}

impl Shared {
    /// Goes over to other providers: what is started from now on uses them.
    pub(super) fn follow(&mut self, providers: &Providers) {
        let access = &providers.kubernetes.access;
        if self.cluster.access() != access {
            self.cluster = Cluster::new(access.clone());
        }
        let here = location(&providers.kubernetes.location);
        self.cluster = self.cluster.clone().seen_from(here);
    }

    /// The agents that these settings name: those in use, if they are the same.
    pub(super) fn consul(&self, settings: &Settings) -> Arc<Agent> {
        let mut agent = self.consul.lock().unwrap_or_else(PoisonError::into_inner);
        match &*agent {
            Some(agent) if agent.settings() == settings => Arc::clone(agent),
            _ => Arc::clone(agent.insert(Agent::new(settings.clone()))),
        }
    }
}

/// One of each source, in the order of the configuration.
pub(super) fn supplies(sources: &[config::Source], providers: &Providers, shared: &Shared) -> Vec<Supply> {
    let supply = |source: &config::Source| {
        let (provider, rules): (Box<dyn Provider>, _) = match &source.discovery {
            Discovery::Static(endpoints) => (Box::new(Fixed::new(endpoints.clone())), None),
            Discovery::File(path) => {
                let form = |content: &[u8], path: &_| Ok(config::endpoints(content, path)?);
                (Box::new(File::new(path, Arc::new(form))), None)
            }
            Discovery::Consul(wanted) => {
                let allow = providers.consul.allow.clone();
                let rules = Rules::new("providers.consul.allow", allow, shared.own.clone());
                let agent = shared.consul(&providers.consul.agent);
                (Box::new(Consul::new(agent, wanted.clone())), Some(rules))
            }
            Discovery::Dns(settings) => {
                let allow = providers.dns.allow.clone();
                let rules = Rules::new("providers.dns.allow", allow, shared.own.clone());
                (Box::new(Dns::new(settings.clone())), Some(rules))
            }
            Discovery::Kubernetes(target) => {
                let allow = providers.kubernetes.allow.clone();
                let rules = Rules::new("providers.kubernetes.allow", allow, shared.own.clone());
                let target = in_namespace(target, providers);
                (Box::new(shared.cluster.provider(target)), Some(rules))
            }
        };
        Supply {
            name: name(&source.discovery, providers).into(),
            provider,
            rules,
            fallback: source.fallback,
            remote: !matches!(source.discovery, Discovery::Static(_)),
        }
    };
    sources.iter().map(supply).collect()
}

fn name(source: &Discovery, providers: &Providers) -> String {
    match source {
        Discovery::Static(_) => "static".to_owned(),
        Discovery::File(path) => format!("file {}", path.display()),
        Discovery::Consul(wanted) => name_of_consul(wanted, &providers.consul.agent),
        Discovery::Dns(settings) => name_of_dns(settings),
        Discovery::Kubernetes(target) => {
            let target = in_namespace(target, providers);
            match &providers.kubernetes.access {
                Access::InCluster => format!("kubernetes {target}"),
                Access::Kubeconfig(file) => format!("kubernetes {target} by {}", file.display()),
            }
        }
    }
}

/// Where this process runs: as the config says, else as its pod's manifest does. There an empty value is common: the
/// label that it is read from is not on the pods of every cluster.
fn location(config: &Location) -> Location {
    let from = |variable| {
        let value = env::var(variable).ok().filter(|value| !value.is_empty());
        value.map(String::into_boxed_str)
    };
    Location {
        zone: config.zone.clone().or_else(|| from("LONGHAUL_ZONE")),
        node: config.node.clone().or_else(|| from("LONGHAUL_NODE")),
    }
}

fn in_namespace(target: &Target, providers: &Providers) -> Target {
    let target = target.clone();
    match &providers.kubernetes.namespace {
        Some(namespace) => target
            .or_in_namespace(namespace)
            .expect("the config has checked it"),
        None => target,
    }
}

fn name_of_consul(wanted: &Wanted, settings: &Settings) -> String {
    let mut name = format!("consul {}", wanted.service);
    for tag in &wanted.tags {
        name.push_str(&format!(" [{tag}]"));
    }
    if let Some(filter) = &wanted.filter {
        name.push_str(&format!(" where {filter}"));
    }
    if wanted.address != AddressOf::Service {
        name.push_str(&format!(" by {:?}", wanted.address).to_lowercase());
    }
    let scope = &settings.scope;
    let places = [&scope.datacenter, &scope.namespace, &scope.partition];
    for place in places.into_iter().flatten() {
        name.push_str(&format!(" in {place}"));
    }
    let agents: Vec<String> = settings.addresses.iter().map(ToString::to_string).collect();
    format!("{name} at {}", agents.join(", "))
}

fn name_of_dns(settings: &dns::Settings) -> String {
    let asked = match &settings.question {
        Question::Addresses { name, port } => format!("dns {name}:{port}"),
        Question::Srv(name) => format!("dns {name}"),
    };
    match settings.server {
        Some(server) => format!("{asked} at {server}"),
        None => asked,
    }
}
