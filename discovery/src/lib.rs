//! Where the endpoints of a service come from.

mod endpoint;

pub use endpoint::{Endpoint, Identity, State};
