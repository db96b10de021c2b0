//! What can be said of replicas only beside their primary: lag, and what a bookmark of this moment is good for.

use std::time::{Duration, Instant};

use nearest_replica::Role;
use nearest_replica::parts::{Freshness, Position};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connect::refusal;
use super::query::row;
use super::server::{optional, position};
use crate::facts::{Bookmarks, Lag, Refusal, Server};

/// Without the right to see it the columns of `pg_stat_wal_receiver` are empty; its row is there all the same.
const LAG: &str = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),
    pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0'),
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()),
    pg_is_wal_replay_paused(),
    (SELECT count(*) FROM pg_stat_wal_receiver) > 0";

/// Compares a server with the primary, within `limit`. `wait` is how long a read may wait for a replica to catch up.
pub(crate) async fn compare(
    client: &Client,
    server: &mut Server,
    primary: Option<&Client>,
    wait: Duration,
    limit: Duration,
) {
    let outcome = timeout(limit, ask(client, server, primary, wait)).await;
    if let Err(refusal) = outcome.unwrap_or(Err(Refusal::TimedOut)) {
        server.unanswered.get_or_insert(refusal);
    }
}

async fn ask(client: &Client, server: &mut Server, primary: Option<&Client>, wait: Duration) -> Result<(), Refusal> {
    let of_primary = match primary {
        Some(primary) => position(primary).await?.ok(),
        None => None,
    };
    if server.role == Some(Role::Replica) {
        let lag = lag(client).await?;
        server.lag = lag.map(|lag| {
            let same =
                of_primary.filter(|of_primary| server.position.is_none_or(|own| own.system == of_primary.system));
            let behind = same.zip(lag.replayed).map(|(position, replayed)| position.lsn.saturating_sub(replayed));
            Lag { bytes_behind_primary: behind, ..lag }
        });
    }
    server.bookmarks = Some(match (position(client).await?, of_primary) {
        (Err(why), _) => Bookmarks::Unavailable(why),
        (Ok(_), Some(position)) => Bookmarks::Compared(freshness(client, position, wait).await?),
        (Ok(_), None) => Bookmarks::Alone,
    });
    Ok(())
}

async fn lag(client: &Client) -> Result<Option<Lag>, Refusal> {
    let Some(values) = optional(row(client, LAG).await)? else { return Ok(None) };
    // What was replayed out of an archive was never received.
    let bytes = |column| values.number::<i64>(column).map(|bytes| u64::try_from(bytes).unwrap_or(0));
    Ok(Some(Lag {
        bytes_to_replay: bytes(0),
        replayed: bytes(1),
        bytes_behind_primary: None,
        seconds_since_replay: values.number(2),
        paused: values.is_true(3),
        streaming: values.is_true(4),
    }))
}

/// As a session does: a replica that is behind is asked again, for a while.
async fn freshness(client: &Client, position: Position, wait: Duration) -> Result<Freshness, Refusal> {
    let end = Instant::now() + wait;
    loop {
        let (system, timeline, lsn) = position.parameters();
        // Without a name for the statement, which a pooler would not know.
        let params = [(&system as _, Type::TEXT), (&timeline as _, Type::INT4), (&lsn as _, Type::TEXT)];
        let rows = client.query_typed(Position::CHECK, &params).await.map_err(refusal)?;
        let freshness = u64::try_from(rows.len()).ok().and_then(Freshness::from_rows);
        let freshness = freshness.ok_or_else(|| Refusal::Other("the check has returned too many rows".to_owned()))?;
        if freshness != Freshness::Behind || Instant::now() >= end {
            return Ok(freshness);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
