//! From the sources that a configuration names to providers that run.
//!
//! In: a service's sources, and what all sources share. Out: one [`Supply`] each, for [`discovery::follow`].
//!
//! A source's name says all that makes it this source: with another name, nothing that was known of it before is used.
//!
//! Not here: what becomes of the endpoints ([`super::feed`]).

use std::sync::Arc;

use discovery::{
    Provider, Supply,
    allow::{Own, Rules},
    cache::Cache,
    provider::{
        dns::{self, Dns, Question},
        file::File,
        fixed::Fixed,
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
}

/// One of each source, in the order of the configuration.
pub(super) fn supplies(sources: &[config::Source], providers: &Providers, own: &Own) -> Vec<Supply> {
    let supply = |source: &config::Source| {
        let (provider, rules): (Box<dyn Provider>, _) = match &source.discovery {
            Discovery::Static(endpoints) => (Box::new(Fixed::new(endpoints.clone())), None),
            Discovery::File(path) => {
                let form = |content: &[u8], path: &_| Ok(config::endpoints(content, path)?);
                (Box::new(File::new(path, Arc::new(form))), None)
            }
            Discovery::Dns(settings) => {
                let allow = providers.dns.allow.clone();
                let rules = Rules::new("providers.dns.allow", allow, own.clone());
                (Box::new(Dns::new(settings.clone())), Some(rules))
            }
        };
        Supply {
            name: name(&source.discovery).into(),
            provider,
            rules,
            fallback: source.fallback,
            remote: !matches!(source.discovery, Discovery::Static(_)),
        }
    };
    sources.iter().map(supply).collect()
}

fn name(source: &Discovery) -> String {
    match source {
        Discovery::Static(_) => "static".to_owned(),
        Discovery::File(path) => format!("file {}", path.display()),
        Discovery::Dns(settings) => name_of_dns(settings),
    }
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
