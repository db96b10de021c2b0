//! The floor: the smallest component that does the recipe's work by hand, with a connection opened for each request.
#![cfg(target_family = "wasm")]

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::pg::Connection;
use spin_sdk::variables;

#[spin_sdk::http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    let url = variables::get("database_url").await?;
    let connection = Connection::open(url).await?;
    connection.query("SELECT 1", []).await?.collect().await?;
    let response = Response::builder().header("content-type", "application/json").header("content-length", "15");
    Ok(response.body(r#"{"status":"ok"}"#.to_owned())?)
}
