//! Sessions whose statements are slow, given up or not looked after: nobody else pays for them, and nothing that may have
//! been written is forgotten.

use std::time::Duration;

use futures::future::join_all;
use host_tests::wait::eventually;
use serde_json::{Value, json};

use crate::playground::{Playground, add, play, read, replayed, see, transaction, write};
use crate::scenario::DEADLINE;
use crate::turn::alone;

/// A step that is given up after so long.
fn give_up(ms: u64, step: Value) -> Value {
    json!({ "give-up": [ms, step] })
}

/// Each time that a server has run this statement.
fn runs(log: &str, statement: &str) -> usize {
    log.matches(&format!(": {statement}")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_read_runs_once_and_holds_up_nobody() {
    const SLOW: &str = "SELECT 'slow' FROM pg_sleep(2)";
    let playground = Playground::with(&[("log_statement", "all")]).await;
    let fra = playground.machine("fra").await;
    // So that there is a connection that they share.
    play(&fra, "", &[read("SELECT 1")]).await;
    let slow = async { play(&fra, "", &[read(SLOW)]).await };
    let others = async {
        let mut answered = 0;
        // For as long as the slow one runs.
        while runs(&playground.cluster.server("fra").log(), SLOW) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let running = "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'";
        while playground.cluster.server("fra").ask(running).await.unwrap() == "1" {
            for played in join_all((0..8).map(async |_| play(&fra, "", &[read("SELECT 1")]).await)).await {
                assert_eq!((played.last().0, played.last().1), (home(), reason()), "{played:?}");
                answered += 1;
            }
        }
        answered
    };
    let (slow, answered) = futures::join!(slow, others);
    assert_eq!((slow.last().0, slow.last().1), (home(), reason()), "{slow:?}");
    assert!(answered >= 80, "{answered} others were answered meanwhile");
    let ran = |region: &str| runs(&playground.cluster.server(region).log(), SLOW);
    assert_eq!((ran("fra"), runs(&playground.primary().log(), SLOW)), (1, 0), "on the replica, once");
    assert!(!fra.logs().contains("event="), "{}", fra.logs());
}

/// The replica of a Machine's own region has one name with private names, and another without.
fn home() -> &'static str {
    if crate::fixtures::host().knows_private_names() { "local" } else { "replica-port" }
}

fn reason() -> &'static str {
    if crate::fixtures::host().knows_private_names() { "local" } else { "nearest" }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_statements_of_one_session_stay_where_they_are() {
    let playground = Playground::with(&[("log_statement", "all")]).await;
    let fra = playground.machine("fra").await;
    let steps = [
        read("SELECT 'first' FROM pg_sleep(1.8)"),
        read("SELECT 'second' FROM pg_sleep(1.8)"),
        json!({ "read-transaction": ["SELECT 'third' FROM pg_sleep(0.4)"] }),
    ];
    let played = play(&fra, "", &steps).await;
    assert!(played.results.iter().all(|result| result["candidate"] == home()), "{played:?}");
    let log = playground.cluster.server("fra").log();
    for which in ["first", "second", "third"] {
        assert_eq!(log.matches(&format!("'{which}'")).count(), 1, "{which}");
    }
    assert!(!fra.logs().contains("event="), "{}", fra.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_nobody_looks_after_takes_no_replica_from_anybody() {
    let _alone = alone().await;
    let playground = Playground::beside_nobody(&[]).await;
    for round in 0..3 {
        // Without a connection yet, so that it is this read that opens one.
        let fra = playground.machine("fra").await;
        let neglected = async { play(&fra, "", &[json!({ "neglect": [4000, read("SELECT 1")] })]).await };
        let others = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for _ in 0..20 {
                for played in join_all((0..6).map(async |_| play(&fra, "", &[read("SELECT 1")]).await)).await {
                    assert_eq!((played.last().0, played.last().1), (home(), reason()), "{round}: {played:?}");
                }
            }
        };
        let (neglected, ()) = futures::join!(neglected, others);
        assert_eq!(neglected.last().0, home(), "{neglected:?}");
        assert!(!fra.logs().contains("event="), "{}", fra.logs());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_given_up_is_not_forgotten() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    playground.pause("fra").await;
    let slow = write("INSERT INTO notes (note) SELECT 'given up' FROM pg_sleep(0.6)");
    let played = play(&fra, "", &[read("SELECT 1"), give_up(300, slow), see("given up")]).await;
    assert_eq!(played.results[1], json!({ "given_up": true }));
    assert!(played.wrote && played.bookmark.starts_with("1-until-"), "{played:?}");
    assert_eq!(played.last().0, "configured", "{played:?}");
    let there = eventually(DEADLINE, "the write", async || (playground.count("given up").await == "1").then_some(()));
    there.await.unwrap();
    play(&fra, &played.bookmark, &[see("given up")]).await.assert_value(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_given_up_is_not_forgotten() {
    let playground = Playground::new().await;
    let slow_commit = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                           'BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END';
                       CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED
                           FOR EACH ROW EXECUTE FUNCTION wait()";
    playground.primary().ask(slow_commit).await.unwrap();
    replayed(&playground.cluster, "fra").await;
    let fra = playground.machine("fra").await;
    playground.pause("fra").await;
    let insert = "INSERT INTO notes (note) VALUES ('given up')";
    let played = play(&fra, "", &[read("SELECT 1"), give_up(300, transaction(&[insert]))]).await;
    assert_eq!(played.results[1], json!({ "given_up": true }));
    assert!(played.wrote && played.bookmark.starts_with("1-until-"), "{played:?}");
    let there = eventually(DEADLINE, "the write", async || (playground.count("given up").await == "1").then_some(()));
    there.await.unwrap();
    play(&fra, &played.bookmark, &[see("given up")]).await.assert_value(1);
    // Given up before its COMMIT, it is rolled back, and nothing was written.
    let played = play(&fra, "", &[give_up(300, transaction(&["SELECT pg_sleep(1)", insert]))]).await;
    assert!(!played.wrote && played.bookmark.is_empty(), "{played:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_call_and_do_commit_before_they_fail_is_not_told_as_undone() {
    let playground = Playground::new().await;
    let body = "BEGIN INSERT INTO notes (note) VALUES ('part'); COMMIT; RAISE 'no'; END";
    let procedure = format!("CREATE PROCEDURE part() LANGUAGE plpgsql AS $$ {body} $$");
    playground.primary().ask(&procedure).await.unwrap();
    replayed(&playground.cluster, "fra").await;
    let fra = playground.machine("fra").await;
    playground.pause("fra").await;
    for statement in ["CALL part()".to_owned(), format!("DO $$ {body} $$")] {
        playground.primary().ask("TRUNCATE notes").await.unwrap();
        let played = play(&fra, "", &[write(&statement)]).await;
        assert_eq!(played.problem(), ("outcome-unknown", 500, "P0001"), "{played:?}");
        assert!(played.wrote, "{played:?}");
        // It is final, and its user sees it.
        assert!(played.bookmark.starts_with("1-") && !played.bookmark.starts_with("1-until-"), "{played:?}");
        play(&fra, &played.bookmark, &[see("part")]).await.assert_value(1);
    }
    play(&fra, "", &[add("after")]).await;
}
