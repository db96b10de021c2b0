//! A server whose statements misbehave: stuck, in conflict with recovery, refused.
//!
//! `search_path` is a parameter of the user's own, so a function of the test's can stand before PostgreSQL's
//! `pg_is_in_recovery()`; what it does then happens in a real server, and arrives as it always would.

use std::time::Duration;

use host_tests::world::eventually;

use crate::story::{CLIENTS, Stage};
use crate::world::{assert_problem, get};

/// URL parameters that put the schema `odd` first, with the statement time-out that the component would have set.
const ODD_FIRST: &str = "options=-c%20search_path%3Dodd,pg_catalog%20-c%20statement_timeout%3D2500";

/// A stage on which `pg_is_in_recovery()` first does `odd`, in PL/pgSQL.
async fn stage_where_each_read(odd: &str, settings: &[(&str, &str)]) -> Stage {
    let stage = Stage::with(ODD_FIRST, settings).await;
    let primary = stage.cluster.primary();
    for statement in [
        "CREATE SCHEMA odd",
        "GRANT USAGE ON SCHEMA odd TO PUBLIC",
        "CREATE TABLE odd.numbers AS SELECT generate_series(1, 100) AS number",
        "GRANT SELECT ON odd.numbers TO PUBLIC",
        &format!(
            "CREATE FUNCTION odd.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql SET search_path = pg_catalog AS \
             $$ BEGIN IF current_setting('cluster_name') = 'fra' THEN {odd} END IF; \
             RETURN pg_catalog.pg_is_in_recovery(); END $$"
        ),
    ] {
        primary.ask(statement).await.unwrap();
    }
    let there = eventually(Duration::from_secs(10), "the function to arrive at the replica", async || {
        (stage.fra().ask("SELECT count(*) FROM pg_proc WHERE proname = 'pg_is_in_recovery'").await.ok()? == "2")
            .then_some(())
    });
    there.await.unwrap();
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_statement_takes_nobody_with_it() {
    // Whoever gets the lock is stuck with it; it is free again when the statement has timed out.
    let stage = stage_where_each_read("IF pg_try_advisory_xact_lock(1) THEN PERFORM pg_sleep(60); END IF;", &[]).await;
    let stuck = async || {
        let question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let waiting = eventually(Duration::from_secs(10), "a stuck statement", async || {
            (stage.fra().ask(question).await.ok()? != "0").then_some(())
        });
        waiting.await.unwrap();
    };
    let load = async {
        let (report, ()) = futures::join!(stage.load.run(stage.machine.address(), CLIENTS), async {
            stuck().await;
            tokio::time::sleep(Duration::from_secs(6)).await;
            stage.load.stop();
        });
        report.unwrap()
    };
    let report = load.await;
    report.all_answered_within(crate::story::DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.most_in_flight >= CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_conflicts_with_recovery_is_answered_elsewhere() {
    let read = "PERFORM count(*) FROM odd.numbers; PERFORM pg_sleep(0.02);";
    let stage = stage_where_each_read(read, &[("max_standby_streaming_delay", "0"), ("autovacuum", "off")]).await;
    let conflicts = "SELECT sum(confl_snapshot) FROM pg_stat_database_conflicts";
    let script = async {
        // The primary removes rows that a read on the replica may still need; the replica then ends that read.
        for _ in 0..60 {
            stage.cluster.primary().ask("UPDATE odd.numbers SET number = number + 1").await.unwrap();
            stage.cluster.primary().ask("VACUUM odd.numbers").await.unwrap();
        }
        stage.load.stop();
    };
    let (report, ()) = futures::join!(stage.load.run(stage.machine.address(), CLIENTS), script);
    report.unwrap().all_answered_within(crate::story::DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
    assert_ne!(stage.fra().ask(conflicts).await.unwrap(), "0", "there were conflicts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_server_refuses_is_not_repeated() {
    let stage = stage_where_each_read("PERFORM nextval('odd.calls');", &[]).await;
    // `nextval` on a replica is 25006: the statement's own fault, wherever it runs.
    stage.cluster.primary().ask("CREATE SEQUENCE odd.calls").await.unwrap();
    stage.cluster.primary().ask("GRANT USAGE ON SEQUENCE odd.calls TO PUBLIC").await.unwrap();
    let there = eventually(Duration::from_secs(10), "the sequence to arrive", async || {
        (stage.fra().ask("SELECT to_regclass('odd.calls') IS NOT NULL").await.ok()? == "t").then_some(())
    });
    there.await.unwrap();
    let answer = get(&stage.machine).await;
    let body = assert_problem(&answer, 500, "statement-failed");
    assert_eq!(body["tried"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(body["tried"][0]["error"], "database-error", "{body}");
    assert!(!answer.body.contains("nextval"), "the server's words are for the log: {body}");
    let logged = eventually(Duration::from_secs(5), "the log line", async || {
        stage.machine.logs().contains("25006: cannot execute nextval()").then_some(())
    });
    logged.await.unwrap();
}
