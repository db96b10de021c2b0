//! The component from outside: real Postgres, the real release wasm, real sockets; on a real Spin where SPIN names one.

mod config;
mod docs;
mod faults;
mod fixtures;
mod fly;
mod guestbook;
mod history;
mod host;
mod load;
mod map;
mod playground;
mod protocol;
mod reads;
mod replay;
mod scenario;
mod sessions;
mod statements;
mod texts;
mod tidy;
mod transactions;
mod turn;
mod vault;
mod writes;
