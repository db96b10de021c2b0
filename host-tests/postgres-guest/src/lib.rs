//! An app that knows nothing of regions: it runs the statements that a test sends, by the version of Spin's Postgres interface
//! that the test names, and prints everything that came back. `POST /<anything>/<version>` with a script as JSON. Any other
//! method with `/<rows>` reads that many rows by 4.2.0; with `/text/<bytes>` it needs no database. `/entries` is a guestbook.
#![cfg(target_family = "wasm")]

mod bindings;
mod blocking;
mod book;
mod params;
mod waiting;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{IntoResponse, Method, Request, Response};

use params::Param;

/// Statements on connections that are opened where the script first names them.
#[derive(Deserialize)]
struct Script {
    /// In place of the variable `database_url`.
    address: Option<String>,
    ca_root: Option<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    /// The connection, by a number from 0.
    #[serde(default)]
    on: usize,
    statement: String,
    #[serde(default)]
    params: Vec<Param>,
    /// Whether the next step is begun at the same time; by the functions that wait only.
    #[serde(default)]
    with_next: bool,
    /// Whether the connection is given back afterwards; by the functions that wait only.
    #[serde(default)]
    close: bool,
    /// Whether only the number of rows is asked for.
    #[serde(default)]
    execute: bool,
    /// How many rows to take before the rest is given up.
    take: Option<usize>,
    /// How long to wait before that; by the functions that wait only.
    pause_ms: Option<u64>,
    /// After how many milliseconds to give up the statement; by the functions that wait only.
    give_up_ms: Option<u64>,
}

/// What one step has brought.
#[derive(Default, Serialize)]
struct Outcome {
    columns: Vec<String>,
    rows: Vec<String>,
    /// How many there were, also where they are not printed.
    count: u64,
    error: Option<String>,
}

#[spin_sdk::http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    let address = spin_sdk::variables::get("database_url").await?;
    if let Some(path) = path.strip_prefix("entries") {
        let (status, body) = book::answer(address, path, &body.bytes().await?).await?;
        return with_status(status, &body);
    }
    if parts.method != Method::POST {
        if let Some(bytes) = path.strip_prefix("text/") {
            return response(&"x".repeat(bytes.parse()?));
        }
        let statement = format!("SELECT n, 'row ' || n FROM generate_series(1, {}) AS n", path.parse().unwrap_or(1));
        let count = waiting::count(address, statement).await?;
        return response(&format!(r#"{{"rows":{count}}}"#));
    }
    let script: Script = serde_json::from_slice(&body.bytes().await?).context("reading the script")?;
    let address = script.address.unwrap_or(address);
    let (ca_root, steps) = (script.ca_root, script.steps);
    let version = path.rsplit('/').next().unwrap_or_default();
    let outcomes = match version {
        "4.2.0" => waiting::run(address, ca_root, &steps).await,
        "4.2.0-blocking" => blocking::v4_2::run(&address, &steps),
        "4.0.0" => blocking::v4_0::run(&address, &steps),
        "3.0.0" => blocking::v3_0::run(&address, &steps),
        other => bail!("no version {other}"),
    };
    response(&serde_json::to_string(&outcomes)?)
}

fn response(body: &str) -> anyhow::Result<Response<String>> {
    with_status(200, body)
}

fn with_status(status: u16, body: &str) -> anyhow::Result<Response<String>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.header("content-length", body.len()).body(body.to_owned())?)
}
