//! What the tests, `make up`, `make soak` and `make bench` stand on: a host that imitates Spin, real Postgres clusters,
//! and Fly Machines made of the two.

pub mod client;
pub mod counting_proxy;
pub mod fault;
pub mod fly;
#[cfg(feature = "in-house")]
pub mod history;
pub mod load;
pub mod logs;
pub mod machine;
pub mod names;
pub mod postgres;
pub mod private_network;
pub mod process;
pub mod region;
#[cfg(feature = "in-house")]
pub mod spin;
pub mod wait;
mod watchdog;
