//! What a client is told when there is no answer: problem details (RFC 9457) that hold no secret and no host name.

use std::fmt;

use serde::Serialize;

use crate::outcome::{Attempt, NoAnswer};
use crate::rows::ColumnError;
use crate::rules::candidates::CandidateKind;
use crate::rules::error::ConfigError;
use crate::rules::failure::Failure;
use crate::rules::recovery::Recovery;
use crate::rules::sqlstate::SqlState;
use crate::rules::write::Outcome;

/// Every way in which a request can end without a 2xx.
#[derive(Debug)]
pub enum Problem {
    /// The path is not ours.
    NotFound,
    /// The path is ours, the method is not.
    MethodNotAllowed(String),
    /// A variable cannot be used.
    Misconfigured(ConfigError),
    /// No candidate answered before the deadline.
    Unavailable(NoAnswer),
    /// The databases that answered have not seen what the session has, and the primary did not answer.
    Behind(NoAnswer),
    /// A database answered, and refused the statement: nothing of it is there.
    StatementFailed(NoAnswer),
    /// The transaction was rolled back and may well succeed when it is repeated.
    RolledBack(NoAnswer),
    /// The primary takes no writes now.
    PrimaryReadOnly(NoAnswer),
    /// A write was sent, and what became of it is not known.
    OutcomeUnknown(NoAnswer),
    /// A row does not have the columns that the app wants.
    UnusableRow(ColumnError),
}

/// The members of a problem body, in their order.
#[derive(Serialize)]
struct Details {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<Vec<Tried>>,
}

#[derive(Serialize)]
struct Tried {
    candidate: &'static str,
    error: &'static str,
}

impl From<NoAnswer> for Problem {
    fn from(no_answer: NoAnswer) -> Self {
        // Only the primary may say no, or Spin itself.
        let refused = no_answer.tried.last().is_some_and(|last| {
            let counts = last.kind == CandidateKind::Configured || matches!(last.failure, Failure::NotSent(_));
            counts && Recovery::after(&last.failure) == Recovery::Fail
        });
        let lags = no_answer.tried.iter().any(|attempt| matches!(attempt.failure, Failure::Behind));
        match (refused, lags) {
            (true, _) => Self::StatementFailed(no_answer),
            (false, true) => Self::Behind(no_answer),
            (false, false) => Self::Unavailable(no_answer),
        }
    }
}

impl Problem {
    /// What is known about a write that failed.
    pub(crate) fn of_write(outcome: Outcome, no_answer: NoAnswer) -> Self {
        match outcome {
            Outcome::RolledBack { retryable: true } => Self::RolledBack(no_answer),
            Outcome::RolledBack { retryable: false } | Outcome::NotSent => Self::StatementFailed(no_answer),
            Outcome::ReadOnly => Self::PrimaryReadOnly(no_answer),
            Outcome::Unknown => Self::OutcomeUnknown(no_answer),
        }
    }
}

impl From<ColumnError> for Problem {
    fn from(error: ColumnError) -> Self {
        Self::UnusableRow(error)
    }
}

