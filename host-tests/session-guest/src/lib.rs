//! Runs the statements that a test sends, in one session, and says what became of each: `POST /` with a bookmark and steps
//! as JSON. `GET /` is one read.
#![cfg(target_family = "wasm")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::{Either, select};
use nearest_replica::{Answer, Database, DbValue, Problem, Row, Rows, Session, Transaction};
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{IntoResponse, Method, Request, Response};
use spin_sdk::time::sleep;

#[derive(Deserialize)]
struct Script {
    #[serde(default)]
    bookmark: String,
    steps: Vec<Step>,
    /// Whether to end with a bookmark.
    #[serde(default = "yes")]
    mint: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Read(String),
    ReadFromPrimary(String),
    Write(String),
    /// One after the other; with `"trap"` in place of a statement the guest traps, with `"give-up"` the app fails, with
    /// `"swallow"` it takes no notice of the failures so far, with `"abandon"` it begins a statement and does not wait.
    Transaction(Vec<String>),
    /// The same, reading.
    ReadTransaction(Vec<String>),
    /// As an app would without the library: a connection to the given URL, and the statement on it.
    ByHand(String),
    /// What a column of the first row is as an `i64`.
    Typed(String),
    /// Gives the step up after so many milliseconds.
    GiveUp(u64, Box<Step>),
    /// Begins the step, and takes no notice of it for so many milliseconds.
    Neglect(u64, Box<Step>),
}

#[spin_sdk::http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let arrived = Instant::now();
    let (parts, body) = request.into_parts();
    let script = if parts.method == Method::GET {
        Script { bookmark: String::new(), steps: vec![Step::Read("SELECT 1".to_owned())], mint: false }
    } else {
        serde_json::from_slice(&body.bytes().await?).context("reading the script")?
    };
    let database = match Database::of_instance(arrived).await {
        Ok(database) => database,
        Err(problem) => return response(problem.status(), "", &problem.body()),
    };
    let mut session = database.session(arrived, &script.bookmark);
    let mut results = Vec::new();
    for step in &script.steps {
        results.push(run(&mut session, step).await);
    }
    let candidate = results.last().and_then(|result| result["candidate"].as_str()).unwrap_or_default();
    let status = results.iter().filter_map(|result| result["status"].as_u64()).next_back().unwrap_or(200);
    let bookmark = if script.mint { session.bookmark().await } else { String::new() };
    let body = json!({ "results": results, "bookmark": bookmark, "wrote": session.wrote() }).to_string();
    response(u16::try_from(status)?, candidate, &body)
}

async fn run(session: &mut Session, step: &Step) -> Value {
    let answer = match step {
        Step::GiveUp(ms, step) => {
            let given_up = pin!(sleep(Duration::from_millis(*ms)));
            return match select(Box::pin(run(session, step)), given_up).await {
                Either::Left((result, _)) => result,
                Either::Right(_) => json!({ "given_up": true }),
            };
        }
        Step::Neglect(ms, step) => {
            let mut step = Box::pin(run(session, step));
            if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(step.as_mut().poll(cx))).await {
                return result;
            }
            sleep(Duration::from_millis(*ms)).await;
            return step.await;
        }
        Step::Read(statement) => session.read(statement, &[]).await,
        Step::ReadFromPrimary(statement) => session.read_from_primary(statement, &[]).await,
        Step::Write(statement) => session.write(statement, &[]).await,
        Step::Transaction(statements) => {
            return outcome(session.transaction(async |tx| all(tx, statements).await).await);
        }
        Step::ReadTransaction(statements) => {
            return answered(session.read_transaction(async |tx| all(tx, statements).await).await);
        }
        Step::ByHand(statement) => return by_hand(statement).await.unwrap_or_else(|error| json!(format!("{error:#}"))),
        Step::Typed(statement) => {
            let read = session.read(statement, &[]).await;
            return outcome(read.and_then(|answer| {
                let first = answer.value.iter().next();
                Ok(first.map(|row| row.get::<i64>("value")).transpose().map(|value| json!(value))?)
            }));
        }
    };
    answered(answer.and_then(|answer| answer.try_map(|value| Ok(rows(&value)))))
}

fn answered(answer: Result<Answer<Value>, Problem>) -> Value {
    match answer {
        Ok(Answer { value, kind, reason, .. }) => {
            json!({ "rows": value, "candidate": kind.name(), "reason": reason.name() })
        }
        Err(problem) => failure(&problem),
    }
}

async fn by_hand(statement: &str) -> anyhow::Result<Value> {
    let url = spin_sdk::variables::get("database_url").await?;
    let rows = spin_sdk::pg::Connection::open(url).await?.query(statement, []).await?.collect().await?;
    Ok(json!({ "rows": rows.len() }))
}

async fn all(transaction: &mut Transaction, statements: &[String]) -> Result<Value, Problem> {
    let mut last = Rows::default();
    let mut failed = None;
    for statement in statements {
        match statement.as_str() {
            "trap" => std::process::abort(),
            "give-up" => return Err(Problem::NotFound),
            "swallow" => failed = None,
            "abandon" => {
                let mut begun = pin!(transaction.query("SELECT 1 / 0", &[]));
                poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
            }
            statement => match transaction.query(statement, &[]).await {
                Ok(rows) => last = rows,
                Err(problem) => failed = Some(problem),
            },
        }
    }
    failed.map_or_else(|| Ok(rows(&last)), Err)
}

fn outcome(result: Result<Value, Problem>) -> Value {
    match result {
        Ok(value) => json!({ "rows": value }),
        Err(problem) => failure(&problem),
    }
}

fn failure(problem: &Problem) -> Value {
    let body: Value = serde_json::from_str(&problem.body()).expect("it is JSON");
    json!({ "problem": problem.name(), "status": problem.status(), "body": body })
}

fn rows(rows: &Rows) -> Value {
    rows.iter().map(|row: Row<'_>| row.values().iter().map(value).collect::<Value>()).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the tests look at no others")]
fn value(value: &DbValue) -> Value {
    match value {
        DbValue::Boolean(value) => json!(value),
        DbValue::Int32(value) => json!(value),
        DbValue::Int64(value) => json!(value),
        DbValue::Str(value) => json!(value),
        DbValue::DbNull => Value::Null,
        other => json!(format!("{other:?}")),
    }
}

fn response(status: u16, candidate: &str, body: &str) -> anyhow::Result<Response<String>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    let response = response.header("database-candidate", candidate).header("content-length", body.len());
    Ok(response.body(body.to_owned())?)
}
