//! What a lease carries of its pick, and what its verdict leads to.

use tokio::time::Instant;

/// Which pick a verdict belongs to: the epoch, and whether it is the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) struct Stamp {
    pub(super) epoch: u32,
    pub(super) trial: bool,
}

/// What a picker has to do after a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance) enum Verdict {
    /// Nothing changed.
    Nothing,
    /// The endpoint is out; look again at this time.
    Out(Instant),
    /// The endpoint is out until its trial has lasted; look again at this time.
    Proving(Instant),
    /// The endpoint takes sessions again.
    Back,
}

impl Stamp {
    pub(in crate::balance) fn to_bits(self) -> u32 {
        self.epoch << 1 | u32::from(self.trial)
    }

    pub(in crate::balance) fn from_bits(bits: u32) -> Self {
        Self {
            epoch: bits >> 1,
            trial: bits & 1 == 1,
        }
    }
}
