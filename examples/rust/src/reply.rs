//! What goes back to the client.

use anyhow::Context;
use nearest_replica::{Answer, Database, Problem};
use serde::Serialize;
use serde_json::json;
use spin_sdk::http::Response;

use crate::bookmark::{NAME, cookie};
use crate::input::BadInput;

/// Status, headers and body.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// Why there is nothing to show.
pub(crate) enum Failure {
    /// Of the library's.
    Database(Problem),
    /// Of the client's.
    Input(BadInput),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Database(problem)
    }
}

impl From<BadInput> for Failure {
    fn from(bad: BadInput) -> Self {
        Self::Input(bad)
    }
}

impl Reply {
    pub(crate) fn new(status: u16, media_type: &str, body: String) -> Self {
        Self { status, headers: vec![("content-type", media_type.to_owned())], body }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_string(value).expect("texts and numbers are JSON");
        Self::new(status, "application/json", body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says which database has answered, and why that one.
    pub(crate) fn served_by<T>(self, database: &Database, answer: &Answer<T>) -> Self {
        let region = database.config().placement.region().map(|region| region.as_str().to_owned());
        let reply = match region {
            Some(region) => self.with("machine-region", region),
            None => self,
        };
        reply
            .with("database-candidate", answer.kind.name().to_owned())
            .with("database-reason", answer.reason.name().to_owned())
    }

    /// Gives the guest a bookmark, which is nobody else's: no cache may keep this answer.
    pub(crate) fn remembering(self, bookmark: &str, is_https: bool) -> Self {
        self.with("set-cookie", cookie(bookmark, is_https))
            .with(NAME, bookmark.to_owned())
            .with("cache-control", "private, no-store".to_owned())
    }

    pub(crate) fn send(self) -> anyhow::Result<Response<String>> {
        // Without its length the body is sent in chunks, and each response stalls for 40 ms.
        let response = Response::builder().status(self.status).header("content-length", self.body.len());
        self.headers
            .into_iter()
            .fold(response, |response, (name, value)| response.header(name, value))
            .body(self.body)
            .context("making a response")
    }
}

/// A problem body (RFC 9457).
impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let (status, header, body) = match failure {
            Failure::Database(problem) => (problem.status(), problem.header(), problem.body()),
            Failure::Input(bad) => {
                let kind = "urn:problem-type:guestbook:bad-input";
                let body = json!({
                    "type": kind, "title": "This cannot be written into the guestbook",
                    "status": bad.status(), "detail": bad.to_string(),
                });
                let allow = if let BadInput::Method(allowed) = bad { Some(("allow", allowed)) } else { None };
                (bad.status(), allow, body.to_string())
            }
        };
        let reply = Self::new(status, "application/problem+json", body);
        header.into_iter().fold(reply, |reply, (name, value)| reply.with(name, value.to_owned()))
    }
}
