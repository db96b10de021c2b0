//! A server whose statements misbehave: stuck, in conflict with recovery, refused.
//!
//! `search_path` is a parameter of the user's own, so a function of the test's can stand before PostgreSQL's
//! `pg_is_in_recovery()`; what it does then happens in a real server, and arrives as it always would.

use std::time::Duration;

use host_tests::load::{Load, Report};
use host_tests::machine::Machine;
use host_tests::postgres::{Cluster, Server};
use host_tests::region::Options;
use host_tests::wait::eventually;

use crate::fixtures::{assert_ok, assert_problem, get, machine_for, url_of};
use crate::scenario::{CLIENTS, DEADLINE, Scenario};
use crate::turn::{alone, beside_others};

/// URL parameters that put the schema `odd` first, with the statement time-out that the component would have set.
const ODD_FIRST: &str = "options=-c%20search_path%3Dodd,pg_catalog%20-c%20statement_timeout%3D2500";

/// Writes a line to the server's log for each run, whatever becomes of it.
const COUNTED: &str = "RAISE LOG 'pg_is_in_recovery was called';";

/// How often a server has run a function that is [`COUNTED`].
fn runs(server: &Server) -> usize {
    server.log().matches("LOG:  pg_is_in_recovery was called").count()
}

/// A scenario in which `pg_is_in_recovery()` first does `odd` on the region's own replica, in PL/pgSQL.
async fn scenario_where_each_read(odd: &str, settings: &[(&str, &str)]) -> Scenario {
    let scenario = Scenario::with(Options { parameters: ODD_FIRST, settings, ..Options::default() }).await;
    make_odd(&scenario.cluster, &["fra"], odd).await;
    scenario
}

/// Puts a `pg_is_in_recovery()` into the schema `odd` that does `odd` on the servers in `regions`.
async fn make_odd(cluster: &Cluster, regions: &[&str], odd: &str) {
    let regions = regions.join("', '");
    for statement in [
        "CREATE SCHEMA odd",
        "GRANT USAGE ON SCHEMA odd TO PUBLIC",
        "CREATE TABLE odd.numbers AS SELECT generate_series(1, 100) AS number",
        "GRANT SELECT ON odd.numbers TO PUBLIC",
        "CREATE SEQUENCE odd.calls",
        "GRANT USAGE ON SEQUENCE odd.calls TO PUBLIC",
        &format!(
            "CREATE FUNCTION odd.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql SET search_path = pg_catalog AS \
             $$ BEGIN IF current_setting('cluster_name') IN ('{regions}') THEN {odd} END IF; \
             RETURN pg_catalog.pg_is_in_recovery(); END $$"
        ),
    ] {
        cluster.primary().ask(statement).await.unwrap();
    }
    for server in cluster.servers() {
        let there = eventually(Duration::from_secs(10), "the function to arrive at the replica", async || {
            let question = "SELECT count(*) FROM pg_proc WHERE proname = 'pg_is_in_recovery'";
            (server.ask(question).await.ok()? == "2").then_some(())
        });
        there.await.unwrap();
    }
}

/// One gets a lock and is stuck with it, until the statement has timed out: in one second of ten, which is over when
/// those that were caught with it try again on another connection. Nothing can help a request that is stuck twice.
const ONE_IS_STUCK: &str = "IF extract(epoch FROM clock_timestamp())::bigint % 10 = 0 AND pg_try_advisory_xact_lock(1)
    THEN PERFORM pg_sleep(60); END IF;";

