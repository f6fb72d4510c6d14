//! Which endpoints are meant for this process, by the hints that a cluster writes on them.
//!
//! In: where this process runs, and the hints of all active endpoints. Out: the [`Rule`] by which they are read, if any.
//!
//! Hints come from a Service's `trafficDistribution`; they are written for all of its endpoints together, and only
//! together they share the load. So, as kube-proxy does:
//! - they count only if every active endpoint has some, and one of them names us: what is half written, or leaves us
//!   nobody, is ignored altogether;
//! - those for nodes come before those for zones.
//!
//! Not here: what is done with an endpoint that is meant for others; discovery only tells.

use std::sync::Arc;

use crate::provider::kubernetes::slice::Hints;

/// Where this process runs. What is not known has no hints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The zone, as the label `topology.kubernetes.io/zone` of its node has it.
    pub zone: Option<Box<str>>,
    /// The name of its node.
    pub node: Option<Box<str>>,
}

/// Whose hints count, and who we are among them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule<'a> {
    Nodes(&'a str),
    Zones(&'a str),
}

impl Location {
    /// How the hints of all active endpoints are to be read; `None`: not at all.
    pub(super) fn rule(&self, active: &[&Hints]) -> Option<Rule<'_>> {
        let node = self.node.as_deref().map(Rule::Nodes);
        let zone = self.zone.as_deref().map(Rule::Zones);
        let mut rules = [node, zone].into_iter().flatten();
        rules.find(|rule| {
            active.iter().all(|hints| !rule.named(hints).is_empty())
                && active.iter().any(|hints| rule.is_for_us(hints))
        })
    }
}

impl Rule<'_> {
    /// Whether an endpoint with these hints is meant for us.
    pub(super) fn is_for_us(&self, hints: &Hints) -> bool {
        let (Rule::Nodes(own) | Rule::Zones(own)) = self;
        self.named(hints).iter().any(|named| **named == **own)
    }

    fn named<'h>(&self, hints: &'h Hints) -> &'h [Arc<str>] {
        match self {
            Rule::Nodes(_) => &hints.nodes,
            Rule::Zones(_) => &hints.zones,
        }
    }
}
