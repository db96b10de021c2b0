//! The lists of the statement rules, made from a real server's catalogue and compared with what the library has.
//!
//! The lists are those of PostgreSQL 15. A newer server may know more; what is on a list must be harmless on it, too.
//! `REWRITE_LISTS=1` with PostgreSQL 15 writes the lists instead: read what has changed before it is committed.

use std::collections::{BTreeMap, BTreeSet};

use host_tests::machine::repository;
use host_tests::postgres::Cluster;
use nearest_replica::Runs;
use tokio_postgres::{Client, Row};

use crate::turn::beside_others;

/// The version that the lists are made from.
const VERSION: i32 = 15;

/// Which functions must not run on a standby although they are not volatile. A `*` at an end stands for anything.
const HARMFUL: [(&str, &str); 40] = [
    ("*_to_xml", "runs a query that is not in the statement"),
    ("*_to_xml_and_xmlschema", "runs a query that is not in the statement"),
    ("*_to_xmlschema", "goes with those that run a query"),
    ("*_validator", "is the server's own, and may load a library"),
    ("*snapshot*", "which transactions run on this server"),
    ("age", "the age of a transaction id is counted from the server's next one"),
    ("current_setting", "a setting of the session or the server"),
    ("get_current_ts_config", "a setting of the session or the server"),
    ("inet_client_addr", "the connection"),
    ("inet_client_port", "the connection"),
    ("inet_server_addr", "the connection"),
    ("inet_server_port", "the connection"),
    ("mxid_age", "the age of a transaction id is counted from the server's next one"),
    ("pg_available_extension*", "the server's files"),
    ("pg_backend_pid", "the session"),
    ("pg_client_encoding", "a setting of the session"),
    ("pg_conf_load_time", "the server"),
    ("pg_config", "the server's program"),
    ("pg_current_*", "the transaction, or how far the log is"),
    ("pg_cursor", "the session"),
    ("pg_event_trigger_*", "the command that fired a trigger"),
    ("pg_extension_update_paths", "the server's files"),
    ("pg_get_keywords", "the server's program"),
    ("pg_get_replication_slots", "the server: slots are not replicated"),
    ("pg_is_other_temp_schema", "the session"),
    ("pg_listening_channels", "the session"),
    ("pg_my_temp_schema", "the session"),
    ("pg_postmaster_start_time", "the server"),
    ("pg_prepared_statement", "the session"),
    ("pg_replication_*", "where replication is, which is the server's own"),
    ("pg_settings_get_flags", "the server's program"),
    ("pg_show_all_settings", "settings of the session and the server"),
    ("pg_stat_get_*", "statistics, which each server has of its own"),
    ("pg_tablespace_databases", "the server's files"),
    ("pg_tablespace_location", "the server's files"),
    ("pg_timezone_*", "the server's files"),
    ("pg_trigger_depth", "the session"),
    ("pg_wal*", "refused on a standby, or about the log"),
    ("txid_*", "the transaction"),
    ("version", "the server's program, which is updated one by one"),
];

/// Every function of `pg_catalog`, with what the catalogue says about it.
const FUNCTIONS: &str = "
    WITH internal AS (SELECT array_agg(oid) AS types FROM pg_type WHERE typname IN ('internal', 'cstring', 'trigger',
        'event_trigger', 'pg_ddl_command', 'language_handler', 'fdw_handler', 'index_am_handler', 'table_am_handler',
        'tsm_handler'))
    SELECT proname::text AS name, provolatile = 'v' AS volatile,
        prorettype = ANY (types) OR proargtypes::oid[] && types AS internal,
        coalesce(obj_description(p.oid, 'pg_proc') LIKE 'implementation of %operator', false)
            OR EXISTS (SELECT FROM pg_amproc WHERE amproc = p.oid)
            OR EXISTS (SELECT FROM pg_aggregate WHERE p.oid IN (aggtransfn, aggfinalfn, aggcombinefn, aggserialfn,
                aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn))
            OR EXISTS (SELECT FROM pg_type WHERE p.oid IN (typreceive, typsend, typmodin, typmodout))
            OR EXISTS (SELECT FROM pg_range WHERE p.oid IN (rngcanonical, rngsubdiff)) AS part_of_something,
        (pronargs > 0 AND pronargs - pronargdefaults <= 1) OR provariadic <> 0 AS of_one_argument
    FROM pg_proc p, internal WHERE pronamespace = 'pg_catalog'::regnamespace";

