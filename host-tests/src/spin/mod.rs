//! Imitates `spin up` for one HTTP component: as strict as Spin and no kinder, where the component can tell.
//!
//! What it leaves out is refused with an error, so that nothing passes here and fails on Spin: other triggers,
//! several components, files, outbound HTTP, stores other than the default one.

#![expect(clippy::result_large_err, reason = "the error is Spin's own, out of its WIT")]

mod allowed_hosts;
mod app;
mod bindings;
mod instances;
mod key_value;
mod manifest;
mod options;
mod pipe;
mod pool;
mod postgres;
mod resolver;
mod resources;
mod rows;
mod runtime_config;
mod server;
mod state;
mod values;
mod variables;
mod vault;
mod worker;

pub use instances::{Instances, instantiate};
pub use manifest::build;
pub use options::Options;
pub use server::Server;
