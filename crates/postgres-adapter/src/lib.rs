//! Stands in for Spin's Postgres interface: what an app only reads comes from the nearest replica, everything else goes to
//! the primary, and the app is not changed for that. It exports the versions that Spin's SDKs import, and imports the
//! newest one.
//!
//! `connection` decides where a statement runs; `database` and `floor` are what it knows; `host` is Spin; the rest puts
//! values of one interface into those of the other.
#![cfg(target_family = "wasm")]

mod bindings;
mod connection;
mod convert;
mod database;
mod failure;
mod floor;
mod host;
mod mint;
mod settings;
mod statements;
mod transaction;
mod turns;
mod v3_0;
mod v4_0;
mod v4_2;
mod written;

/// What the app calls.
struct Adapter;

bindings::exports::export!(Adapter with_types_in bindings::exports);