fn is_harmful(name: &str) -> bool {
    HARMFUL.iter().any(|(pattern, _)| {
        let stem = pattern.trim_matches('*');
        match (pattern.starts_with('*'), pattern.ends_with('*')) {
            (true, true) => name.contains(stem),
            (true, false) => name.ends_with(stem),
            (false, true) => name.starts_with(stem),
            (false, false) => name == stem,
        }
    })
}

/// What may be called, and what must not be called as a column of its one argument.
struct Functions {
    harmless: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl Functions {
    async fn of(server: &Client) -> Self {
        let mut overloads: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in server.query(FUNCTIONS, &[]).await.unwrap() {
            overloads.entry(row.get("name")).or_default().push(row);
        }
        let says = |row: &Row, column: &str| row.get::<_, bool>(column);
        let harmful = |name: &str, row: &Row| says(row, "volatile") || is_harmful(name);
        let mut found = Self { harmless: BTreeSet::new(), fields: BTreeSet::new() };
        for (name, rows) in overloads {
            // What takes or returns internal types cannot be called by a statement.
            let rows: Vec<_> = rows.iter().filter(|row| !says(row, "internal")).collect();
            if rows.iter().any(|row| harmful(&name, row)) {
                if !name.starts_with("pg_") && rows.iter().any(|row| says(row, "of_one_argument")) {
                    found.fields.insert(name);
                }
            } else if rows.iter().any(|row| !says(row, "part_of_something")) {
                found.harmless.insert(name);
            }
        }
        found
    }
}

async fn names(server: &Client, question: &str) -> BTreeSet<String> {
    server.query(question, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Tables of the catalogue, and its views of which the rules say that they may run anywhere.
async fn relations(server: &Client) -> BTreeSet<String> {
    let of_kind = |what: &str, kind: char| {
        format!("SELECT {what} FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = '{kind}'")
    };
    let mut found = names(server, &of_kind("relname::text", 'r')).await;
    for row in server.query(&of_kind("relname::text, pg_get_viewdef(oid)", 'v'), &[]).await.unwrap() {
        let (name, definition): (String, &str) = (row.get(0), row.get(1));
        // A standby's sequences are ahead, whatever the rules think of the rest.
        if Runs::of(definition) == Runs::Anywhere && name != "pg_sequences" {
            found.insert(name);
        }
    }
    found
}

/// Compares a list with the committed one.
fn compare(file: &str, found: BTreeSet<String>, version: i32) {
    let path = repository().join("crates/nearest-replica/src/rules/statement").join(file);
    if std::env::var_os("REWRITE_LISTS").is_some() {
        assert_eq!(version, VERSION, "the lists are those of this version");
        return std::fs::write(path, found.into_iter().map(|line| line + "\n").collect::<String>()).unwrap();
    }
    let committed: BTreeSet<_> = std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    if version == VERSION {
        let (missing, too_many): (Vec<_>, Vec<_>) =
            (found.difference(&committed).collect(), committed.difference(&found).collect());
        assert!(missing.is_empty() && too_many.is_empty(), "{file}: missing {missing:?}, too many {too_many:?}");
    }
}

/// What is on a list of another version is harmless here, or not here at all.
fn none_is_harmful(functions: &Functions, server: &BTreeSet<String>) {
    let path = repository().join("crates/nearest-replica/src/rules/statement/functions.txt");
    for name in std::fs::read_to_string(path).unwrap().lines() {
        assert!(functions.harmless.contains(name) || !server.contains(name), "{name} is harmful on this server");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_are_those_of_the_server() {
    let _turn = beside_others().await;
    let cluster = Cluster::start(&[]).await.unwrap();
    let server = cluster.primary().connect().await.unwrap();
    let version =
        server.query_one("SELECT current_setting('server_version_num')::int / 10000", &[]).await.unwrap().get(0);
    let functions = Functions::of(&server).await;
    let all = "SELECT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind <> 'p'";
    let operators = "SELECT oprname::text FROM pg_operator o JOIN pg_proc p ON p.oid = oprcode
        WHERE oprnamespace = 'pg_catalog'::regnamespace GROUP BY oprname HAVING bool_and(provolatile <> 'v')";
    let keywords = "SELECT word || ' ' || catcode::text FROM pg_get_keywords()";
    compare("keywords.txt", names(&server, keywords).await, version);
    compare("operators.txt", names(&server, operators).await, version);
    compare("relations.txt", relations(&server).await, version);
    compare("fields.txt", functions.fields.clone(), version);
    compare("functions.txt", functions.harmless.clone(), version);
    if std::env::var_os("REWRITE_LISTS").is_none() {
        none_is_harmful(&functions, &names(&server, all).await);
    }
}
