//! Why a database did not answer.

use std::fmt;

use super::sqlstate::SqlState;

/// One failed attempt at one database. `Display` is for logs: it never holds a password or a whole URL, but may
/// name hosts; [`Failure::class`] is what strangers may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be opened. Spin hands over text only.
    Unreachable(String),
    /// Spin's `allowed_outbound_hosts` does not list the address.
    NotPermitted(String),
    /// The connection was lost under the statement.
    Lost(String),
    /// Nothing came back in the time that this attempt had.
    TimedOut,
    /// The server refused the statement.
    Database {
        /// Why, as every server says it.
        sqlstate: SqlState,
        /// Whether the server ended the connection with it, so that a commit under way may have happened.
        fatal: bool,
        /// The server's own message.
        message: String,
    },
    /// Spin's client refused the statement's parameters before it sent anything.
    NotSent(String),
    /// A replica has not replayed what the session has seen.
    Behind,
    /// The answer does not have the expected form.
    Unusable(String),
}

impl Failure {
    /// A stable word for problem bodies and logs.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::NotPermitted(_) => "not-permitted",
            Self::Lost(_) => "connection-lost",
            Self::TimedOut => "timed-out",
            Self::Database { .. } => "database-error",
            Self::NotSent(_) => "bad-parameter",
            Self::Behind => "behind",
            Self::Unusable(_) => "unusable-answer",
        }
    }

    /// From the text of Spin's `connection-failed`. The refusal has no code of its own, only this wording
    /// (Spin `factor-outbound-pg`, `allowed_hosts.rs`).
    #[must_use]
    pub fn from_open(text: &str) -> Self {
        let text = one_line(text);
        if text.starts_with("address ") && text.ends_with(" is not permitted") {
            Self::NotPermitted(text)
        } else {
            Self::Unreachable(text)
        }
    }

    /// What a server says: severity, SQLSTATE and message. The severity may come in the server's own language, where
    /// only the state tells whether the connection ended with it.
    #[must_use]
    pub fn from_server(severity: &str, code: &str, message: String) -> Self {
        const STATEMENTS: [&str; 12] = ["0A", "21", "22", "23", "25", "40", "42", "44", "53", "54", "55", "P0"];
        let sqlstate = SqlState::new(code);
        let fatal = match severity {
            "ERROR" => false,
            "FATAL" | "PANIC" => true,
            _ => !STATEMENTS.contains(&sqlstate.class()),
        };
        Self::Database { sqlstate, fatal, message }
    }

    /// The SQLSTATE, where a server has spoken.
    #[must_use]
    pub fn sqlstate(&self) -> Option<SqlState> {
        match self {
            Self::Database { sqlstate, .. } => Some(*sqlstate),
            Self::Unreachable(_)
            | Self::NotPermitted(_)
            | Self::Lost(_)
            | Self::TimedOut
            | Self::NotSent(_)
            | Self::Behind
            | Self::Unusable(_) => None,
        }
    }

    /// From the text of Spin's `query-failed` without a database error. A lost connection has no SQLSTATE: it is the
    /// kind `Closed` or `Io` in the `Debug` form of tokio-postgres's error.
    #[must_use]
    pub fn from_query(text: &str) -> Self {
        if let Some((severity, code)) = of_text(text) {
            return Self::from_server(severity, code, String::new());
        }
        let text = one_line(text);
        let is = |kinds: &[&str]| kinds.iter().any(|kind| text.starts_with(&format!("Error {{ kind: {kind}")));
        if is(&["Closed,", "Io,"]) {
            Self::Lost(text)
        } else if is(&["ToSql(", "Parameters(", "Encode,"]) {
            Self::NotSent(text)
        } else {
            Self::Unusable(text)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text)
            | Self::NotPermitted(text)
            | Self::Lost(text)
            | Self::NotSent(text)
            | Self::Unusable(text) => f.write_str(text),
            Self::Behind => f.write_str("it has not replayed what the session has seen"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Database { sqlstate, message, .. } => write!(f, "{sqlstate}: {message}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Severity and SQLSTATE out of the text that Spin's synchronous `query` makes of an error that comes with the rows: the
/// `Debug` form of the very error that the asynchronous one hands over. Quotes within its other texts are escaped.
fn of_text(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("Error::QueryFailed(QueryError::DbError(DbError {")?;
    let (severity, rest) = rest.split_once(", severity: \"")?.1.split_once("\", code: \"")?;
    Some((severity, rest.split_once('"')?.0))
}

/// Spin's texts are error chains over several lines, with a backtrace where RUST_BACKTRACE is set.
fn one_line(text: &str) -> String {
    let chain = text.split("Stack backtrace:").next().unwrap_or_default();
    chain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_connection_is_known_by_its_kind() {
        let lost = Failure::from_query("Error { kind: Closed, cause: None }");
        assert_eq!(lost.class(), "connection-lost");
        let reset = Failure::from_query("Error { kind: Io, cause: Some(Os { code: 104, kind: ConnectionReset }) }");
        assert_eq!(reset.class(), "connection-lost");
        let other = Failure::from_query("Error { kind: UnexpectedMessage, cause: None }");
        assert_eq!(other.class(), "unusable-answer");
        let unsent = Failure::from_query("Error { kind: ToSql(0), cause: Some(WrongType) }");
        assert_eq!(unsent.class(), "bad-parameter");
    }

    #[test]
    fn an_error_that_spin_has_made_a_text_of_is_read_again() {
        let text = "Error::QueryFailed(QueryError::DbError(DbError { as-text: \"Error { kind: Db, cause: Some(DbError { \
                    severity: \\\"FATAL\\\", code: SqlState(E57P01), message: \\\", severity: \\\\\\\"X\\\" }) }\", severity: \"ERROR\", \
                    code: \"23505\", message: \"twice\", detail: None, extras: [] }))\n\nStack backtrace:";
        let failure = Failure::from_query(text);
        assert_eq!((failure.sqlstate(), failure.class()), (Some(SqlState::new("23505")), "database-error"));
        assert!(matches!(failure, Failure::Database { fatal: false, .. }));
    }

    #[test]
    fn an_error_is_fatal_by_its_severity_or_where_that_is_in_another_language_by_its_state() {
        let fatal = |severity: &str, code: &str| {
            matches!(Failure::from_server(severity, code, String::new()), Failure::Database { fatal: true, .. })
        };
        assert!(fatal("FATAL", "22012") && fatal("PANIC", "XX000") && !fatal("ERROR", "XX000"));
        assert!(!fatal("FEHLER", "23505") && fatal("ВАЖНО", "57P01"));
    }

    #[test]
    fn texts_of_spin_become_one_line_without_a_backtrace() {
        let text = "Error occurred\n\nCaused by:\n    0: refused\n\nStack backtrace:\n   0: anyhow::error";
        assert_eq!(Failure::from_open(text).to_string(), "Error occurred Caused by: 0: refused");
        let refusal = Failure::from_open("address postgres://evil.com:5432 is not permitted");
        assert_eq!(refusal.class(), "not-permitted");
    }
}
