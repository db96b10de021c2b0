//! The component from outside: real Postgres, the real release wasm, real sockets; on a real Spin where SPIN names one.

mod config;
mod host;
mod reads;
mod tidy;
mod world;
