//! Postgres from several regions on Fly.io, for components that run on [Spin](https://spinframework.dev).
//!
//! One [`Database`] for the life of an instance works out the candidates from `DATABASE_URL`, `FLY_REGION` and the primary
//! region: the replica in the Machine's own region, the nearest replica, the primary. A [`Session`] is what one user does
//! within one request: it reads from the first candidate that answers and has seen what the user has, and writes on the
//! primary, once.
#![cfg_attr(doc, doc = include_str!("../README.md"))]
//!
//! # How it is built
//! `rules` are pure and tested natively; `spin` is all that touches Spin's interfaces; `instance` is what the requests of
//! an instance share. Each uses only those before it.

mod database;
mod instance;
mod log;
mod outcome;
pub mod parts;
mod position;
mod problem;
mod read;
mod rows;
mod rules;
mod session;
mod spin;
mod transaction;
mod write;

pub use database::Database;
pub use outcome::{Answer, Attempt, NoAnswer};
pub use problem::Problem;
pub use rows::{ColumnError, FromRow, Row};
pub use rules::candidates::{Candidate, CandidateKind, candidates, why_no_replica};
pub use rules::config::{Config, Variables};
pub use rules::database_url::DatabaseUrl;
pub use rules::error::ConfigError;
pub use rules::failure::Failure;
pub use rules::host::HostKind;
pub use rules::reason::Reason;
pub use rules::region::{Placement, Region};
pub use rules::role::Role;
pub use rules::sqlstate::SqlState;
pub use rules::statement::{Runs, WhyPrimary};
pub use session::{Session, Written};
pub use spin::postgres::{Column, DbValue, Decode, ParameterValue, Rows};
pub use transaction::Transaction;
