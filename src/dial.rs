//! (to come)

pub mod verify;
