//! What stands between client and server, told by what it does: a pooler has no name that a client could ask for.

use std::time::Duration;

use tokio_postgres::Client;

use super::connect::refusal;
use super::query::row;
use crate::facts::{Pooler, Refusal};

/// How often two clients look whether they are given the same server connection. Once is enough on an idle pooler.
const ROUNDS: usize = 3;

/// How old the server's side of a connection was when it was asked for, and how long ours took to open.
pub(super) struct SeenAge {
    /// In seconds, by the server's own clock.
    pub(super) backend: Option<f64>,
    pub(super) connection: Duration,
}

/// Tells by two connections of the same client.
///
/// # Errors
/// Where one of them does not answer.
pub(super) async fn pooler(one: &Client, other: &Client, age: SeenAge) -> Result<Pooler, Refusal> {
    match shared(one, other).await? {
        Shared::BetweenStatements => return Ok(Pooler::TransactionMode),
        Shared::BetweenTransactions => {
            let works = prepared_statements_work(one, other).await?;
            return Ok(if works { Pooler::SharesConnections } else { Pooler::TransactionMode });
        }
        Shared::Never => {}
    }
    // Without a pooler it begins while ours is opened; a second is for what was asked before.
    let kept = age.backend.is_some_and(|seconds| seconds > age.connection.as_secs_f64() + 1.0);
    Ok(if kept { Pooler::KeepsConnections } else { Pooler::NoneSeen })
}

/// When the server connection that one client has used may go to another.
enum Shared {
    Never,
    BetweenTransactions,
    /// There are no transactions at all.
    BetweenStatements,
}

/// The same process serves both clients, or another one serves the first while the second is in a transaction.
async fn shared(one: &Client, other: &Client) -> Result<Shared, Refusal> {
    for _ in 0..ROUNDS {
        let before = process(one).await?;
        match other.batch_execute("BEGIN").await {
            Ok(()) => {}
            Err(error) if error.as_db_error().is_some() => return Ok(Shared::BetweenStatements),
            Err(error) => return Err(refusal(error)),
        }
        let others = process(other).await?;
        let after = process(one).await?;
        other.batch_execute("ROLLBACK").await.map_err(refusal)?;
        if others == before || after != before {
            return Ok(Shared::BetweenTransactions);
        }
    }
    Ok(Shared::Never)
}

/// Prepares a statement as Spin does, has the other client take what it was prepared on, and runs it.
async fn prepared_statements_work(one: &Client, other: &Client) -> Result<bool, Refusal> {
    let Ok(statement) = one.prepare("SELECT 1").await else { return Ok(false) };
    other.batch_execute("BEGIN").await.map_err(refusal)?;
    process(other).await?;
    let ran = one.query(&statement, &[]).await;
    other.batch_execute("ROLLBACK").await.map_err(refusal)?;
    match ran {
        Ok(_) => Ok(true),
        Err(error) if error.as_db_error().is_some() => Ok(false),
        Err(error) => Err(refusal(error)),
    }
}

async fn process(client: &Client) -> Result<String, Refusal> {
    let values = row(client, "SELECT pg_backend_pid()").await?;
    Ok(values.text(0).unwrap_or_default().to_owned())
}
