//! What the requests of one instance share: connections, what is known about each candidate, one timer.

pub(crate) mod breaker;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod events;
pub(crate) mod signal;
pub(crate) mod target;
pub(crate) mod timer;
