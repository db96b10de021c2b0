//! Where statements may run, and what was decided about each, by its text: an app has few, and to read one takes longer
//! than to look it up.

use std::cell::RefCell;
use std::collections::HashMap;

use nearest_replica::Runs;

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

/// Where a statement may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Anywhere,
    /// On the primary, and it changes nothing.
    OnPrimary,
    /// On the primary, and it may write.
    Writes,
}

thread_local! {
    static DECIDED: RefCell<HashMap<String, Decision>> = RefCell::default();
}

/// Decides by the rules of the library.
pub(crate) fn decide(statement: &str) -> Decision {
    if let Some(decision) = DECIDED.with_borrow(|known| known.get(statement).copied()) {
        return decision;
    }
    let decision = match Runs::of(statement) {
        Runs::Anywhere => Decision::Anywhere,
        Runs::OnPrimary(_) if changes_nothing(statement) => Decision::OnPrimary,
        Runs::OnPrimary(_) => Decision::Writes,
    };
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

/// Spin's client sends one statement at a time, so its first word tells.
fn changes_nothing(statement: &str) -> bool {
    let statement = statement.trim_start();
    let word = statement.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    CHANGE_NOTHING.iter().any(|known| word.eq_ignore_ascii_case(known))
}
