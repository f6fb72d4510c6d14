//! The metrics that are computed when they are read: sessions, traffic and endpoints as they are now.
//!
//! In: the live sessions, the status of the services, the routes that are in use. Out: gauges and counters that nobody
//! has to keep while bytes move.
//!
//! Each route shows a zero for each endpoint of its service that it has no session on, so that an average over endpoints
//! counts the idle ones.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Error,
    net::SocketAddr,
    sync::Arc,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use crate::{
    session::{Sessions, Traffic},
    telemetry::status::{EndpointStatus, ServiceStatus},
};

/// All that one scrape looks at.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) sessions: Arc<Sessions>,
    pub(super) services: Vec<ServiceStatus>,
    pub(super) routes: Vec<[Arc<str>; 2]>,
    pub(super) lost_lines: u64,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.sessions(&mut encoder)?;
        self.traffic(&mut encoder)?;
        self.endpoints(&mut encoder)?;
        self.ages(&mut encoder)?;
        let lines = encoder.encode_descriptor(
            "longhaul_log_lines_dropped",
            "Log lines dropped because nobody read them.",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(self.lost_lines).encode(lines)
    }
}

impl Scrape {
    fn sessions(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut metric = encoder.encode_descriptor(
            "longhaul_sessions_active",
            "Live sessions by the endpoint that holds them.",
            None,
            MetricType::Gauge,
        )?;
        let live = self.sessions.all();
        let mut counts: HashMap<(&str, &str, SocketAddr), i64> = HashMap::new();
        for [route, name] in &self.routes {
            let endpoints = self.services.iter().filter(|service| service.name == *name);
            for endpoint in endpoints.flat_map(|service| &service.endpoints) {
                counts.insert((route, name, endpoint.address), 0);
            }
        }
        for session in &live {
            let key = (&*session.route, &*session.service, session.endpoint.address);
            *counts.entry(key).or_default() += 1;
        }
        for ((route, service, endpoint), count) in counts {
            let endpoint = endpoint.to_string();
            let labels = [("route", route), ("service", service), ("endpoint", &endpoint)];
            ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn traffic(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut traffic: BTreeMap<Arc<str>, Traffic> = self.sessions.traffic().into_iter().collect();
        for service in &self.services {
            traffic.entry(Arc::clone(&service.name)).or_default();
        }
        counters(
            encoder,
            ["longhaul_messages", "Complete data messages by direction."],
            &traffic,
            |sum| [sum.messages_from_client, sum.messages_to_client],
        )?;
        counters(
            encoder,
            [
                "longhaul_bytes",
                "Bytes of sessions on the client's leg, frame headers included.",
            ],
            &traffic,
            |sum| [sum.bytes_from_client, sum.bytes_to_client],
        )
    }

    fn endpoints(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut metric = encoder.encode_descriptor(
            "longhaul_endpoints",
            "Endpoints by state; one that is active but ejected counts as ejected.",
            None,
            MetricType::Gauge,
        )?;
        for service in &self.services {
            let mut states: BTreeMap<&str, i64> = STATES.map(|state| (state, 0)).into();
            for endpoint in &service.endpoints {
                *states.entry(state(endpoint)).or_default() += 1;
            }
            for (state, count) in states {
                let labels = [("service", &*service.name), ("state", state)];
                ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn ages(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut metric = encoder.encode_descriptor(
            "longhaul_discovery_age",
            "Since the discovery of a service last answered.",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for service in &self.services {
            let Some(age) = service.age else { continue };
            let labels = [("service", &*service.name)];
            ConstGauge::new(age.as_secs_f64()).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    [name, help]: [&str; 2],
    traffic: &BTreeMap<Arc<str>, Traffic>,
    read: impl Fn(&Traffic) -> [u64; 2],
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (service, sum) in traffic {
        for (direction, count) in ["from_client", "to_client"].into_iter().zip(read(sum)) {
            let labels = [("service", &**service), ("direction", direction)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn state(endpoint: &EndpointStatus) -> &'static str {
    if endpoint.ejected && endpoint.state == "active" {
        "ejected"
    } else {
        endpoint.state
    }
}

/// Shown for each service, also at zero.
const STATES: [&str; 5] = ["active", "draining", "ejected", "gone", "unhealthy"];
