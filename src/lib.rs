//! Reads from the nearest Postgres replica on Fly.io, as a Spin component and as a library for other components.
//!
//! [`http::handle`] is the component: `GET /` proves that the database chosen for this Machine answers. Another
//! component turns the default feature `http-service` off and calls [`read::Reader::read`] with its own statements.

mod board;
pub mod candidates;
pub mod config;
pub mod database_url;
pub mod failure;
mod health;
pub mod http;
mod lease;
mod log;
pub mod pg;
pub mod problem;
mod pulse;
pub mod read;
pub mod region;
mod reply;
#[cfg(all(feature = "http-service", target_family = "wasm"))]
mod service;
mod wake;
