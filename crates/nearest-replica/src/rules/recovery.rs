//! What to do with a read after a failure.

use super::failure::Failure;

/// What to do with a read after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Once more on a fresh connection, then on the next candidate.
    Retry,
    /// On the next candidate.
    FailOver,
    /// The statement is at fault: it would fail everywhere.
    Fail,
}

impl Recovery {
    /// After this failure. The states are PostgreSQL's (its manual, appendix A).
    #[must_use]
    pub(crate) fn after(failure: &Failure) -> Self {
        match failure {
            Failure::Unreachable(_) | Failure::NotPermitted(_) | Failure::TimedOut | Failure::Behind => Self::FailOver,
            Failure::Lost(_) => Self::Retry,
            Failure::Database { sqlstate, .. } => match sqlstate.code() {
                // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections, and on a replica
                // "canceling statement due to conflict with recovery"
                "57P01" | "57P02" | "57P03" | "53300" | "40001" => Self::Retry,
                // query_canceled: the server's `statement_timeout` is over, which is ours unless the user gave one.
                "57014" => Self::Retry,
                state if state.starts_with("08") => Self::Retry,
                _ => Self::Fail,
            },
            Failure::Unusable(_) | Failure::NotSent(_) => Self::Fail,
        }
    }
}

/// What a failure says against the database that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nothing: the statement is at fault, or was cancelled, or the database lags.
    Nobody,
    /// A connection was lost: somebody has to look whether that is all.
    Connection,
    /// It does not answer, or takes nobody in now.
    Database,
}

impl Blame {
    /// After this failure.
    #[must_use]
    pub fn after(failure: &Failure) -> Self {
        match failure {
            Failure::Unreachable(_) | Failure::NotPermitted(_) | Failure::TimedOut => Self::Database,
            Failure::Lost(_) => Self::Connection,
            Failure::Database { sqlstate, .. } => match sqlstate.code() {
                // query_canceled, serialization_failure
                "57014" | "40001" => Self::Nobody,
                // cannot_connect_now, too_many_connections: the server says so itself
                "57P03" | "53300" => Self::Database,
                _ if Recovery::after(failure) == Recovery::Fail => Self::Nobody,
                _ => Self::Connection,
            },
            Failure::Unusable(_) | Failure::NotSent(_) | Failure::Behind => Self::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::sqlstate::SqlState;

    fn after(sqlstate: &str) -> Recovery {
        Recovery::after(&Failure::Database { sqlstate: SqlState::new(sqlstate), fatal: false, message: String::new() })
    }

    #[test]
    fn only_what_is_not_the_statements_fault_is_tried_again() {
        for sqlstate in ["57P01", "57P02", "57P03", "53300", "40001", "57014", "08006", "08P01"] {
            assert_eq!(after(sqlstate), Recovery::Retry, "{sqlstate}");
        }
        for sqlstate in ["42P01", "22012", "25006", "42501", "XX000"] {
            assert_eq!(after(sqlstate), Recovery::Fail, "{sqlstate}");
        }
    }

    #[test]
    fn a_cancelled_statement_and_one_that_is_refused_blame_nobody() {
        for sqlstate in ["57014", "40001", "42P01", "25006"] {
            let failure = Failure::Database { sqlstate: SqlState::new(sqlstate), fatal: false, message: String::new() };
            assert_eq!(Blame::after(&failure), Blame::Nobody, "{sqlstate}");
        }
        assert_eq!(Blame::after(&Failure::Behind), Blame::Nobody);
    }

    #[test]
    fn a_lost_connection_says_nothing_yet_against_its_database() {
        for sqlstate in ["57P01", "57P02", "08006"] {
            let failure = Failure::Database { sqlstate: SqlState::new(sqlstate), fatal: true, message: String::new() };
            assert_eq!(Blame::after(&failure), Blame::Connection, "{sqlstate}");
        }
        assert_eq!(Blame::after(&Failure::Lost(String::new())), Blame::Connection);
        for failure in [Failure::TimedOut, Failure::Unreachable(String::new())] {
            assert_eq!(Blame::after(&failure), Blame::Database, "{failure:?}");
        }
    }

    #[test]
    fn a_lost_connection_is_tried_again_and_a_refused_one_elsewhere() {
        let lost = Failure::from_query("Error { kind: Closed, cause: None }");
        assert_eq!(Recovery::after(&lost), Recovery::Retry);
        let other = Failure::from_query("Error { kind: UnexpectedMessage, cause: None }");
        assert_eq!(Recovery::after(&other), Recovery::Fail);
        let refusal = Failure::from_open("address postgres://evil.com:5432 is not permitted");
        assert_eq!(Recovery::after(&refusal), Recovery::FailOver);
    }
}
