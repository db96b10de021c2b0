//! A guestbook as an app writes it that knows nothing of regions: lists, signs, edits.

use serde::{Deserialize, Serialize};

use crate::bindings::spin::postgres4_2_0::postgres::{Connection, DbValue, Error, ParameterValue};

/// An entry that a guest writes.
#[derive(Deserialize)]
struct New {
    name: String,
    message: String,
}

/// One that is there.
#[derive(Serialize)]
struct Entry {
    id: i64,
    name: String,
    message: String,
}

/// Status and body for a path below `/entries`: what is there without a body, and what was written with one.
pub(crate) async fn answer(address: String, path: &str, body: &[u8]) -> anyhow::Result<(u16, String)> {
    const COLUMNS: &str = "id, name, message";
    let id = path.strip_prefix('/').map(str::parse::<i64>).transpose()?;
    let written = |new: New| vec![ParameterValue::Str(new.name), ParameterValue::Str(new.message)];
    let (statement, parameters) = match (body, id) {
        (&[], _) => (format!("SELECT {COLUMNS} FROM entries ORDER BY id DESC LIMIT 50"), Vec::new()),
        (body, None) => {
            let statement = format!("INSERT INTO entries (name, message) VALUES ($1, $2) RETURNING {COLUMNS}");
            (statement, written(serde_json::from_slice(body)?))
        }
        (body, Some(id)) => {
            let statement = format!("UPDATE entries SET name = $1, message = $2 WHERE id = $3 RETURNING {COLUMNS}");
            let mut parameters = written(serde_json::from_slice(body)?);
            parameters.push(ParameterValue::Int64(id));
            (statement, parameters)
        }
    };
    Ok(match query(address, statement, parameters).await {
        Ok(entries) if body.is_empty() => (200, serde_json::to_string(&entries)?),
        Ok(entries) => (200, serde_json::to_string(&entries.first())?),
        // Nothing was sent.
        Err(Error::ConnectionFailed(_)) => (503, String::new()),
        Err(error) => (500, format!("{error:?}")),
    })
}

async fn query(address: String, statement: String, parameters: Vec<ParameterValue>) -> Result<Vec<Entry>, Error> {
    let connection = Connection::open_async(address).await?;
    let (_, mut rows, result) = connection.query_async(statement, parameters).await?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().await {
        if let [DbValue::Int64(id), DbValue::Str(name), DbValue::Str(message)] = &row[..] {
            entries.push(Entry { id: *id, name: name.clone(), message: message.clone() });
        }
    }
    result.await?;
    Ok(entries)
}
