//! What is possible without Spin: axum, deadpool-postgres and a prepared statement. Reads `DATABASE_URL` and `PORT`.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("reading DATABASE_URL")?;
    let port = std::env::var("PORT").context("reading PORT")?.parse().context("reading PORT")?;
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let pool = Pool::builder(Manager::from_config(url.parse()?, NoTls, recycling)).max_size(16).build()?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    axum::serve(listener, Router::new().route("/", get(status)).with_state(pool)).await?;
    Ok(())
}

async fn status(State(pool): State<Pool>) -> Result<impl IntoResponse, (StatusCode, String)> {
    let failed = |error: String| (StatusCode::SERVICE_UNAVAILABLE, error);
    let client = pool.get().await.map_err(|error| failed(error.to_string()))?;
    let statement = client.prepare_cached("SELECT 1").await.map_err(|error| failed(error.to_string()))?;
    client.query_one(&statement, &[]).await.map_err(|error| failed(error.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#))
}
