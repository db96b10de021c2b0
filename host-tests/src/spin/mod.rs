//! Imitates `spin up` for one HTTP component with its dependencies and middleware: as strict as Spin and no kinder, where
//! the component can tell.
//!
//! What it leaves out is refused with an error, so that nothing passes here and fails on Spin: other triggers, several
//! of them, files, outbound HTTP, stores other than the default one. Of Spin's interfaces that are not here a call traps.

#![expect(clippy::result_large_err, reason = "the error is Spin's own, out of its WIT")]

mod allowed_hosts;
mod app;
mod bindings;
mod build;
mod compose;
mod dependencies;
mod earlier;
mod engine;
mod inheritance;
mod instances;
mod key_value;
mod manifest;
mod middleware;
mod options;
mod pipe;
mod pool;
mod postgres;
mod postgres3;
mod refusals;
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

pub use build::{build, check};
pub use instances::{Instances, instantiate};
pub use options::Options;
pub use resources::Entries as Store;
pub use server::Server;
