//! The HTTP face: which request gets what, as in the rule table of the README.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use spin_sdk::wasip3::http::types::{ErrorCode, Method, Request, Response};

use crate::candidates::Role;
use crate::config::{Config, ConfigError};
use crate::log;
use crate::problem::Problem;
use crate::read::{Answer, Reader};
use crate::reply::{self, Reply};

thread_local! {
    /// What this instance has learnt. Spin gives an instance many requests, but may end it at any time.
    static READER: RefCell<Option<Rc<Reader>>> = const { RefCell::new(None) };
}

/// Answers one request. `HEAD` gets the body of `GET`, which Spin's server does not send.
///
/// # Errors
/// Where the host refuses the response.
pub async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let target = request.get_path_with_query().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let reply = match (path, request.get_method()) {
        ("" | "/", Method::Get | Method::Head) => status().await,
        ("" | "/", other) => problem(&Problem::MethodNotAllowed(name(other)), Vec::new()),
        _ => problem(&Problem::NotFound, Vec::new()),
    };
    reply.send().await
}

async fn status() -> Reply {
    let arrived = Instant::now();
    reply::let_bodies_go().await;
    let reader = match reader().await {
        Ok(reader) => reader,
        Err(error) => {
            let misconfigured = Problem::Misconfigured(error);
            log::write(format!("event={} reason={}", misconfigured.name(), log::quoted(&misconfigured.to_string())));
            return problem(&misconfigured, Vec::new());
        }
    };
    let started = Instant::now();
    let outcome = reader.role(arrived).await;
    let milliseconds = log::milliseconds(started.elapsed());
    let mut headers = Vec::with_capacity(4);
    headers.push(("server-timing", format!("db;dur={milliseconds}")));
    if let Some(region) = reader.config().placement.region() {
        headers.push(("machine-region", region.as_str().to_owned()));
    }
    match outcome {
        Ok(answer) => {
            log_detour(&reader, &answer, &milliseconds);
            headers.push(("database-role", answer.value.name().to_owned()));
            headers.push(("database-candidate", answer.kind.name().to_owned()));
            let body = r#"{"status":"ok"}"#.to_owned();
            Reply { status: 200, media_type: "application/json", headers, body }
        }
        Err(no_answer) => {
            let problem_found = Problem::from(no_answer);
            log::line(problem_found.name(), reader.config(), &[("ms", &milliseconds), ("tried", &problem_found)]);
            problem(&problem_found, headers)
        }
    }
}

/// The instance's reader, made from the variables at its first request.
async fn reader() -> Result<Rc<Reader>, ConfigError> {
    if let Some(reader) = READER.with_borrow(Clone::clone) {
        return Ok(reader);
    }
    let reader = Reader::new(Config::load().await?).await;
    Ok(READER.with_borrow_mut(|slot| match slot {
        // Another request came first while this one waited.
        Some(first) => Rc::clone(first),
        None => {
            reader.announce();
            Rc::clone(slot.insert(reader))
        }
    }))
}

fn log_detour(reader: &Reader, answer: &Answer<Role>, milliseconds: &str) {
    if !answer.tried.is_empty() {
        let tried = answer.describe();
        log::line(
            "fell-back",
            reader.config(),
            &[("candidate", &answer.kind), ("role", &answer.value), ("ms", &milliseconds), ("tried", &tried)],
        );
    }
}

fn problem(problem: &Problem, mut headers: Vec<(&'static str, String)>) -> Reply {
    headers.extend(problem.header().map(|(name, value)| (name, value.to_owned())));
    Reply { status: problem.status(), media_type: "application/problem+json", headers, body: problem.body() }
}

/// A method as it stands in a request line.
fn name(method: Method) -> String {
    match method {
        Method::Get => "GET".to_owned(),
        Method::Head => "HEAD".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Put => "PUT".to_owned(),
        Method::Delete => "DELETE".to_owned(),
        Method::Connect => "CONNECT".to_owned(),
        Method::Options => "OPTIONS".to_owned(),
        Method::Trace => "TRACE".to_owned(),
        Method::Patch => "PATCH".to_owned(),
        Method::Other(name) => name,
    }
}
