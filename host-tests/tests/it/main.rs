//! The component from outside: real Postgres, the real release wasm, real sockets; on a real Spin where SPIN names one.

mod config;
mod docs;
mod faults;
mod fixtures;
mod fly;
mod host;
mod load;
mod map;
mod protocol;
mod reads;
mod scenario;
mod statements;
mod texts;
mod tidy;
mod turn;
mod vault;
