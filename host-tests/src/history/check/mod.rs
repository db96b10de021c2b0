//! The checker: pure, from a history and the database at its end to the promises that were broken.

mod machine;
mod reads;
#[cfg(test)]
mod tests;
mod writes;

use super::call::Call;
use super::state::State;
use super::violation::Violation;

/// Everything that is wrong. The calls of each session must be in their order; sessions may stand between each other.
///
/// What it cannot find: a read that is older than what other sessions were told before it began, which is not promised.
#[must_use]
pub fn check(calls: &[Call], end: &State) -> Vec<Violation> {
    let mut violations = writes::facts(calls, end);
    violations.extend(writes::increments(calls, end));
    violations.extend(writes::registers(calls, end));
    violations.extend(writes::keys(calls));
    violations.extend(reads::refused(calls));
    violations.extend(reads::check(calls));
    violations
}

/// Everything that is wrong with what the guests of one Machine were told, which is behind the adapter.
///
/// What it cannot find: a read that is older than the same guest's last one, by a write of which nobody had been told yet.
/// That is not promised from one connection to the next.
#[must_use]
pub fn check_machine(calls: &[Call], end: &State) -> Vec<Violation> {
    let mut violations = writes::facts(calls, end);
    violations.extend(writes::registers(calls, end));
    violations.extend(reads::refused(calls));
    violations.extend(machine::check(calls));
    violations
}
