//! The adapter: whatever may have been written is noted, however it was hidden and however it ended, and nobody is told of a
//! write that others on the Machine cannot know of.

use std::time::{Duration, Instant};

use futures::future::join_all;
use host_tests::machine::{Host, Machine};
use host_tests::wait::eventually;
use serde_json::{Value, json};

use crate::adapted::{Adapted, App, NOTES, Outcome, PLACE, VERSIONS, add, does, on, run, values};
use crate::playground::replayed;
use crate::scenario::DEADLINE;

/// Waits until the Machine reads from its replica, which has everything, and stops the replay.
async fn at_home(adapted: &Adapted, fra: &Machine) {
    let replica = adapted.cluster.server("fra");
    replica.resume_replay().await.unwrap();
    replayed(&adapted.cluster, "fra").await;
    let home = eventually(DEADLINE, "the replica to be read from", async || {
        (values(&run(fra, "4.2.0", &[on(0, PLACE)]).await) == ["fra"]).then_some(())
    });
    home.await.unwrap();
    replica.pause_replay().await.unwrap();
}

/// The next request sees what the primary has.
async fn assert_seen(adapted: &Adapted, fra: &Machine, what: &str) {
    let there = adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap();
    assert_eq!(values(&run(fra, "4.2.0", &[on(0, NOTES)]).await), [there], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_write_that_the_replica_refuses_is_seen_by_the_next_request() {
    let hidden: [(&str, &str, &str); 6] = [
        ("a view", "CREATE VIEW v AS SELECT w(1) AS id; GRANT ALL ON v TO PUBLIC", "SELECT id FROM v"),
        (
            "an operator",
            "CREATE FUNCTION o(int, int) RETURNS int LANGUAGE sql AS 'SELECT w($1)';
             CREATE OPERATOR public.|| (LEFTARG = int, RIGHTARG = int, FUNCTION = o)",
            "SELECT 1 || 2",
        ),
        ("attribute notation", "CREATE FUNCTION g(place) RETURNS int LANGUAGE sql AS 'SELECT w(1)'", "SELECT p.g FROM place p"),
        (
            "a cast",
            "CREATE TYPE pair AS (a int); CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql AS 'SELECT ROW(w($1))::pair';
             CREATE CAST (int AS pair) WITH FUNCTION to_pair(int)",
            "SELECT 1::pair IS NULL",
        ),
        (
            "the check of a domain",
            "CREATE FUNCTION c(int) RETURNS bool LANGUAGE sql AS 'SELECT w($1) > 0'; CREATE DOMAIN d AS int CHECK (c(VALUE))",
            "SELECT 1::d",
        ),
        ("a function of its own", "CREATE FUNCTION lower(int) RETURNS int LANGUAGE sql AS 'SELECT w($1)'", "SELECT lower(1)"),
    ];
    let adapted = Adapted::new().await;
    let w = "CREATE FUNCTION w(int) RETURNS int LANGUAGE sql AS
                 'INSERT INTO notes (note) VALUES (clock_timestamp()::text); SELECT $1'";
    adapted.primary().ask(w).await.unwrap();
    for (_, schema, _) in hidden {
        adapted.primary().ask(schema).await.unwrap();
    }
    replayed(&adapted.cluster, "fra").await;
    let fra = adapted.machine("fra").await;
    for (kind, _, statement) in hidden {
        for version in ["4.2.0", "4.0.0"] {
            at_home(&adapted, &fra).await;
            let before = adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap();
            let outcomes = run(&fra, version, &[on(0, PLACE), on(0, statement)]).await;
            assert_eq!((outcomes[0].value(), &outcomes[1].error), ("fra", &None), "{kind}");
            let after = adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap();
            assert_ne!(after, before, "{kind} writes");
            assert_seen(&adapted, &fra, kind).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_call_and_do_commit_before_they_fail_is_seen() {
    let adapted = Adapted::new().await;
    let body = "BEGIN INSERT INTO notes (note) VALUES (clock_timestamp()::text); COMMIT; RAISE 'no'; END";
    let procedure = format!("CREATE PROCEDURE part() LANGUAGE plpgsql AS $$ {body} $$");
    adapted.primary().ask(&procedure).await.unwrap();
    let fra = adapted.machine("fra").await;
    for version in VERSIONS {
        for statement in ["CALL part()".to_owned(), format!("DO $$ {body} $$"), "/* mine */ CALL part()".to_owned()] {
            at_home(&adapted, &fra).await;
            let outcomes = run(&fra, version, &[does(0, &statement)]).await;
            let error = outcomes[0].error.as_deref().unwrap_or_default();
            assert!(error.contains("P0001"), "{version}: {statement}: {outcomes:?}");
            assert_seen(&adapted, &fra, &statement).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_write_shortens_the_time_in_which_one_may_still_happen() {
    const WINDOW: Duration = Duration::from_secs(10);
    const LOST: &str = "INSERT INTO notes (note) SELECT clock_timestamp()::text
                        FROM pg_terminate_backend(pg_backend_pid()), pg_sleep(0.3)";
    const INSERT: &str = "INSERT INTO notes (note) SELECT clock_timestamp()::text || pg_backend_pid()";
    let adapted = Adapted::new().await;
    let fra = adapted.machine("fra").await;
    let lost = |outcomes: &[Outcome]| assert!(outcomes[0].error.is_some(), "{outcomes:?}");
    // More requests than one instance takes at once: each loses a write, goes on for a while, and writes again.
    // Spin has 64 connections for all of them.
    let lose = json!({ "statement": LOST, "execute": true, "close": true });
    let pause = json!({ "on": 1, "statement": NOTES, "take": 0, "pause_ms": 7000 });
    let steps = [lose, pause, does(1, INSERT)];
    let crowd = join_all((0..32).map(|_| run(&fra, "4.2.0", &steps)));
    // Meanwhile another instance loses one.
    let last = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let began = Instant::now();
        lost(&run(&fra, "4.2.0", &[does(0, LOST)]).await);
        began
    };
    let (crowd, last) = futures::join!(crowd, last);
    for outcomes in &crowd {
        lost(outcomes);
        assert_eq!(outcomes[2].count, 1, "{outcomes:?}");
    }
    let mut reads = 0;
    loop {
        let outcomes = run(&fra, "4.2.0", &[on(0, PLACE)]).await;
        if last.elapsed() > WINDOW {
            break;
        }
        assert_eq!(values(&outcomes), ["sjc"], "{:?} after a write that may still happen", last.elapsed());
        reads += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(reads > 10, "{reads} reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_store_has_not_taken_is_not_told_as_done() {
    let adapted = Adapted::new().await;
    let setup = adapted.setup("fra", App::WithAdapter).env("SPIN_VARIABLE_DEADLINE_MS", "1000");
    let store = setup.store.clone();
    // A real Spin's store refuses nothing.
    let fra = Machine::start(&Host::InHouse, setup).await.unwrap();
    for version in VERSIONS {
        at_home(&adapted, &fra).await;
        store.refuse_writes(true);
        let refused = run(&fra, version, &[add(0, &format!("{version} refused"))]).await;
        let error = refused[0].error.as_deref().unwrap_or_default();
        assert!(error.contains("the key-value store has not taken note of it"), "{version}: {refused:?}");
        // Where it takes it in time, nobody notices, and everybody sees it.
        let late = [add(0, &format!("{version} late"))];
        let (told, ()) = futures::join!(run(&fra, version, &late), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            store.refuse_writes(false);
        });
        assert_eq!((told[0].count, &told[0].error), (1, &None), "{version}");
        let there = adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap();
        let others = (0..20).map(async |_| run(&fra, "4.2.0", &[on(0, NOTES)]).await);
        let seen: Vec<Value> = join_all(others).await.iter().map(|outcomes| values(outcomes)[0].into()).collect();
        assert!(seen.iter().all(|seen| *seen == there), "{version}: {seen:?} of {there}");
    }
}
