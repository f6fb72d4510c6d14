//! Services of a Kubernetes cluster: the pods behind a Service, from its EndpointSlices.
//!
//! In: a [`Cluster`], where this process runs, and for each service a [`Target`]. Out: a complete snapshot after each change.
//!
//! - **One watch per namespace**, however many of its services are looked up; each gets only what concerns it.
//! - A pod is known by its uid: one that takes over the address of a deleted one is another endpoint.
//! - A pod that is ready is active; one that terminates is draining, or active where no pod is ready; one that is not
//!   ready is unhealthy.
//! - A service that is scaled to zero is known to be empty. One without any slice is not: it may not exist, not exist yet,
//!   or not be shown.
//! - An API server that is away, frozen, restarted or compacted takes nothing back, and neither does a permission that is
//!   revoked. A server that is frozen is noticed five seconds after a watch should have ended, so within a minute.
//! - It reads `endpointslices` of the group `discovery.k8s.io` (get, list, watch), and nothing else.
//!
//! Not here: whether an empty answer is believed ([`crate::supervise()`] runs this; what follows an answer is up to its
//! readers).

mod access;
mod api;
mod follow;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzed;
mod namespace;
mod select;
mod slice;
mod slices;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

pub use self::{
    access::Access,
    select::{Location, PortChoice},
};
use self::{
    follow::Follow,
    namespace::{Namespace, Subscription, View},
    select::select,
    slices::Group,
};
use crate::{
    Answer,
    provider::{Provider, Publisher, Running},
};

/// A cluster and the watches that are open to it. Clones are the same cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    here: Arc<Location>,
}

/// A service of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    service: Box<str>,
    namespace: Option<Box<str>>,
    port: PortChoice,
}

/// A name that no Kubernetes object can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a Kubernetes object: those have 1 to 63 of a-z, 0-9 and `-`")]
pub struct InvalidName(String);

/// The provider of one service's endpoints.
#[derive(Debug)]
pub struct Kubernetes {
    cluster: Cluster,
    target: Target,
    subscription: Option<Subscription>,
    published: Published,
}

#[derive(Debug)]
struct Shared {
    access: Access,
    span: Duration,
    /// By name; `None` is the one that the access names.
    namespaces: Mutex<HashMap<Option<Box<str>>, Weak<Namespace>>>,
}

/// A service, and from where it is seen.
type Wanted<'a> = (&'a Target, &'a Location);

/// What was said last.
#[derive(Debug, Default)]
struct Published {
    slices: Option<Group>,
    complaint: Option<String>,
}

// === impl Cluster ===

impl Cluster {
    /// A cluster that nothing is asked of yet.
    pub fn new(access: Access) -> Self {
        Self::watching_for(access, SPAN)
    }

    /// As [`new`](Self::new), with watches of at most this length instead of 50 s: a server that is frozen is noticed
    /// five seconds after it, and each namespace costs one request in it.
    pub fn watching_for(access: Access, span: Duration) -> Self {
        let namespaces = Mutex::default();
        let shared = Arc::new(Shared {
            access,
            span,
            namespaces,
        });
        let here = Arc::default();
        Self { shared, here }
    }

    /// The same cluster and watches, seen from `here`: endpoints that hints give to others are far.
    pub fn seen_from(self, here: Location) -> Self {
        let here = Arc::new(here);
        Self { here, ..self }
    }

    /// How it is reached.
    pub fn access(&self) -> &Access {
        &self.shared.access
    }

    /// The provider of a service's endpoints. Whether there is such a service is seen when it runs.
    pub fn provider(&self, target: Target) -> Kubernetes {
        Kubernetes {
            cluster: self.clone(),
            target,
            subscription: None,
            published: Published::default(),
        }
    }

