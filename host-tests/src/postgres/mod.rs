//! Real PostgreSQL: a primary and streaming replicas in a temporary folder, started, hurt and cleaned up by tests.

mod binaries;
mod cluster;
mod server;

pub use cluster::{Cluster, PASSWORD, PASSWORD_LOGIN, PASSWORD_USER, PRIMARY};
pub use server::{Server, USER, ask};
