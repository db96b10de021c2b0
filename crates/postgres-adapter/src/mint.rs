//! How far the log of a primary is.

use nearest_replica::parts::{Position, tells_nothing};

use crate::bindings::imports::spin::postgres::postgres as pg;
use crate::failure::of;
use crate::floor::{Floor, Unminted};
use crate::host::Host;

/// Asks the primary how far its log is, after these events; nothing where it did not answer.
pub(crate) async fn mint(host: Host, connection: &pg::Connection, floor: &Floor, after: &Unminted) -> Option<()> {
    let row = match host.row(connection, Position::MINT).await {
        Ok(row) => row?,
        Err(error) if tells_nothing(&of(&error)) => {
            floor.minted(host, after, None).await;
            return Some(());
        }
        Err(_) => return None,
    };
    // A standby cannot say what a write has left.
    let [pg::DbValue::Boolean(false), pg::DbValue::Str(system), pg::DbValue::Str(timeline), pg::DbValue::Str(lsn)] =
        row.as_slice()
    else {
        return None;
    };
    floor.minted(host, after, Some(Position::parse(system, timeline, lsn)?)).await;
    Some(())
}
