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
pub mod read;
pub mod region;
mod wake;
mod within;

/// The export that Spin calls.
#[cfg(all(feature = "http-service", target_family = "wasm"))]
#[spin_sdk::http_service]
async fn handle(request: spin_sdk::http::Request) -> impl spin_sdk::http::IntoResponse {
    http::handle(request).await
}
