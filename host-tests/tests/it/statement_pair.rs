//! A primary and a standby that are asked the same, in sessions of their own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use host_tests::postgres::Cluster;
use host_tests::wait::eventually;
use tokio::sync::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::turn::{Turn, beside_others};

/// What an app may have in its database: functions that must not run on a standby, and all kinds of relations.
const SCHEMA: &str = "
    CREATE SCHEMA app;
    CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'glad');
    CREATE DOMAIN app.short AS text CHECK (length(VALUE) < 20);
    CREATE TABLE events (id serial PRIMARY KEY, what text);
    CREATE TABLE people (id int PRIMARY KEY, name app.short, age int, paid numeric(10, 2), mood app.mood, tags text[],
        doc jsonb, at timestamptz, during daterange, boss int REFERENCES people);
    INSERT INTO people VALUES
        (1, 'Ann', 31, 10.50, 'glad', '{a,b}', '{\"a\": {\"b\": [1, 2]}}', '2024-02-03 04:05:06+00', '[2024-01-01,2024-02-01)', NULL),
        (2, 'Bob', NULL, 0, 'sad', '{}', '[]', NULL, 'empty', 1),
        (3, 'Ümit O''Hara', 17, -1.25, 'ok', NULL, NULL, '2020-01-01', NULL, 1);
    CREATE UNLOGGED TABLE counts (n int);
    CREATE TABLE halves (n int) PARTITION BY HASH (n);
    CREATE SEQUENCE app.counter;
    SELECT nextval('app.counter'), nextval('app.counter');
    CREATE VIEW adults AS SELECT id, name FROM people WHERE age >= 18;
    CREATE MATERIALIZED VIEW moods AS SELECT mood, count(*) FROM people GROUP BY mood;
    CREATE FUNCTION tenant(name text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.tenant', name, false) $$;
    CREATE FUNCTION lock_it(id bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT pg_advisory_lock(id); SELECT id $$;
    CREATE FUNCTION swallow() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO events (what) VALUES ('swallow'); RETURN 'written';
        EXCEPTION WHEN read_only_sql_transaction THEN RETURN 'swallowed'; END $$;
    CREATE FUNCTION \"LOWER\"(text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.tenant', $1, false) $$;
    CREATE FUNCTION over(bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT lock_it($1) $$;
    CREATE FUNCTION upper(app.mood) RETURNS text LANGUAGE sql AS $$ SELECT tenant($1::text) $$;
    CREATE PUBLICATION all_of_it FOR ALL TABLES;
    CREATE FOREIGN DATA WRAPPER remote;
    CREATE SERVER elsewhere FOREIGN DATA WRAPPER remote;
    ANALYZE;";

/// What a session may be left with.
const TRACES: &str = "SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings WHERE context = 'user'),
    current_setting('app.tenant', true), (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_prepared_statements)";

/// The rows, in any order, or the SQLSTATE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Rows(Vec<Vec<Option<String>>>),
    Refused(String),
}

pub(crate) struct Pair {
    pub(crate) primary: Client,
    pub(crate) standby: Client,
    traces: Outcome,
    _cluster: Arc<Cluster>,
    _turn: Turn,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let turn = beside_others().await;
        let cluster = cluster().await;
        let primary = cluster.primary().connect().await.unwrap();
        let standby = cluster.server("fra").connect().await.unwrap();
        primary.batch_execute("SET default_transaction_read_only = on").await.unwrap();
        let traces = ask(&standby, TRACES).await;
        Self { primary, standby, traces, _cluster: cluster, _turn: turn }
    }

    pub(crate) async fn ask_both(&self, statement: &str) -> (Outcome, Outcome) {
        futures::join!(ask(&self.primary, statement), ask(&self.standby, statement))
    }

    /// Asks both, and compares.
    pub(crate) async fn agree_on(&self, statement: &str) -> Outcome {
        let (primary, standby) = self.ask_both(statement).await;
        assert_eq!(primary, standby, "{statement}");
        primary
    }

    /// What has run on the standby has taken no lock and set nothing.
    pub(crate) async fn assert_no_traces(&self) {
        assert_eq!(ask(&self.standby, TRACES).await, self.traces);
    }
}

/// The cluster that these tests share, with the schema on both servers. It ends with the last test that holds it.
async fn cluster() -> Arc<Cluster> {
    static CLUSTER: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
    let mut slot = CLUSTER.lock().await;
    if let Some(cluster) = slot.upgrade() {
        return cluster;
    }
    // Neither the servers' own work nor their plans are what is compared.
    let settings = [("autovacuum", "off"), ("synchronize_seqscans", "off"), ("max_parallel_workers_per_gather", "0")];
    let cluster = Cluster::start_with(&["fra"], &settings).await.unwrap();
    cluster.primary().connect().await.unwrap().batch_execute(SCHEMA).await.unwrap();
    let written = cluster.primary().ask("SELECT pg_current_wal_flush_lsn()::text").await.unwrap();
    let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    eventually(Duration::from_secs(30), "the standby to have the schema", async || {
        (cluster.server("fra").ask(&replayed).await.unwrap() == "t").then_some(())
    })
    .await
    .unwrap();
    let cluster = Arc::new(cluster);
    *slot = Arc::downgrade(&cluster);
    cluster
}

async fn ask(client: &Client, statement: &str) -> Outcome {
    match client.simple_query(statement).await {
        Err(error) => {
            let code = error.code().unwrap_or_else(|| panic!("{statement}: {error}"));
            Outcome::Refused(code.code().to_owned())
        }
        Ok(messages) => {
            let rows = messages.iter().filter_map(|message| {
                let SimpleQueryMessage::Row(row) = message else { return None };
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            });
            let mut rows: Vec<_> = rows.collect();
            rows.sort();
            Outcome::Rows(rows)
        }
    }
}
