//! The HTTP face: which request gets what, as in the rule table of the README.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use spin_sdk::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::candidates::Role;
use crate::config::{Config, ConfigError};
use crate::log;
use crate::problem::Problem;
use crate::read::{Answer, Reader};

thread_local! {
    /// What this instance has learnt. Spin gives an instance many requests, but may end it at any time.
    static READER: RefCell<Option<Rc<Reader>>> = const { RefCell::new(None) };
}

/// Answers one request. `HEAD` gets the body of `GET`, which Spin's server does not send.
pub async fn handle(request: Request) -> Response<String> {
    match (request.uri().path(), request.method()) {
        ("/", &Method::GET | &Method::HEAD) => status().await,
        ("/", other) => problem(&Problem::MethodNotAllowed(other.clone()), HeaderMap::new()),
        _ => problem(&Problem::NotFound, HeaderMap::new()),
    }
}

async fn status() -> Response<String> {
    let arrived = Instant::now();
    let reader = match reader().await {
        Ok(reader) => reader,
        Err(error) => {
            let misconfigured = Problem::Misconfigured(error);
            log::write(format!("event={} reason={}", misconfigured.name(), log::quoted(&misconfigured.to_string())));
            return problem(&misconfigured, HeaderMap::new());
        }
    };
    let started = Instant::now();
    let outcome = reader.role(arrived).await;
    let milliseconds = format!("{:.3}", started.elapsed().as_secs_f64() * 1e3);
    let mut headers = HeaderMap::new();
    set(&mut headers, "server-timing", &format!("db;dur={milliseconds}"));
    if let Some(region) = reader.config().placement.region() {
        set(&mut headers, "machine-region", region.as_str());
    }
    match outcome {
        Ok((role, answer)) => {
            log_detour(&reader, role, &answer, &milliseconds);
            set(&mut headers, "database-role", &role.to_string());
            set(&mut headers, "database-candidate", &answer.kind.to_string());
            respond(StatusCode::OK, "application/json", headers, r#"{"status":"ok"}"#.to_owned())
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

fn log_detour(reader: &Reader, role: Role, answer: &Answer, milliseconds: &str) {
    if !answer.tried.is_empty() {
        let tried = answer.describe();
        log::line(
            "fell-back",
            reader.config(),
            &[("candidate", &answer.kind), ("role", &role), ("ms", &milliseconds), ("tried", &tried)],
        );
    }
}

fn problem(problem: &Problem, mut headers: HeaderMap) -> Response<String> {
    if let Some((name, value)) = problem.header() {
        set(&mut headers, name, value);
    }
    respond(problem.status(), "application/problem+json", headers, problem.body())
}

/// Every response says how long it is: without `content-length` it leaves Spin in several TCP segments, and each
/// response on a connection that is kept alive waits some 40 ms for the client's delayed acknowledgement.
fn respond(status: StatusCode, media_type: &'static str, mut headers: HeaderMap, body: String) -> Response<String> {
    set(&mut headers, "content-type", media_type);
    set(&mut headers, "content-length", &body.len().to_string());
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("our own values are visible ASCII");
    headers.insert(name, value);
}
