//! (to come)

/// What a route matches.
#[derive(Clone, Debug)]
pub struct Pattern;
/// The path sent to the backend.
#[derive(Clone, Debug)]
pub struct Template;
