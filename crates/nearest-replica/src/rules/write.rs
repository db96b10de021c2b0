//! What is known about a write that failed: the rule by which nothing that may have happened is ever repeated.

use super::failure::Failure;
use super::sqlstate::SqlState;

/// What is known about a write that failed after it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server says that nothing of it is there.
    RolledBack {
        /// Whether the same again may well succeed.
        retryable: bool,
    },
    /// It never left.
    NotSent,
    /// The server takes no writes.
    ReadOnly,
    /// It happened or it did not.
    Unknown,
}

impl Outcome {
    /// After this failure of a statement that was handed over to be run.
    #[must_use]
    pub fn after(failure: &Failure) -> Self {
        match failure {
            Failure::Unreachable(_) | Failure::NotPermitted(_) | Failure::NotSent(_) | Failure::Behind => Self::NotSent,
            Failure::Lost(_) | Failure::TimedOut | Failure::Unusable(_) => Self::Unknown,
            Failure::Database { fatal: true, .. } => Self::Unknown,
            Failure::Database { sqlstate, .. } => match *sqlstate {
                SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly,
                SqlState::STATEMENT_COMPLETION_UNKNOWN => Self::Unknown,
                SqlState::SERIALIZATION_FAILURE | SqlState::DEADLOCK_DETECTED => Self::RolledBack { retryable: true },
                // connection exception; operator intervention but for a cancelled statement; system error
                state if ["08", "58"].contains(&state.class()) || state.code().starts_with("57P") => Self::Unknown,
                _ => Self::RolledBack { retryable: false },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sqlstate: &str, fatal: bool) -> Outcome {
        Outcome::after(&Failure::Database { sqlstate: SqlState::new(sqlstate), fatal, message: String::new() })
    }

    #[test]
    fn an_error_says_that_nothing_of_it_is_there() {
        for state in ["23505", "23503", "22012", "42601", "57014", "55P03", "53100", "25P02", "XX000"] {
            assert_eq!(after(state, false), Outcome::RolledBack { retryable: false }, "{state}");
        }
        for state in ["40001", "40P01"] {
            assert_eq!(after(state, false), Outcome::RolledBack { retryable: true }, "{state}");
        }
        assert_eq!(after("25006", false), Outcome::ReadOnly);
    }

    #[test]
    fn whatever_ends_the_connection_leaves_it_open() {
        for state in ["57P01", "57P02", "57P03", "08006", "08007", "40003", "58030"] {
            assert_eq!(after(state, false), Outcome::Unknown, "{state}");
        }
        assert_eq!(after("XX000", true), Outcome::Unknown);
        assert_eq!(after("40001", true), Outcome::Unknown);
        for failure in [Failure::Lost(String::new()), Failure::TimedOut, Failure::Unusable(String::new())] {
            assert_eq!(Outcome::after(&failure), Outcome::Unknown, "{failure:?}");
        }
    }

    #[test]
    fn what_spin_did_not_send_did_not_happen() {
        for failure in [Failure::Unreachable(String::new()), Failure::NotSent(String::new())] {
            assert_eq!(Outcome::after(&failure), Outcome::NotSent, "{failure:?}");
        }
    }
}
