//! The rules, as pure functions and values: no I/O, no clock, nothing of Spin. Tested natively.

pub(crate) mod allowed_host;
pub(crate) mod bookmark;
pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod candidates;
pub(crate) mod config;
pub(crate) mod database_url;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod host;
pub(crate) mod reason;
pub(crate) mod recovery;
pub(crate) mod region;
pub(crate) mod replay;
pub(crate) mod role;
pub(crate) mod sqlstate;
pub(crate) mod statement;
pub(crate) mod url_defaults;
mod url_parameters;
pub(crate) mod write;
