//! The checker: pure, from a history and the database at its end to the promises that were broken.

mod reads;
#[cfg(test)]
mod tests;
mod told;
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
    let mut violations = of_book(calls, end);
    violations.extend(told::check(calls));
    violations
}

/// Everything that is wrong with what guests were told who go from region to region, each with their bookmark.
///
/// What it cannot find: a read that is older than the same guest's last one, by a write that was not theirs. A bookmark is
/// of what its user has written.
#[must_use]
pub fn check_guests(calls: &[Call], end: &State) -> Vec<Violation> {
    let mut violations = of_book(calls, end);
    for guest in calls.chunk_by(|one, next| one.session == next.session) {
        violations.extend(told::check(guest));
    }
    violations
}

/// What is wrong with the writes into a guestbook.
fn of_book(calls: &[Call], end: &State) -> Vec<Violation> {
    let mut violations = writes::facts(calls, end);
    violations.extend(writes::registers(calls, end));
    violations.extend(reads::refused(calls));
    violations
}
