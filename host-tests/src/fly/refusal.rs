//! What the proxy refuses, with Fly's error codes (docs.fly.io, monitoring/error-codes).

use http::{HeaderValue, Response, StatusCode};

use super::body::{Body, empty};

/// The response header, of this imitation only, that says with which of Fly's codes and why a request was refused.
/// Fly writes that to the app's log, and sends an empty body.
pub const ERROR_HEADER: &str = "imitated-fly-error";

/// Fly's error codes, as far as the imitation has a use for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request's body is longer than what is kept for a replay.
    Pa01,
    /// More than ten replays.
    Pa02,
    /// A `fly-replay` that makes no sense, or that is not allowed here.
    Pa03,
    /// A `fly-replay` to an app that there is not.
    Pa04,
    /// A Machine was sent the request and did not answer it whole.
    Pu02,
    /// No Machine for the request.
    Pr01,
    /// No Machine could be reached; the last attempt failed.
    Pr03,
    /// No Machine was reached in time.
    Pr04,
}

impl Code {
    /// As Fly writes it.
    #[must_use]
    pub fn as_text(self) -> &'static str {
        match self {
            Self::Pa01 => "PA01",
            Self::Pa02 => "PA02",
            Self::Pa03 => "PA03",
            Self::Pa04 => "PA04",
            Self::Pu02 => "PU02",
            Self::Pr01 => "PR01",
            Self::Pr03 => "PR03",
            Self::Pr04 => "PR04",
        }
    }
}

/// An error of the proxy's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) why: String,
}

impl Refusal {
    pub(super) fn new(code: Code, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }

    /// An empty body, and the code in a header of our own. Fly documents no status: a replay that failed was measured to
    /// be 502 (by others, in August 2026), and users report 503 where there is no Machine for the first attempt.
    pub(super) fn response(&self, replays: usize) -> Response<Body> {
        let routing = matches!(self.code, Code::Pr01 | Code::Pr03 | Code::Pr04);
        let mut response = Response::new(empty());
        *response.status_mut() =
            if routing && replays == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY };
        let text = format!("{} {}", self.code.as_text(), self.why.escape_debug());
        let text = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(self.code.as_text()));
        response.headers_mut().insert(ERROR_HEADER, text);
        response
    }
}
