//! What no real server can be made to do.
