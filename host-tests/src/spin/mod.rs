//! Imitates `spin up` for one HTTP component: as strict as Spin and no kinder, where the component can tell.
//!
//! What it leaves out is refused with an error, so that nothing passes here and fails on Spin: other triggers,
//! several components, files, outbound HTTP, stores other than the default one.

#![expect(clippy::result_large_err, reason = "the error is Spin's own, out of its WIT")]

mod allowed_hosts;
mod app;
mod bindings;
mod key_value;
mod logs;
mod manifest;
mod names;
mod pool;
mod postgres;
mod rows;
mod runtime_config;
mod server;
mod values;
mod variables;
mod worker;

pub use app::{Options, build};
pub use logs::Logs;
pub use names::Names;
pub use server::Server;
pub use worker::{Instances, instantiate};
