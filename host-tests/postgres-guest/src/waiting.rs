//! By the functions of 4.2.0 that wait, with rows as a stream.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, join_all, select};

use crate::bindings::spin::postgres4_2_0::postgres as pg;
use crate::params::v4_2 as params;
use crate::{Outcome, Step};

/// More rows are counted and not printed.
const PRINTED: u64 = 10_000;

/// Reads rows and counts them.
pub(crate) async fn count(address: String, statement: String) -> anyhow::Result<u64> {
    let connection = pg::Connection::open_async(address).await?;
    let (_, mut rows, result) = connection.query_async(statement, Vec::new()).await?;
    let mut count = 0;
    while rows.next().await.is_some() {
        count += 1;
    }
    result.await?;
    Ok(count)
}

pub(crate) async fn run(address: String, ca_root: Option<String>, steps: &[Step]) -> Vec<Outcome> {
    let mut connections: Vec<Option<pg::Connection>> = Vec::new();
    let mut outcomes = Vec::new();
    for steps in steps.chunk_by(|step, _| step.with_next) {
        // As an app does that begins what it has to do at once: the connections first, where they are not open yet.
        for step in steps {
            if connections.len() <= step.on {
                connections.resize_with(step.on + 1, || None);
            }
            if connections[step.on].is_none() {
                match open(&address, ca_root.as_deref()).await {
                    Ok(connection) => connections[step.on] = Some(connection),
                    Err(error) => outcomes.push(failed(&error)),
                }
            }
        }
        let open = steps.iter().filter_map(|step| Some((connections[step.on].as_ref()?, step)));
        outcomes.extend(join_all(open.map(async |(connection, step)| whole(connection, step).await)).await);
        for step in steps.iter().filter(|step| step.close) {
            connections[step.on] = None;
        }
    }
    outcomes
}

fn failed(error: &pg::Error) -> Outcome {
    Outcome { error: Some(format!("{error:?}")), ..Outcome::default() }
}

/// What there was before an error is kept.
async fn whole(connection: &pg::Connection, step: &Step) -> Outcome {
    let mut outcome = Outcome::default();
    let limit = step.give_up_ms.map(Duration::from_millis);
    let result = {
        let one = pin!(one(connection, step, &mut outcome));
        match limit {
            None => Some(one.await),
            Some(limit) => match select(one, pin!(spin_sdk::time::sleep(limit))).await {
                Either::Left((result, _)) => Some(result),
                Either::Right(_) => None,
            },
        }
    };
    outcome.error = match result {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(format!("{error:?}")),
        None => Some("given up".to_owned()),
    };
    outcome
}

async fn one(connection: &pg::Connection, step: &Step, outcome: &mut Outcome) -> Result<(), pg::Error> {
    let params = params::all(&step.params)?;
    if step.execute {
        outcome.count = connection.execute_async(step.statement.clone(), params).await?;
        return Ok(());
    }
    let (columns, mut rows, result) = connection.query_async(step.statement.clone(), params).await?;
    outcome.columns = columns.iter().map(|column| format!("{column:?}")).collect();
    while step.take.is_none_or(|take| outcome.count < take as u64)
        && let Some(row) = rows.next().await
    {
        outcome.count += 1;
        if outcome.count <= PRINTED {
            outcome.rows.push(format!("{row:?}"));
        }
    }
    if step.take.is_some() {
        if let Some(pause) = step.pause_ms {
            spin_sdk::time::sleep(Duration::from_millis(pause)).await;
        }
        return Ok(());
    }
    drop(rows);
    result.await
}

async fn open(address: &str, ca_root: Option<&str>) -> Result<pg::Connection, pg::Error> {
    let Some(ca_root) = ca_root else { return pg::Connection::open_async(address.to_owned()).await };
    let builder = pg::ConnectionBuilder::new(address);
    builder.set_ca_root(ca_root)?;
    builder.build_async().await
}
