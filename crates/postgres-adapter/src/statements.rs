//! Where statements may run, and what was decided about each, by its text: an app has few, and to read one takes longer
//! than to look it up.

use std::cell::RefCell;
use std::collections::HashMap;

use nearest_replica::parts::{Transaction, first_word, may_commit_in_parts};

/// Statements that an instance remembers, and the longest of them in bytes.
const MOST: usize = 64;
const LONGEST: usize = 2048;

/// What begins with these is for the primary, and changes nothing that anybody else reads.
const CHANGE_NOTHING: [&str; 14] = [
    "abort",
    "begin",
    "close",
    "deallocate",
    "discard",
    "fetch",
    "listen",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "set",
    "show",
    "start",
];

/// Where a statement may run, and what it may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) runs: Runs,
    pub(crate) transaction: Transaction,
}

/// Where a statement may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    Anywhere,
    /// On the primary, and it changes nothing.
    OnPrimary,
    /// On the primary, and it may write.
    Writes,
    /// On the primary, and it may commit a part of its work before it fails.
    WritesInParts,
}

thread_local! {
    static DECIDED: RefCell<HashMap<String, Decision>> = RefCell::default();
}

/// Decides by the rules of the library.
pub(crate) fn decide(statement: &str) -> Decision {
    if let Some(decision) = DECIDED.with_borrow(|known| known.get(statement).copied()) {
        return decision;
    }
    let decision = Decision::of(statement);
    if statement.len() <= LONGEST {
        DECIDED.with_borrow_mut(|known| {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(statement.to_owned(), decision);
        });
    }
    decision
}

impl Decision {
    /// Whether it may write.
    pub(crate) fn writes(self) -> bool {
        match self.runs {
            Runs::Anywhere | Runs::OnPrimary => false,
            Runs::Writes | Runs::WritesInParts => true,
        }
    }

    fn of(statement: &str) -> Self {
        let first = first_word(statement);
        let changes_nothing = CHANGE_NOTHING.iter().any(|word| first.eq_ignore_ascii_case(word));
        let runs = match nearest_replica::Runs::of(statement) {
            nearest_replica::Runs::Anywhere => Runs::Anywhere,
            nearest_replica::Runs::OnPrimary(_) if changes_nothing => Runs::OnPrimary,
            nearest_replica::Runs::OnPrimary(_) if may_commit_in_parts(statement) => Runs::WritesInParts,
            nearest_replica::Runs::OnPrimary(_) => Runs::Writes,
        };
        Self { runs, transaction: Transaction::of(statement) }
    }
}