/// Sixteen clients for some seconds, in which a statement is stuck on `server`; and how many were answered in the two
/// seconds that it is stuck at least.
async fn load_with_a_stuck_statement(machine: &Machine, server: &Server) -> (Report, usize) {
    let load = Load::default();
    let script = async {
        let question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let stuck = eventually(Duration::from_secs(20), "a stuck statement", async || {
            (server.ask(question).await.ok()? != "0").then_some(())
        });
        stuck.await.unwrap();
        let before = load.answered();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let meanwhile = load.answered() - before;
        assert_ne!(server.ask(question).await.unwrap(), "0", "it is still stuck");
        tokio::time::sleep(Duration::from_secs(4)).await;
        load.stop();
        meanwhile
    };
    let (report, meanwhile) = futures::join!(load.run(machine.address(), CLIENTS), script);
    (report.unwrap(), meanwhile)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_statement_takes_nobody_with_it() {
    let scenario = scenario_where_each_read(ONE_IS_STUCK, &[]).await;
    let (report, meanwhile) = load_with_a_stuck_statement(&scenario.machine, scenario.fra()).await;
    report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(meanwhile >= CLIENTS, "only {meanwhile} others were answered while a statement was stuck");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_statement_takes_nobody_with_it_where_there_is_no_other_database() {
    let _alone = alone().await;
    let cluster = Cluster::start(&[]).await.unwrap();
    make_odd(&cluster, &["sjc"], ONE_IS_STUCK).await;
    let machine = machine_for(&url_of(&cluster, ODD_FIRST)).await;
    // Here all of them may be on the same connection, and wait for the half of their time.
    let (report, _) = load_with_a_stuck_statement(&machine, cluster.primary()).await;
    report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_conflicts_with_recovery_is_answered_elsewhere() {
    let read = "PERFORM count(*) FROM odd.numbers; PERFORM pg_sleep(0.02);";
    let scenario = scenario_where_each_read(read, &[("max_standby_streaming_delay", "0"), ("autovacuum", "off")]).await;
    let conflicts = "SELECT sum(confl_snapshot) FROM pg_stat_database_conflicts";
    let script = async {
        // The primary removes rows that a read on the replica may still need; the replica then ends that read.
        for _ in 0..60 {
            scenario.cluster.primary().ask("UPDATE odd.numbers SET number = number + 1").await.unwrap();
            scenario.cluster.primary().ask("VACUUM odd.numbers").await.unwrap();
        }
        scenario.load.stop();
    };
    let (report, ()) = futures::join!(scenario.load.run(scenario.machine.address(), CLIENTS), script);
    let report = report.unwrap();
    report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.samples.iter().any(|sample| sample.served_by.0 == "configured"), "some were answered elsewhere");
    let counted = eventually(Duration::from_secs(10), "the replica to count its conflicts", async || {
        (scenario.fra().ask(conflicts).await.ok()? != "0").then_some(())
    });
    counted.await.unwrap();
    scenario.wait_for_log("40001: canceling statement due to conflict with recovery").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_server_refuses_is_not_repeated() {
    // `nextval` in a read is 25006, on the primary too.
    let odd = format!("{COUNTED} PERFORM nextval('odd.calls');");
    let scenario = Scenario::with(Options { parameters: ODD_FIRST, ..Options::default() }).await;
    make_odd(&scenario.cluster, &["fra", "sjc"], &odd).await;
    let answer = get(&scenario.machine).await;
    let body = assert_problem(&answer, 500, "statement-failed");
    // A replica may lack what the statement needs, so the primary has the last word.
    assert_eq!((body["tried"].as_array().unwrap().len(), &body["sqlstate"]), (2, &"25006".into()), "{body}");
    assert_eq!(body["tried"][1], serde_json::json!({ "candidate": "configured", "error": "database-error" }));
    assert!(!answer.body.contains("nextval"), "the server's words are for the log: {body}");
    scenario.wait_for_log("25006: cannot execute nextval()").await;
    for server in scenario.cluster.servers() {
        assert_eq!(runs(server), 1, "{}", server.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_cannot_be_served_now_is_tried_again_once_and_on_the_last_candidate_three_times() {
    let scenario = Scenario::with(Options { parameters: ODD_FIRST, nearest: true, ..Options::default() }).await;
    let odd = format!("{COUNTED} RAISE EXCEPTION 'not now' USING ERRCODE = '53300';");
    make_odd(&scenario.cluster, &["fra", "syd", "sjc"], &odd).await;
    let answer = get(&scenario.machine).await;
    let body = assert_problem(&answer, 503, "database-unavailable");
    let tried = ["local", "nearest", "configured"]
        .map(|name| serde_json::json!({ "candidate": name, "error": "database-error" }));
    assert_eq!(body["tried"], serde_json::json!(tried));
    for (region, expected) in [("fra", 1 + 1), ("syd", 1 + 1), ("sjc", 1 + 3)] {
        assert_eq!(runs(scenario.cluster.server(region)), expected, "{region}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_answered_by_the_third_retry_on_the_only_database() {
    let _turn = beside_others().await;
    let cluster = Cluster::start(&[]).await.unwrap();
    // What is written to a file stays there where the transaction fails: a digit and a line break each time. The program
    // must read what it is sent, or the server may find the pipe closed.
    let odd = "COPY (SELECT 1) TO PROGRAM 'cat >> calls';
        IF length(pg_read_file('calls')) <= 3 * 2 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '57P03'; END IF;";
    make_odd(&cluster, &["sjc"], &format!("{COUNTED} {odd}")).await;
    let machine = machine_for(&url_of(&cluster, ODD_FIRST)).await;
    assert_ok(&get(&machine).await);
    assert_eq!(runs(cluster.primary()), 4);
}
