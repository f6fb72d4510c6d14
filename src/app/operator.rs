//! What the admin address sees of the router, and does to it.

use std::sync::Arc;

use discovery::Identity;
use tokio::time::Instant;

use crate::{
    admin::{Control, ControlError, EndpointStatus, ServiceStatus, Services},
    config::Strategy,
    listen::Admission,
    router::{Router, Service},
};

/// The router as an operator has it.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    router: Arc<Router>,
    admission: Arc<Admission>,
}

impl Operator {
    pub(super) fn new(router: &Arc<Router>, admission: &Arc<Admission>) -> Self {
        Self {
            router: Arc::clone(router),
            admission: Arc::clone(admission),
        }
    }

    /// Reads all services, and brings the gauges that only a reader needs up to date.
    pub(super) fn services(&self) -> Services {
        let Self { router, admission } = self.clone();
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
        self.on_endpoint(service, endpoint, Service::hold)
    }

    fn undrain(&self, service: &str, endpoint: &Identity) -> Result<(), ControlError> {
        self.on_endpoint(service, endpoint, Service::release)
    }
}

impl Operator {
    fn on_endpoint(
        &self,
        service: &str,
        endpoint: &Identity,
        act: impl FnOnce(&Service, &Identity) -> bool,
    ) -> Result<(), ControlError> {
        let plan = self.router.plan.load();
        let service = plan.services.get(service).ok_or(ControlError::UnknownService)?;
        act(service, endpoint)
            .then_some(())
            .ok_or(ControlError::UnknownEndpoint)
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
            sessions: status.sessions,
        });
    ServiceStatus {
        name: Arc::clone(&settings.name),
        strategy: match settings.balance {
            Strategy::RoundRobin => "round-robin",
            Strategy::LeastConnection => "least-connection",
            Strategy::PowerOfTwo => "power-of-two",
        },
        known: service.balance.known(),
        age: None,
        endpoints: endpoints.collect(),
    }
}
