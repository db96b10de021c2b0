//! The component from outside: real Postgres, the real release wasm, real sockets; on a real Spin where SPIN names one.

mod config;
mod faults;
mod fly;
mod host;
mod load;
mod properties;
mod protocol;
mod reads;
mod statements;
mod story;
mod tidy;
mod world;
