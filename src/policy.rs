//! (to come)

pub mod headers;
