//! The load of an endpoint: its sessions against its weight.
//!
//! In: the session count and the weight. Out: one number that strategies compare, through [`tower::load::Load`].
//!
//! The count is of sessions from dial to end, not of requests in flight: a WebSocket session is load for hours after its
//! 101.

use std::num::NonZeroU32;

use tower::load::Load;

/// An endpoint's sessions, and the weight they are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sessions {
    pub(crate) open: usize,
    pub(crate) weight: NonZeroU32,
}

impl Load for Sessions {
    type Metric = u64;

    /// The sessions per weight that one more session would bring, as a fixed-point number with 32 binary places: counted
    /// with that session, an idle endpoint of weight 2 is better than an idle one of weight 1.
    fn load(&self) -> u64 {
        ((self.open as u64 + 1) << 32) / u64::from(self.weight.get())
    }
}
