//! How another component reads rows from the nearest database: `GET /` lists the databases of the cluster.
#![cfg(target_family = "wasm")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use nearest_replica::config::Config;
use nearest_replica::pg::{DbValue, ParameterValue};
use nearest_replica::read::Reader;
use spin_sdk::http::{IntoResponse, Request, Response};

thread_local! {
    static READER: RefCell<Option<Rc<Reader>>> = const { RefCell::new(None) };
}

#[spin_sdk::http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    let started = Instant::now();
    let statement = "SELECT datname::text FROM pg_database WHERE datistemplate = $1 ORDER BY datname";
    let answer = reader().await?.read(started, statement, &[ParameterValue::Boolean(true)]).await?;
    let names: Vec<_> = answer.value.iter().filter_map(|row| name(row)).collect();
    let body = serde_json::to_string(&names)?;
    // Without its length the body is sent in chunks, and each response stalls for 40 ms.
    let response = Response::builder().header("content-type", "application/json").header("content-length", body.len());
    Ok(response.header("database-candidate", answer.kind.name()).body(body)?)
}

fn name(row: &[DbValue]) -> Option<&str> {
    match row {
        [DbValue::Str(name)] => Some(name),
        _ => None,
    }
}

/// Kept for the life of the instance, so that its requests share connections.
async fn reader() -> anyhow::Result<Rc<Reader>> {
    if let Some(reader) = READER.with_borrow(Clone::clone) {
        return Ok(reader);
    }
    let reader = Reader::new(Config::load().await?).await;
    Ok(READER.with_borrow_mut(|slot| Rc::clone(slot.get_or_insert(reader))))
}
