//! What one server says of itself.

use std::time::{Duration, Instant};

use nearest_replica::parts::Position;
use nearest_replica::{Candidate, Role};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::connect::{Opened, open};
use super::pooler::{SeenAge, pooler};
use super::query::{row, rows};
use crate::facts::{Connections, Function, Options, Refusal, Server};

/// Where a refusal is no fault: an ordinary user may lack a right, and other servers than PostgreSQL a function, a setting
/// or a view.
const TELLS_NOTHING: [&str; 6] = ["42501", "42883", "42704", "42P01", "0A000", "55000"];

const SERVER: &str = "SELECT pg_is_in_recovery(), current_setting('server_version'), current_user,
    extract(epoch FROM pg_postmaster_start_time()), current_setting('default_transaction_read_only'),
    (SELECT extract(epoch FROM clock_timestamp() - backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid())";

const SYSTEM: &str = "SELECT system_identifier FROM pg_control_system()";

/// Connections by the server's own count, since other users' rows of `pg_stat_activity` do not say what they are. The limits
/// of a database and of a user do not hold for superusers.
fn count_connections() -> String {
    format!(
        "SELECT current_setting('max_connections'),
    current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int,
    greatest(0, (SELECT sum(numbackends) FROM pg_stat_database) - ({OURS})),
    (SELECT CASE WHEN rolsuper THEN -1 ELSE datconnlimit END FROM pg_database WHERE datname = current_database()),
    CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END
    FROM pg_roles WHERE rolname = current_user"
    )
}

/// Our own of these, for every candidate that leads to this server.
const OURS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE usename = session_user AND application_name = current_setting('application_name')";

/// The SQLSTATE of a server, or of a user, without a connection left.
const TOO_MANY: &str = "53300";

/// What the statements call that mint and check bookmarks.
pub(super) const FUNCTIONS: [&str; 7] = [
    "pg_control_system()",
    "pg_control_checkpoint()",
    "pg_control_recovery()",
    "pg_is_in_recovery()",
    "pg_walfile_name(pg_lsn)",
    "pg_current_wal_insert_lsn()",
    "pg_last_wal_replay_lsn()",
];

const ROUND_TRIPS: usize = 5;

/// Asks the server behind a connection, within `limit`. What it does not say in time is missing.
pub(crate) async fn about(opened: &Opened, candidate: &Candidate, limit: Duration) -> Server {
    let mut server = Server { options: opened.options, ..Server::default() };
    let outcome = timeout(limit, ask(opened, candidate, limit, &mut server)).await;
    server.unanswered = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(refusal)) => Some(refusal),
        Err(_) => Some(Refusal::TimedOut),
    };
    server
}

async fn ask(opened: &Opened, candidate: &Candidate, limit: Duration, server: &mut Server) -> Result<(), Refusal> {
    let client = &opened.client;
    let values = row(client, SERVER).await?;
    server.role = Some(if values.is_true(0) { Role::Replica } else { Role::Primary });
    // Packages add their own version behind it.
    server.version = values.text(1).and_then(|version| version.split_whitespace().next()).map(str::to_owned);
    server.user = values.text(2).map(str::to_owned);
    server.started = values.text(3).map(str::to_owned);
    if opened.options == Options::Taken && values.text(4) != Some("on") {
        server.options = Options::Ignored;
    }
    let age = SeenAge { backend: values.number(5), connection: opened.took };
    server.system = optional(row(client, SYSTEM).await)?.and_then(|values| values.text(0).map(str::to_owned));
    server.position = position(client).await?.ok();
    server.functions = functions(client).await?;
    server.connections = connections(client).await?;
    server.round_trip_ms = Some(round_trip(client).await?);
    // As the component writes, where this is to be the primary.
    match open(&candidate.url, limit).await {
        Ok(other) => {
            let mode = row(&other.client, "SELECT current_setting('default_transaction_read_only')").await?;
            server.writes_refused = server.role == Some(Role::Primary) && mode.text(0) == Some("on");
            server.pooler = Some(pooler(client, &other.client, age).await?);
        }
        // Two candidates lead to one server, and ours for the other one have taken the room.
        Err(Refusal::Server { sqlstate, .. }) if sqlstate == TOO_MANY && ours(client).await? > 1 => {}
        // This one does not say what stands between: there may be no room for a second connection.
        Err(refusal) => server.unanswered = Some(refusal),
    }
    server.unanswered.take().map_or(Ok(()), Err)
}

/// How many of our connections the server has.
async fn ours(client: &Client) -> Result<u32, Refusal> {
    Ok(row(client, &format!("SELECT ({OURS})")).await?.number(0).unwrap_or_default())
}

/// Where its log is; or the server's words where it does not say so.
///
/// # Errors
/// Where it does not answer.
pub(super) async fn position(client: &Client) -> Result<Result<Position, String>, Refusal> {
    match row(client, Position::MINT).await {
        Ok(values) => {
            let texts = values.text(1).zip(values.text(2)).zip(values.text(3));
            let position = texts.and_then(|((system, timeline), lsn)| Position::parse(system, timeline, lsn));
            Ok(position.ok_or_else(|| "it has answered without a position".to_owned()))
        }
        Err(Refusal::Server { sqlstate, message }) if TELLS_NOTHING.contains(&sqlstate.as_str()) => Ok(Err(message)),
        Err(refusal) => Err(refusal),
    }
}

/// Nothing where the server says that it cannot or may not tell.
pub(super) fn optional<T>(answer: Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Refusal::Server { sqlstate, .. }) if TELLS_NOTHING.contains(&sqlstate.as_str()) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

async fn functions(client: &Client) -> Result<Vec<Function>, Refusal> {
    let names: Vec<_> = FUNCTIONS.iter().map(|name| format!("'{name}'")).collect();
    let statement = format!(
        "SELECT name, to_regprocedure(name) IS NOT NULL FROM unnest(ARRAY[{}]) AS name WHERE CASE
            WHEN to_regprocedure(name) IS NULL THEN true ELSE NOT has_function_privilege(name, 'EXECUTE') END",
        names.join(", ")
    );
    let rows = optional(rows(client, &statement).await)?.unwrap_or_default();
    let function = |values: super::query::Values| {
        Some(Function { signature: values.text(0)?.to_owned(), exists: values.is_true(1) })
    };
    Ok(rows.into_iter().filter_map(function).collect())
}

async fn connections(client: &Client) -> Result<Option<Connections>, Refusal> {
    let Some(values) = optional(row(client, &count_connections()).await)? else { return Ok(None) };
    // Without a limit they are -1.
    let limit = [3, 4].into_iter().filter_map(|column| values.number::<u32>(column)).min();
    let numbers = values.number(0).zip(values.number(1)).zip(values.number(2));
    Ok(numbers.map(|((max, reserved), in_use)| Connections { max, reserved, in_use, limit }))
}

async fn round_trip(client: &Client) -> Result<f64, Refusal> {
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        row(client, "SELECT 1").await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[ROUND_TRIPS / 2].as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_librarys_statements_is_asked_for() {
        let statements = [Position::MINT, Position::CHECK].concat();
        let called = statements.split("pg_").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
        let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        for name in called.filter(is_name) {
            assert!(FUNCTIONS.iter().any(|function| function.starts_with(&format!("pg_{name}("))), "pg_{name}");
        }
        for function in FUNCTIONS {
            let name = function.split('(').next().unwrap();
            assert!(statements.contains(&format!("{name}(")), "{name} is not called");
        }
    }
}
