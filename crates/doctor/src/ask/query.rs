//! Statements whose answer is one row of texts.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::connect::refusal;
use crate::facts::Refusal;

/// The values of one row.
pub(super) struct Values(Vec<Option<String>>);

impl Values {
    /// A column by its number.
    pub(super) fn text(&self, column: usize) -> Option<&str> {
        self.0.get(column)?.as_deref()
    }

    /// The same as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, column: usize) -> Option<T> {
        self.text(column)?.parse().ok()
    }

    /// The same as a truth.
    pub(super) fn is_true(&self, column: usize) -> bool {
        self.text(column) == Some("t")
    }
}

/// All rows. In the simple protocol, which prepares nothing, so that poolers of every kind let it through.
///
/// # Errors
/// In the server's own words.
pub(super) async fn rows(client: &Client, statement: &str) -> Result<Vec<Values>, Refusal> {
    let messages = client.simple_query(statement).await.map_err(refusal)?;
    let values = messages.into_iter().filter_map(|message| {
        if let SimpleQueryMessage::Row(row) = message {
            Some(Values((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()))
        } else {
            None
        }
    });
    Ok(values.collect())
}

/// The first row.
///
/// # Errors
/// The same, and where there is no row.
pub(super) async fn row(client: &Client, statement: &str) -> Result<Values, Refusal> {
    let first = rows(client, statement).await?.into_iter().next();
    first.ok_or_else(|| Refusal::Other("the server has answered with no row".to_owned()))
}
