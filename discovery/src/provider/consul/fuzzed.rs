//! What a fuzz target asks of this provider.

use super::{AddressOf, instance, wire};
use crate::Snapshot;

/// The endpoints of a body of `/v1/health/service/:name`, if it is one, and how many of its instances have no address
/// that can be dialled.
pub fn answer(body: &[u8], wanted: AddressOf) -> Option<(Snapshot, usize)> {
    let instances = wire::read(body).ok()?;
    let endpoints = instances
        .iter()
        .filter_map(|instance| instance::endpoint(instance, wanted).ok());
    let endpoints: Vec<_> = endpoints.collect();
    let unusable = instances.len() - endpoints.len();
    Some((endpoints.into_iter().collect(), unusable))
}
