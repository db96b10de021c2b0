//! A server whose statements misbehave: stuck, in conflict with recovery, refused.
//!
//! `search_path` is a parameter of the user's own, so a function of the test's can stand before PostgreSQL's
//! `pg_is_in_recovery()`; what it does then happens in a real server, and arrives as it always would.

use std::time::Duration;

use host_tests::load::{Load, Report};
use host_tests::machine::Machine;
use host_tests::postgres::{Cluster, Server};
use host_tests::wait::eventually;

use crate::fixtures::{assert_problem, get, machine_for, url_of};
use crate::scenario::{CLIENTS, DEADLINE, Scenario, alone};

/// URL parameters that put the schema `odd` first, with the statement time-out that the component would have set.
const ODD_FIRST: &str = "options=-c%20search_path%3Dodd,pg_catalog%20-c%20statement_timeout%3D2500";

/// A scenario on which `pg_is_in_recovery()` first does `odd`, in PL/pgSQL.
async fn stage_where_each_read(odd: &str, settings: &[(&str, &str)]) -> Scenario {
    let scenario = Scenario::with(ODD_FIRST, settings).await;
    make_odd(scenario.cluster.primary(), "fra", odd).await;
    let there = eventually(Duration::from_secs(10), "the function to arrive at the replica", async || {
        (scenario.fra().ask("SELECT count(*) FROM pg_proc WHERE proname = 'pg_is_in_recovery'").await.ok()? == "2")
            .then_some(())
    });
    there.await.unwrap();
    scenario
}

/// Puts a `pg_is_in_recovery()` into the schema `odd` that does `odd` on the server in `region`.
async fn make_odd(primary: &Server, region: &str, odd: &str) {
    for statement in [
        "CREATE SCHEMA odd",
        "GRANT USAGE ON SCHEMA odd TO PUBLIC",
        "CREATE TABLE odd.numbers AS SELECT generate_series(1, 100) AS number",
        "GRANT SELECT ON odd.numbers TO PUBLIC",
        &format!(
            "CREATE FUNCTION odd.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql SET search_path = pg_catalog AS \
             $$ BEGIN IF current_setting('cluster_name') = '{region}' THEN {odd} END IF; \
             RETURN pg_catalog.pg_is_in_recovery(); END $$"
        ),
    ] {
        primary.ask(statement).await.unwrap();
    }
}

/// Now and then one gets a lock and is stuck with it, until the statement has timed out. Only now and then, so that it
/// is not the same request that is stuck again on its next connection: nothing can help that one.
const ONE_IS_STUCK: &str = "IF random() < 0.02 AND pg_try_advisory_xact_lock(1) THEN PERFORM pg_sleep(60); END IF;";

/// Sixteen clients for some seconds, in which a statement is stuck on `server`.
async fn load_with_a_stuck_statement(machine: &Machine, server: &Server) -> Report {
    let load = Load::default();
    let script = async {
        let question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let stuck = eventually(Duration::from_secs(10), "a stuck statement", async || {
            (server.ask(question).await.ok()? != "0").then_some(())
        });
        stuck.await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        load.stop();
    };
    let (report, ()) = futures::join!(load.run(machine.address(), CLIENTS), script);
    report.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_statement_takes_nobody_with_it() {
    let scenario = stage_where_each_read(ONE_IS_STUCK, &[]).await;
    let report = load_with_a_stuck_statement(&scenario.machine, scenario.fra()).await;
    report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.most_in_flight >= CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_statement_takes_nobody_with_it_where_there_is_no_other_database() {
    let _alone = alone().await;
    let cluster = Cluster::start(&[]).await.unwrap();
    make_odd(cluster.primary(), "sjc", ONE_IS_STUCK).await;
    let machine = machine_for(&url_of(&cluster, ODD_FIRST)).await;
    let report = load_with_a_stuck_statement(&machine, cluster.primary()).await;
    report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.most_in_flight >= CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_conflicts_with_recovery_is_answered_elsewhere() {
    let read = "PERFORM count(*) FROM odd.numbers; PERFORM pg_sleep(0.02);";
    let scenario = stage_where_each_read(read, &[("max_standby_streaming_delay", "0"), ("autovacuum", "off")]).await;
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_server_refuses_is_not_repeated() {
    let scenario = stage_where_each_read("PERFORM nextval('odd.calls');", &[]).await;
    // `nextval` on a replica is 25006: the statement's own fault, wherever it runs.
    scenario.cluster.primary().ask("CREATE SEQUENCE odd.calls").await.unwrap();
    scenario.cluster.primary().ask("GRANT USAGE ON SEQUENCE odd.calls TO PUBLIC").await.unwrap();
    let there = eventually(Duration::from_secs(10), "the sequence to arrive", async || {
        (scenario.fra().ask("SELECT to_regclass('odd.calls') IS NOT NULL").await.ok()? == "t").then_some(())
    });
    there.await.unwrap();
    let answer = get(&scenario.machine).await;
    let body = assert_problem(&answer, 500, "statement-failed");
    assert_eq!(body["tried"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(body["tried"][0]["error"], "database-error", "{body}");
    assert!(!answer.body.contains("nextval"), "the server's words are for the log: {body}");
    let logged = eventually(Duration::from_secs(5), "the log line", async || {
        scenario.machine.logs().contains("25006: cannot execute nextval()").then_some(())
    });
    logged.await.unwrap();
}
