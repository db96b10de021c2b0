//! How another component reads rows from the nearest database: `GET /` lists the databases that one can connect to.
#![cfg(target_family = "wasm")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context;
use nearest_replica::config::Config;
use nearest_replica::pg::{DbValue, ParameterValue, Rows};
use nearest_replica::problem::Problem;
use nearest_replica::read::{Answer, Reader};
use spin_sdk::http::{IntoResponse, Request, Response};

thread_local! {
    static READER: RefCell<Option<Rc<Reader>>> = const { RefCell::new(None) };
}

#[spin_sdk::http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    let response = Response::builder();
    let (response, body) = match read(Instant::now()).await {
        Ok(answer) => {
            let names: Option<Vec<_>> = answer.value.iter().map(|row| name(row)).collect();
            let body = serde_json::to_string(&names.context("a name is not a text")?)?;
            let response = response.header("content-type", "application/json");
            (response.header("database-candidate", answer.kind.name()), body)
        }
        Err(problem) => {
            eprintln!("event={} reason={problem}", problem.name());
            let response = response.status(problem.status()).header("content-type", "application/problem+json");
            (response, problem.body())
        }
    };
    // Without its length the body is sent in chunks, and each response stalls for 40 ms.
    Ok(response.header("content-length", body.len()).body(body)?)
}

async fn read(started: Instant) -> Result<Answer<Rows>, Problem> {
    let statement = "SELECT datname::text FROM pg_database WHERE datallowconn = $1 ORDER BY datname";
    let answer = reader().await?.read(started, statement, &[ParameterValue::Boolean(true)]).await?;
    if !answer.tried.is_empty() {
        eprintln!("event=fell-back candidate={} tried={}", answer.kind, answer.describe());
    }
    Ok(answer)
}

fn name(row: &[DbValue]) -> Option<&str> {
    match row {
        [DbValue::Str(name)] => Some(name),
        _ => None,
    }
}

/// Kept for the life of the instance, so that its requests share connections.
async fn reader() -> Result<Rc<Reader>, Problem> {
    if let Some(reader) = READER.with_borrow(Clone::clone) {
        return Ok(reader);
    }
    let reader = Reader::new(Config::load().await?).await;
    reader.announce();
    Ok(READER.with_borrow_mut(|slot| Rc::clone(slot.get_or_insert(reader))))
}
