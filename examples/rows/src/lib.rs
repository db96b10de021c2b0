//! How another component reads rows from the nearest database: `GET /` lists the databases that one can connect to.
#![cfg(target_family = "wasm")]

use std::time::Instant;

use anyhow::Context;
use nearest_replica::{Answer, Database, DbValue, ParameterValue, Problem, Rows};
use spin_sdk::http::{IntoResponse, Request, Response};

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
            let response = response.status(problem.status()).header("content-type", "application/problem+json");
            (response, problem.body())
        }
    };
    // Without its length the body is sent in chunks, and each response stalls for 40 ms.
    Ok(response.header("content-length", body.len()).body(body)?)
}

/// `arrived` is when the request came in: its deadline counts from then.
async fn read(arrived: Instant) -> Result<Answer<Rows>, Problem> {
    let statement = "SELECT datname::text FROM pg_database WHERE datallowconn = $1 ORDER BY datname";
    let database = Database::of_instance(arrived).await?;
    database.read(arrived, statement, &[ParameterValue::Boolean(true)]).await
}

fn name(row: &[DbValue]) -> Option<&str> {
    match row {
        [DbValue::Str(name)] => Some(name),
        _ => None,
    }
}
