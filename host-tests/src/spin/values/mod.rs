//! Values between Postgres and the guest, with the types, limits and errors of Spin's 4.2.0 (Spin
//! `crates/factor-outbound-pg/src/types.rs`). What becomes of them in 3.0.0 is in `postgres3.rs`.

mod columns;
mod interval;
mod numeric;
mod parameters;
mod range;
mod time;

pub(crate) use columns::{columns, values};
pub(crate) use parameters::{Parameter, parameter};

/// How Postgres' driver reports what it cannot convert.
type Unfit = Box<dyn std::error::Error + Sync + Send>;
