//! What to do with a read after a failure.

use super::failure::Failure;
use super::sqlstate::SqlState;

/// What to do with a read after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
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
    pub fn after(failure: &Failure) -> Self {
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

/// Whether it took its time before it failed, and may do so again.
pub(crate) fn is_slow(failure: &Failure) -> bool {
    match failure {
        Failure::TimedOut => true,
        Failure::Database { sqlstate, .. } => *sqlstate == SqlState::QUERY_CANCELED,
        Failure::Unreachable(_)
        | Failure::NotPermitted(_)
        | Failure::Lost(_)
        | Failure::NotSent(_)
        | Failure::Behind
        | Failure::Unusable(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_lost_connection_is_tried_again_and_a_refused_one_elsewhere() {
        let lost = Failure::from_query("Error { kind: Closed, cause: None }");
        assert_eq!(Recovery::after(&lost), Recovery::Retry);
        let other = Failure::from_query("Error { kind: UnexpectedMessage, cause: None }");
        assert_eq!(Recovery::after(&other), Recovery::Fail);
        let refusal = Failure::from_open("address postgres://evil.com:5432 is not permitted");
        assert_eq!(Recovery::after(&refusal), Recovery::FailOver);
    }
}
