//! Speaks with one candidate: names, connections, questions. Every wait has an end.

mod connect;
mod pooler;
mod probe;
mod query;
mod server;
mod together;

pub(crate) use connect::{Opened, addresses, open};
pub(crate) use probe::other_protocol;
pub(crate) use server::about;
pub(crate) use together::compare;
