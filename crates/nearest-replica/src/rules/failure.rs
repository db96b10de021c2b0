//! Why a database did not answer.

use std::fmt;

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
        /// The five characters of the SQLSTATE.
        sqlstate: String,
        /// The server's own message.
        message: String,
    },
    /// The answer does not have the expected form, or Spin refused the statement itself.
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
            Self::Unusable(_) => "unusable-answer",
        }
    }

    /// From the text of Spin's `connection-failed`. The refusal has no code of its own, only this wording
    /// (Spin `factor-outbound-pg`, `allowed_hosts.rs`).
    pub(crate) fn from_open(text: &str) -> Self {
        let text = one_line(text);
        if text.starts_with("address ") && text.ends_with(" is not permitted") {
            Self::NotPermitted(text)
        } else {
            Self::Unreachable(text)
        }
    }

    /// From the text of Spin's `query-failed` without a database error. A lost connection has no SQLSTATE: it is the
    /// kind `Closed` or `Io` in the `Debug` form of tokio-postgres's error.
    pub(crate) fn from_query(text: &str) -> Self {
        let text = one_line(text);
        if ["Closed", "Io"].iter().any(|kind| text.starts_with(&format!("Error {{ kind: {kind},"))) {
            Self::Lost(text)
        } else {
            Self::Unusable(text)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) | Self::NotPermitted(text) | Self::Lost(text) | Self::Unusable(text) => {
                f.write_str(text)
            }
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Database { sqlstate, message } => write!(f, "{sqlstate}: {message}"),
        }
    }
}

impl std::error::Error for Failure {}

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
    }

    #[test]
    fn texts_of_spin_become_one_line_without_a_backtrace() {
        let text = "Error occurred\n\nCaused by:\n    0: refused\n\nStack backtrace:\n   0: anyhow::error";
        assert_eq!(Failure::from_open(text).to_string(), "Error occurred Caused by: 0: refused");
        let refusal = Failure::from_open("address postgres://evil.com:5432 is not permitted");
        assert_eq!(refusal.class(), "not-permitted");
    }
}
