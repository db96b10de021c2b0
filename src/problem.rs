//! What a client is told when there is no answer: problem details (RFC 9457) that hold no secret and no host name.

use std::fmt;

use serde_json::{Map, Value, json};
use spin_sdk::http::{Method, StatusCode};

use crate::config::ConfigError;
use crate::failure::{Advice, Failure};
use crate::read::NoAnswer;

/// Every way in which a request can end without a 2xx.
#[derive(Debug)]
pub enum Problem {
    /// The path is not ours.
    NotFound,
    /// The path is ours, the method is not.
    MethodNotAllowed(Method),
    /// A variable cannot be used.
    Misconfigured(ConfigError),
    /// No candidate answered before the deadline.
    Unavailable(NoAnswer),
    /// A database answered, and refused the statement.
    StatementFailed(NoAnswer),
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Self::Misconfigured(error)
    }
}

impl From<NoAnswer> for Problem {
    fn from(no_answer: NoAnswer) -> Self {
        let failures = || no_answer.tried.iter().map(|attempt| &attempt.failure);
        if failures().all(|failure| matches!(failure, Failure::NotPermitted(_))) {
            return Self::Misconfigured(ConfigError::new(
                "allowed_host",
                "does not list the host of DATABASE_URL in a way that Spin can read, so it refuses to connect: set \
                 SPIN_VARIABLE_ALLOWED_HOST=postgres://<host>:<port>, with a range for a host that has replicas, such \
                 as 5432..5434"
                    .to_owned(),
            ));
        }
        match failures().next_back().map(Failure::advice) {
            Some(Advice::Stop) => Self::StatementFailed(no_answer),
            Some(Advice::Again | Advice::Next) | None => Self::Unavailable(no_answer),
        }
    }
}

impl Problem {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misconfigured(_) | Self::StatementFailed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
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
            // As long as a candidate that failed is left alone before it is probed again.
            Self::Unavailable(_) => Some(("retry-after", "1")),
            Self::NotFound | Self::Misconfigured(_) | Self::StatementFailed(_) => None,
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> String {
        let mut body = Map::new();
        body.insert("type".into(), format!("urn:problem-type:{}:{}", env!("CARGO_PKG_NAME"), self.name()).into());
        body.insert("title".into(), self.title().into());
        body.insert("status".into(), self.status().as_u16().into());
        match self {
            Self::NotFound => {}
            Self::MethodNotAllowed(method) => {
                body.insert("detail".into(), format!("`{method}` is not for this path: use GET or HEAD").into());
            }
            Self::Misconfigured(error) => {
                body.insert("detail".into(), error.to_string().into());
            }
            Self::Unavailable(no_answer) | Self::StatementFailed(no_answer) => {
                let tried = no_answer
                    .tried
                    .iter()
                    .map(|attempt| json!({ "candidate": attempt.kind.to_string(), "error": attempt.failure.class() }));
                body.insert("tried".into(), tried.collect::<Value>());
            }
        }
        Value::Object(body).to_string()
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
            Self::MethodNotAllowed(method) => write!(f, "{method}"),
            Self::Misconfigured(error) => error.fmt(f),
            Self::Unavailable(no_answer) | Self::StatementFailed(no_answer) => no_answer.fmt(f),
        }
    }
}

impl std::error::Error for Problem {}
