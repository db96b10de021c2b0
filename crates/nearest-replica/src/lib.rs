//! Reads from the nearest Postgres replica on Fly.io, for components that run on [Spin](https://spinframework.dev).
//!
//! One [`Database`] for the life of an instance works out the candidates from `DATABASE_URL`, `FLY_REGION` and the primary
//! region: the replica in the Machine's own region, the nearest replica, the primary. It reads from the first that
//! answers, with one deadline for the whole request, and remembers for a while which of them failed. The README has the
//! rules.
//!
//! ```no_run
//! use std::time::Instant;
//!
//! use nearest_replica::{Database, ParameterValue, Problem};
//!
//! async fn titles(arrived: Instant, author: &str) -> Result<usize, Problem> {
//!     let database = Database::of_instance(arrived).await?;
//!     let author = ParameterValue::Str(author.to_owned());
//!     let answer = database.read(arrived, "SELECT title FROM books WHERE author = $1", &[author]).await?;
//!     eprintln!("answered by the candidate {}", answer.kind);
//!     Ok(answer.value.len())
//! }
//! ```
//!
//! The component needs the variables and the hosts that the example's `spin.toml` lists, and the same version of
//! `spin-sdk` as this library, on whose executor its timers run.
//!
//! # How it is built
//! `rules` are pure and tested natively; `spin` is all that touches Spin's interfaces; `instance` is what the requests of
//! an instance share. Each uses only those before it.

mod database;
mod instance;
mod log;
mod outcome;
mod problem;
mod read;
mod rules;
mod spin;

pub use database::Database;
pub use outcome::{Answer, Attempt, NoAnswer};
pub use problem::Problem;
pub use rules::candidates::{Candidate, CandidateKind, candidates, why_no_replica};
pub use rules::config::{Config, Variables};
pub use rules::database_url::DatabaseUrl;
pub use rules::error::ConfigError;
pub use rules::failure::Failure;
pub use rules::host::HostKind;
pub use rules::region::{Placement, Region};
pub use rules::role::Role;
pub use spin::postgres::{DbValue, ParameterValue, Rows};
