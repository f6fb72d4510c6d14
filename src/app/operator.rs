//! What the admin address sees of the router, and does to it.

use std::sync::Arc;

use discovery::{Identity, State};
use tokio::time::Instant;

use super::drains::Drains;
use crate::{
    admin::{Control, ControlError, EndpointStatus, ServiceStatus, Services, SourceStatus},
    config::Strategy,
    listen::Admission,
    router::{Router, Service},
};

/// The router as an operator has it.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    router: Arc<Router>,
    admission: Arc<Admission>,
    drains: Drains,
}

impl Operator {
    pub(super) fn new(router: &Arc<Router>, admission: &Arc<Admission>, drains: &Drains) -> Self {
        Self {
            router: Arc::clone(router),
            admission: Arc::clone(admission),
            drains: drains.clone(),
        }
    }

    /// Reads all services, and brings the gauges that only a reader needs up to date.
    pub(super) fn services(&self) -> Services {
        let Self {
            router, admission, ..
        } = self.clone();
        Arc::new(move || {
            for (worker, connections) in admission.by_worker().enumerate() {
                router
                    .metrics
                    .connections(worker)
                    .set(i64::try_from(connections).unwrap_or(i64::MAX));
            }
            let plan = router.plan.load();
            let mut services: Vec<_> = plan.services.values().map(|service| status(service)).collect();
            services.sort_by(|a, b| a.name.cmp(&b.name));
            services
        })
    }
}

impl Control for Operator {
    fn drain(&self, service: &str, endpoint: &Identity) -> Result<(), ControlError> {
        let service = self.service(service)?;
        if !service.hold(endpoint) {
            return Err(ControlError::UnknownEndpoint);
        }
        self.drains.begin(&service, endpoint);
        Ok(())
    }

    fn undrain(&self, service: &str, endpoint: &Identity) -> Result<(), ControlError> {
        let service = self.service(service)?;
        if !service.release(endpoint) {
            return Err(ControlError::UnknownEndpoint);
        }
        // Its registry may drain it too.
        if service.state(endpoint) == Some(State::Active) {
            self.drains.end(&service, endpoint);
        }
        Ok(())
    }
}

impl Operator {
    fn service(&self, name: &str) -> Result<Arc<Service>, ControlError> {
        let plan = self.router.plan.load();
        let service = plan.services.get(name).ok_or(ControlError::UnknownService)?;
        Ok(Arc::clone(service))
    }
}

fn status(service: &Service) -> ServiceStatus {
    let settings = service.settings.load();
    let now = Instant::now();
    let endpoints = service
        .balance
        .endpoints()
        .into_iter()
        .map(|status| EndpointStatus {
            identity: status.endpoint.identity.clone(),
            address: status.endpoint.address,
            weight: status.endpoint.weight.get(),
            state: status.state,
            ejected: status.ejected_until.is_some_and(|until| until > now),
            far: status.endpoint.far,
            sessions: status.sessions,
        });
    let followed = service.followed.load();
    let sources = followed.iter().flat_map(|followed| followed.sources());
    let sources = sources.map(|source| SourceStatus {
        name: source.name,
        condition: source.status.condition.as_str(),
        age: source.status.age,
        error: source.status.error,
    });
    ServiceStatus {
        name: Arc::clone(&settings.name),
        strategy: match settings.balance {
            Strategy::RoundRobin => "round-robin",
            Strategy::LeastConnection => "least-connection",
            Strategy::PowerOfTwo => "power-of-two",
        },
        known: service.balance.known(),
        age: followed.as_ref().and_then(|followed| followed.age()),
        sources: sources.collect(),
        endpoints: endpoints.collect(),
    }
}
