//! Asks a database how far its write-ahead log is.

use crate::rules::bookmark::{Freshness, Position};
use crate::rules::failure::Failure;
use crate::spin::postgres::{Connection, DbValue, ParameterValue};

/// Compares the database behind a connection with a position.
pub(crate) async fn check(position: Position, connection: &Connection) -> Result<Freshness, Failure> {
    let (system, timeline, lsn) = position.parameters();
    let params = [ParameterValue::Str(system), ParameterValue::Int32(timeline), ParameterValue::Str(lsn)];
    let rows = connection.execute(Position::CHECK, &params).await?;
    Freshness::from_rows(rows).ok_or_else(|| Failure::Unusable(format!("the check has returned {rows} rows")))
}

/// The position of the database behind a connection, after everything that was done on it.
pub(crate) async fn mint(connection: &Connection) -> Result<Position, Failure> {
    let rows = connection.query(Position::MINT, &[]).await?;
    let first = rows.iter().next();
    let position = first.and_then(|row| match row.values() {
        [DbValue::Str(system), DbValue::Str(timeline), DbValue::Str(lsn)] => Position::parse(system, timeline, lsn),
        _ => None,
    });
    position.ok_or_else(|| Failure::Unusable("the server does not say how far its log is".to_owned()))
}
