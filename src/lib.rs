//! The component: which request gets what, as in the rule table of the README.
//!
//! The handler is not exported by `#[spin_sdk::http_service]`: its conversions to and from the `http` crate are a sixth of
//! the component, and copy every header of a request that nobody looks at.

mod response;

use std::time::Instant;

use nearest_replica::parts::method_name;
use nearest_replica::{Database, Problem};
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Method, Request, Response};

use crate::response::{Reply, yield_to_pending_bodies};

struct Component;

spin_sdk::wasip3::http::service::export!(Component);

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        answer(request).await.send().await.map_err(|error| ErrorCode::InternalError(Some(format!("{error:#}"))))
    }
}

/// The reply to one request. `HEAD` gets the body of `GET`, which Spin's server does not send.
async fn answer(request: Request) -> Reply {
    let target = request.get_path_with_query().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    match (path, request.get_method()) {
        ("" | "/", Method::Get | Method::Head) => status().await,
        ("" | "/", other) => problem(&Problem::MethodNotAllowed(method_name(&other).to_owned()), Vec::new()),
        _ => problem(&Problem::NotFound, Vec::new()),
    }
}

async fn status() -> Reply {
    let arrived = Instant::now();
    yield_to_pending_bodies().await;
    let database = match Database::of_instance(arrived).await {
        Ok(database) => database,
        Err(misconfigured) => return problem(&misconfigured, Vec::new()),
    };
    let began = Instant::now();
    let outcome = database.role(arrived).await;
    let mut headers = Vec::with_capacity(5);
    headers.push(("server-timing", server_timing(began)));
    if let Some(region) = database.config().placement.region() {
        headers.push(("machine-region", region.as_str().to_owned()));
    }
    match outcome {
        Ok(answer) => {
            headers.push(("database-role", answer.value.name().to_owned()));
            headers.push(("database-candidate", answer.kind.name().to_owned()));
            headers.push(("database-reason", answer.reason.name().to_owned()));
            let body = r#"{"status":"ok"}"#.to_owned();
            Reply { status: 200, media_type: "application/json", headers, body }
        }
        Err(found) => problem(&found, headers),
    }
}

/// How long the database took, in milliseconds (W3C Server Timing). Without the code that floating-point numbers need to
/// be printed.
fn server_timing(began: Instant) -> String {
    let took = began.elapsed();
    format!("db;dur={}.{:03}", took.as_millis(), took.subsec_micros() % 1000)
}

/// A problem body (RFC 9457).
fn problem(problem: &Problem, mut headers: Vec<(&'static str, String)>) -> Reply {
    headers.extend(problem.header().map(|(name, value)| (name, value.to_owned())));
    Reply { status: problem.status(), media_type: "application/problem+json", headers, body: problem.body() }
}
