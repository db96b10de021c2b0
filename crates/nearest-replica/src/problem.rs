//! What a client is told when there is no answer: problem details (RFC 9457) that hold no secret and no host name.

use std::fmt;

use serde::Serialize;

use crate::outcome::{Attempt, NoAnswer};
use crate::rules::error::ConfigError;
use crate::rules::recovery::Recovery;

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
    /// A database answered, and refused the statement.
    StatementFailed(NoAnswer),
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
    tried: Option<Vec<Tried>>,
}

#[derive(Serialize)]
struct Tried {
    candidate: &'static str,
    error: &'static str,
}

impl From<NoAnswer> for Problem {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer.tried.last().map(|attempt| Recovery::after(&attempt.failure)) {
            Some(Recovery::Fail) => Self::StatementFailed(no_answer),
            Some(Recovery::Retry | Recovery::FailOver) | None => Self::Unavailable(no_answer),
        }
    }
}

impl Problem {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::Misconfigured(_) | Self::StatementFailed(_) => 500,
            Self::Unavailable(_) => 503,
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
            Self::StatementFailed(_) => "statement-failed",
        }
    }

    /// A header that belongs to this problem.
    #[must_use]
    pub fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::MethodNotAllowed(_) => Some(("allow", "GET, HEAD")),
            // Seconds: as long as a candidate that failed is passed over before it is probed.
            Self::Unavailable(_) => Some(("retry-after", "1")),
            Self::NotFound | Self::Misconfigured(_) | Self::StatementFailed(_) => None,
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> String {
        let detail = match self {
            Self::NotFound | Self::Unavailable(_) | Self::StatementFailed(_) => None,
            Self::MethodNotAllowed(method) => Some(format!("`{method}` is not for this path: use GET or HEAD")),
            Self::Misconfigured(error) => Some(error.public()),
        };
        let tried = match self {
            Self::NotFound | Self::MethodNotAllowed(_) | Self::Misconfigured(_) => None,
            Self::Unavailable(no_answer) | Self::StatementFailed(no_answer) => {
                let one = |attempt: &Attempt| Tried { candidate: attempt.kind.name(), error: attempt.failure.class() };
                Some(no_answer.tried.iter().map(one).collect())
            }
        };
        let details = Details {
            kind: format!("urn:problem-type:{}:{}", env!("CARGO_PKG_NAME"), self.name()),
            title: self.title(),
            status: self.status(),
            detail,
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
            Self::StatementFailed(_) => "The database refused the statement",
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
            Self::Unavailable(no_answer) | Self::StatementFailed(no_answer) => no_answer.fmt(f),
        }
    }
}

impl std::error::Error for Problem {}