impl Problem {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::RolledBack(_) => 409,
            Self::Misconfigured(_) | Self::StatementFailed(_) | Self::OutcomeUnknown(_) | Self::UnusableRow(_) => 500,
            Self::Unavailable(_) | Self::Behind(_) | Self::PrimaryReadOnly(_) => 503,
        }
    }

    /// The last part of `type`, and the event in the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::MethodNotAllowed(_) => "method-not-allowed",
            Self::Misconfigured(_) => "misconfigured",
            Self::Unavailable(_) => "database-unavailable",
            Self::Behind(_) => "database-behind",
            Self::StatementFailed(_) => "statement-failed",
            Self::RolledBack(_) => "rolled-back",
            Self::PrimaryReadOnly(_) => "primary-read-only",
            Self::OutcomeUnknown(_) => "outcome-unknown",
            Self::UnusableRow(_) => "unusable-row",
        }
    }

    /// A header that belongs to this problem.
    #[must_use]
    pub fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::MethodNotAllowed(_) => Some(("allow", "GET, HEAD")),
            // Seconds: as long as a candidate that failed is passed over before it is probed.
            Self::Unavailable(_) | Self::Behind(_) => Some(("retry-after", "1")),
            Self::NotFound
            | Self::Misconfigured(_)
            | Self::StatementFailed(_)
            | Self::RolledBack(_)
            | Self::PrimaryReadOnly(_)
            | Self::OutcomeUnknown(_)
            | Self::UnusableRow(_) => None,
        }
    }

    /// The attempts that failed, where that is what it is about.
    fn no_answer(&self) -> Option<&NoAnswer> {
        match self {
            Self::NotFound | Self::MethodNotAllowed(_) | Self::Misconfigured(_) | Self::UnusableRow(_) => None,
            Self::Unavailable(no_answer)
            | Self::Behind(no_answer)
            | Self::StatementFailed(no_answer)
            | Self::RolledBack(no_answer)
            | Self::PrimaryReadOnly(no_answer)
            | Self::OutcomeUnknown(no_answer) => Some(no_answer),
        }
    }

    /// Why the database refused, where it did.
    #[must_use]
    pub fn sqlstate(&self) -> Option<SqlState> {
        self.no_answer()?.tried.last()?.failure.sqlstate()
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> String {
        let detail = match self {
            Self::MethodNotAllowed(method) => Some(format!("`{method}` is not for this path: use GET or HEAD")),
            Self::Misconfigured(error) => Some(error.public()),
            Self::UnusableRow(error) => Some(error.to_string()),
            Self::RolledBack(_) => Some("nothing of it is there: repeat it as a whole".to_owned()),
            Self::OutcomeUnknown(_) => Some(
                "it happened, it did not, or it still may for some seconds: look then, before you repeat it".to_owned(),
            ),
            Self::NotFound
            | Self::Unavailable(_)
            | Self::Behind(_)
            | Self::StatementFailed(_)
            | Self::PrimaryReadOnly(_) => None,
        };
        let one = |attempt: &Attempt| Tried { candidate: attempt.kind.name(), error: attempt.failure.class() };
        let tried = self.no_answer().map(|no_answer| no_answer.tried.iter().map(one).collect());
        let details = Details {
            kind: format!("urn:problem-type:{}:{}", env!("CARGO_PKG_NAME"), self.name()),
            title: self.title(),
            status: self.status(),
            detail,
            sqlstate: self.sqlstate().map(|state| state.to_string()),
            tried,
        };
        serde_json::to_string(&details).expect("texts and numbers are JSON")
    }

    fn title(&self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing at this path",
            Self::MethodNotAllowed(_) => "This method is not allowed here",
            Self::Misconfigured(_) => "The component is not configured correctly",
            Self::Unavailable(_) => "No database answered in time",
            Self::Behind(_) => "No database that answered has seen what this session has",
            Self::StatementFailed(_) => "The database refused the statement",
            Self::RolledBack(_) => "The transaction was rolled back",
            Self::PrimaryReadOnly(_) => "The primary database takes no writes now",
            Self::OutcomeUnknown(_) => "It is not known whether the write happened",
            Self::UnusableRow(_) => "A row is not as the app expects it",
        }
    }
}

/// The details, for the log.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such path"),
            Self::MethodNotAllowed(method) => f.write_str(method),
            Self::Misconfigured(error) => error.fmt(f),
            Self::UnusableRow(error) => error.fmt(f),
            Self::Unavailable(no_answer)
            | Self::Behind(no_answer)
            | Self::StatementFailed(no_answer)
            | Self::RolledBack(no_answer)
            | Self::PrimaryReadOnly(no_answer)
            | Self::OutcomeUnknown(no_answer) => no_answer.fmt(f),
        }
    }
}

impl std::error::Error for Problem {}
