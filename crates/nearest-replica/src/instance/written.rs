//! The record by which the instances on a Machine tell each other that something was written.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use super::breaker::now;

/// Its key. The value is the name of the last write, whatever the database: one address may be written in many ways.
pub const WRITTEN: &str = "nearest-replica/floor/written";

/// For how long an instance takes what the record has said for true. Whoever has written it waits for as long before anybody
/// is told, so that nobody who reads then goes by an older answer.
pub const WRITTEN_LEASE: Duration = Duration::from_millis(5);

/// For how long a write may still become visible of which nobody knows whether it happened, nor how long its statement may
/// run. Few run for longer.
pub const UNTIL_FINAL: Duration = Duration::from_secs(10);

/// For how long reads are from the primary after a write to a database that does not say how far its log is.
pub const WITHOUT_POSITIONS: Duration = Duration::from_secs(10);

/// A name that no other write has.
#[must_use]
pub fn name_of_write() -> String {
    // Each state has keys of its own, from the system.
    format!("{:016x}", RandomState::new().hash_one(now().timestamp.0))
}
