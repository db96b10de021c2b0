//! Asks a database how far its write-ahead log is.

use crate::rules::bookmark::{Freshness, Position};
use crate::rules::failure::Failure;
use crate::rules::role::Role;
use crate::spin::postgres::{Connection, DbValue, ParameterValue};

/// The same of what must be the primary.
///
/// # Errors
/// [`Failure::Behind`] where it is a replica: nobody knows what that has not replayed.
pub(crate) async fn mint_of_primary(connection: &Connection) -> Result<Position, Failure> {
    match mint(connection).await? {
        (Role::Primary, position) => Ok(position),
        (Role::Replica, _) => Err(Failure::Behind),
    }
}

/// Whether a failure says that this database does not tell how far it is: no right to ask, no such function, or a pooler.
pub fn tells_nothing(failure: &Failure) -> bool {
    failure.sqlstate().is_some_and(|state| ["42501", "42883", "0A000"].contains(&state.code()))
}

/// Compares the database behind a connection with a position.
pub(crate) async fn check(position: Position, connection: &Connection) -> Result<Freshness, Failure> {
    let (system, timeline, lsn) = position.parameters();
    let params = [ParameterValue::Str(system), ParameterValue::Int32(timeline), ParameterValue::Str(lsn)];
    let rows = connection.execute(Position::CHECK, &params).await?;
    Freshness::from_rows(rows).ok_or_else(|| Failure::Unusable(format!("the check has returned {rows} rows")))
}

/// The role and position of the database behind a connection, after everything that was done on it.
pub(crate) async fn mint(connection: &Connection) -> Result<(Role, Position), Failure> {
    let rows = connection.query(Position::MINT, &[]).await?;
    let first = rows.iter().next();
    let position = first.and_then(|row| match row.values() {
        [DbValue::Boolean(recovers), DbValue::Str(system), DbValue::Str(timeline), DbValue::Str(lsn)] => {
            let role = if *recovers { Role::Replica } else { Role::Primary };
            Some((role, Position::parse(system, timeline, lsn)?))
        }
        _ => None,
    });
    position.ok_or_else(|| Failure::Unusable("the server does not say how far its log is".to_owned()))
}
