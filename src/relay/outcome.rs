//! How sessions end: who, why, and with which code.
//!
//! In: what the relay met. Out: the words that logs and metrics use for it. A normal end is never an error.

use crate::session::Cause;

/// How a session ended. A normal end is never an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Who ended it.
    pub initiator: Initiator,
    /// Why.
    pub reason: Reason,
    /// The code of the first Close frame that passed or that Longhaul sent; `None` where there was none, or one without.
    pub code: Option<u16>,
}

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// The client.
    Client,
    /// The backend.
    Backend,
    /// Longhaul.
    Router,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A peer sent a Close frame.
    Close,
    /// A peer ended its stream without a Close frame.
    Eof,
    /// A peer's connection was reset or timed out.
    Reset,
    /// No byte came for the idle timeout.
    Idle,
    /// It reached its maximum lifetime.
    Lifetime,
    /// A peer did not answer a Ping in time.
    PongTimeout,
    /// Its endpoint or route was drained.
    Drain,
    /// The process ended.
    Shutdown,
    /// An operator closed it.
    Operator,
    /// Its task failed; a defect of Longhaul.
    Panic,
}

// === impl Outcome ===

impl Outcome {
    /// Whether its code is final: there is one, or the Close that ended the session had none.
    pub(super) const fn is_named(&self) -> bool {
        self.code.is_some() || matches!(self.reason, Reason::Close)
    }
}

// === impl Initiator ===

impl Initiator {
    /// Its word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Router => "router",
        }
    }
}

// === impl Reason ===

impl Reason {
    /// Its word in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Eof => "eof",
            Self::Reset => "reset",
            Self::Idle => "idle timeout",
            Self::Lifetime => "maximum lifetime",
            Self::PongTimeout => "pong timeout",
            Self::Drain => "drain",
            Self::Shutdown => "shutdown",
            Self::Operator => "operator",
            Self::Panic => "panic",
        }
    }
}

impl From<Cause> for Reason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Drain => Self::Drain,
            Cause::Shutdown => Self::Shutdown,
            Cause::Operator => Self::Operator,
        }
    }
}
