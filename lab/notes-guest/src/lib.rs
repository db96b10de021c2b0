//! An app with a bug that is not seen without lag: it writes to one database and reads from another.
//! `POST /notes` writes its body, `GET /notes` lists all.
#![cfg(target_family = "wasm")]

use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{IntoResponse, Method, Request, Response};
use spin_sdk::pg::{Connection, ParameterValue};
use spin_sdk::variables;

#[spin_sdk::http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    if request.method() == Method::POST {
        let note = String::from_utf8(request.into_body().bytes().await?.to_vec())?;
        let connection = Connection::open(variables::get("write_url").await?).await?;
        connection.execute("INSERT INTO notes (note) VALUES ($1)", [ParameterValue::Str(note)]).await?;
        return Ok(Response::builder().status(201).body(String::new())?);
    }
    let connection = Connection::open(variables::get("read_url").await?).await?;
    let rows = connection.query("SELECT note FROM notes ORDER BY id", []).await?.collect().await?;
    let notes: Vec<String> = rows.into_iter().map(|row| row.get::<String>("note").unwrap_or_default()).collect();
    Ok(Response::builder().status(200).body(notes.join("\n"))?)
}