    fn namespace(&self, name: Option<&str>) -> Arc<Namespace> {
        let namespaces = &self.shared.namespaces;
        let mut namespaces = namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let name: Option<Box<str>> = name.map(Into::into);
        if let Some(namespace) = namespaces.get(&name).and_then(Weak::upgrade) {
            return namespace;
        }
        let namespace = Namespace::start(Follow {
            access: self.shared.access.clone(),
            namespace: name.clone(),
            span: self.shared.span,
        });
        namespaces.retain(|_, namespace| namespace.strong_count() > 0);
        namespaces.insert(name, Arc::downgrade(&namespace));
        namespace
    }
}

impl Default for Cluster {
    /// The cluster that this process runs in.
    fn default() -> Self {
        Self::new(Access::InCluster)
    }
}

// === impl Target ===

impl Target {
    /// A service by its name, on its only port, in the namespace of the cluster's [`Access`].
    pub fn try_new(service: &str) -> Result<Self, InvalidName> {
        Ok(Self {
            service: checked(service)?,
            namespace: None,
            port: PortChoice::Only,
        })
    }

    /// The same service in another namespace.
    pub fn in_namespace(self, namespace: &str) -> Result<Self, InvalidName> {
        let namespace = Some(checked(namespace)?);
        Ok(Self { namespace, ..self })
    }

    /// The same service, in this namespace if it names none.
    pub fn or_in_namespace(self, namespace: &str) -> Result<Self, InvalidName> {
        match self.namespace {
            Some(_) => Ok(self),
            None => self.in_namespace(namespace),
        }
    }

    /// The same service on another port.
    pub fn on(self, port: PortChoice) -> Self {
        Self { port, ..self }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.service)?;
        match &self.port {
            PortChoice::Only => Ok(()),
            PortChoice::Named(name) => write!(f, ":{name}"),
            PortChoice::Number(number) => write!(f, ":{number}"),
        }
    }
}

/// Names become parts of a path, so only what can be one is let through.
fn checked(name: &str) -> Result<Box<str>, InvalidName> {
    let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        return Err(InvalidName(name.to_owned()));
    }
    Ok(name.into())
}

// === impl Kubernetes ===

impl Provider for Kubernetes {
    fn run<'a>(&'a mut self, publisher: &'a Publisher) -> Running<'a> {
        Box::pin(async {
            let subscription = self.subscription.get_or_insert_with(|| {
                let namespace = self.cluster.namespace(self.target.namespace.as_deref());
                namespace.subscribe(&self.target.service)
            });
            // This publisher may be another than that of the run before.
            self.published.slices = None;
            subscription.again();
            loop {
                let view = subscription.next().await;
                self.published
                    .follow(view, (&self.target, &self.cluster.here), publisher);
            }
        })
    }
}

// === impl Published ===

impl Published {
    fn follow(&mut self, view: View, wanted: Wanted<'_>, publisher: &Publisher) {
        let news = view.slices.filter(|slices| {
            let known = self.slices.as_ref();
            !known.is_some_and(|known| Arc::ptr_eq(known, slices))
        });
        if let Some(slices) = news {
            self.publish(slices, wanted, publisher);
        } else if view.failure.is_none() {
            publisher.confirm();
        }
        if let Some(error) = &view.failure {
            publisher.fail(error);
        }
    }

    fn publish(&mut self, slices: Group, (target, here): Wanted<'_>, publisher: &Publisher) {
        let selected = select(&slices, &target.port, here);
        self.slices = Some(slices);
        if selected.complaint != self.complaint {
            if let Some(problem) = &selected.complaint {
                tracing::warn!(
                    source = publisher.name(),
                    service = &*target.service,
                    problem,
                    "not all endpoints of a service can be used"
                );
            }
            self.complaint = selected.complaint;
        }
        match selected.answer {
            Answer::Endpoints(endpoints) => publisher.publish(endpoints),
            Answer::Nothing => publisher.publish_nothing(),
        }
    }
}

/// Each namespace costs one cheap request in this time, and a frozen server is noticed within a minute.
const SPAN: Duration = Duration::from_secs(50);
