//! Writes: once, on the primary, and what is known when they fail.

use std::time::Duration;

use futures::StreamExt;
use host_tests::fault::{Fault, FaultProxy};
use host_tests::machine::{Machine, Routes, Setup};
use host_tests::postgres::USER;
use host_tests::wait::eventually;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fixtures::host;
use crate::playground::{Playground, add, play, read, see, send, transaction, write};
use crate::scenario::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_writes_runs_once_on_the_primary() {
    let playground = Playground::new().await;
    playground
        .primary()
        .ask(
            "CREATE FUNCTION take(text) RETURNS bigint LANGUAGE sql AS
                 'INSERT INTO notes (note) VALUES ($1 || clock_timestamp()) RETURNING id';
             CREATE SEQUENCE numbers",
        )
        .await
        .unwrap();
    crate::playground::replayed(&playground.cluster, "fra").await;
    for region in ["fra", "sjc"] {
        let machine = playground.machine(region).await;
        let with = format!("WITH n AS (INSERT INTO notes (note) VALUES ('with {region}') RETURNING 1) SELECT 1 FROM n");
        let function = format!("SELECT take('function {region}') > 0");
        for (statement, expected) in [(with, json!(1)), (function, json!(true))] {
            let played = play(&machine, "", &[read(&statement)]).await;
            assert_eq!(
                played.last(),
                ("configured", "read-that-writes", &json!([[expected]])),
                "{region}: {statement}"
            );
            assert!(played.wrote && !played.bookmark.is_empty(), "{played:?}");
        }
        assert_eq!(playground.count(&format!("with {region}")).await, "1");
        assert_eq!(playground.count(&format!("function {region}")).await, "1");
        for statement in ["SELECT nextval('numbers')", "SELECT id FROM notes LIMIT 1 FOR UPDATE"] {
            let played = play(&machine, "", &[read(statement)]).await;
            assert_eq!(played.last().1, "read-that-writes", "{region}: {statement}");
        }
    }
    let last = playground.primary().ask("SELECT last_value::text FROM numbers").await.unwrap();
    assert_eq!(last, "2", "once for each region");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_primary_may_say_no() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    playground.primary().ask("CREATE TYPE colour AS ENUM ('red')").await.unwrap();
    crate::playground::replayed(&playground.cluster, "fra").await;
    playground.pause("fra").await;
    playground.primary().ask("CREATE TABLE late (id int); ALTER TYPE colour ADD VALUE 'blue'").await.unwrap();
    for statement in ["SELECT count(*) FROM late", "SELECT count(*) FROM notes WHERE 'blue'::colour IS NULL"] {
        let played = play(&fra, "", &[read(statement)]).await;
        assert_eq!(played.last(), ("configured", "replica-refused", &json!([[0]])), "{statement}");
    }
    let never = play(&fra, "", &[read("SELECT 1 FROM never")]).await;
    assert_eq!(never.problem(), ("statement-failed", 500, "42P01"));
    let tried = never.results[0]["body"]["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 2, "{never:?}");
    let ddl = play(&fra, "", &[write("CREATE TABLE notes (id int)")]).await;
    assert_eq!(ddl.problem(), ("statement-failed", 500, "42P07"));
    assert!(!ddl.wrote);
}

/// More than Spin's pool has connections: who waits for a second one must not hold the first.
#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_that_write_twice_do_not_wait_for_each_other() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    let twice = async |number: usize| {
        let steps = [add(&format!("one {number}")), transaction(&["SELECT 1"]), add(&format!("two {number}"))];
        play(&fra, "", &steps).await
    };
    for played in futures::future::join_all((0..100).map(twice)).await {
        assert!(played.results.iter().all(|result| result["problem"].is_null()), "{played:?}");
    }
    assert_eq!((playground.count("one").await, playground.count("two").await), ("100".into(), "100".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_is_rolled_back_and_says_why() {
    let playground = Playground::new().await;
    // A function, since what a block (DO) has committed before it fails is there.
    let raise_it = "CREATE FUNCTION raise_it(text) RETURNS int LANGUAGE plpgsql AS
                        $$ BEGIN RAISE 'no' USING ERRCODE = $1; END $$";
    playground.primary().ask(raise_it).await.unwrap();
    let fra = playground.machine("fra").await;
    play(&fra, "", &[add("one")]).await;
    let cases = [
        (add("one"), ("statement-failed", 500, "23505")),
        (write("INSERT INTO notes (note) VALUES ('two'), ('two')"), ("statement-failed", 500, "23505")),
        (write("SELECT 1 / 0"), ("statement-failed", 500, "22012")),
        (write("SELEC"), ("statement-failed", 500, "42601")),
        (raise("40001"), ("rolled-back", 409, "40001")),
        (raise("40P01"), ("rolled-back", 409, "40P01")),
        (raise("40003"), ("outcome-unknown", 500, "40003")),
    ];
    for (step, expected) in cases {
        let played = play(&fra, "", std::slice::from_ref(&step)).await;
        assert_eq!(played.problem(), expected, "{step}");
        assert_eq!(played.wrote, expected.0 == "outcome-unknown", "{step}");
    }
    assert_eq!(playground.count("two").await, "0");
}

fn raise(sqlstate: &str) -> Value {
    write(&format!("SELECT raise_it('{sqlstate}')"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_connection_ends_under_it_is_unknown_and_read_from_the_primary_until_it_is_final() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    // The commit waits for a replica that has stopped: it is there, and will be seen once the wait is over.
    playground.primary().ask("ALTER SYSTEM SET synchronous_standby_names = 'fra'").await.unwrap();
    playground.primary().ask("SELECT pg_reload_conf()").await.unwrap();
    playground.cluster.server("fra").signal_all(Signal::SIGSTOP).unwrap();
    let end_it = async {
        let waiting = "SELECT pid::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let pid = eventually(DEADLINE, "the commit to wait", async || found(&playground, waiting).await);
        let end = format!("SELECT pg_terminate_backend({})::text", pid.await.unwrap());
        playground.primary().ask(&end).await.unwrap();
    };
    let steps = [add("mine"), see("mine")];
    let (played, ()) = futures::join!(play(&fra, "", &steps), end_it);
    assert_eq!(played.results[0]["problem"], "outcome-unknown", "{played:?}");
    assert!(played.wrote && played.bookmark.starts_with("1-until-"), "{played:?}");
    assert_eq!(played.last().0, "configured", "the session goes on there");
    playground.cluster.server("fra").signal_all(Signal::SIGCONT).unwrap();
    let later = play(&fra, &played.bookmark, &[see("mine")]).await;
    assert_eq!(later.last(), ("configured", "bookmark-primary", &json!([[1]])), "once, whatever the answer was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_takes_too_long_is_ended_by_the_server_and_rolled_back() {
    let playground = Playground::new().await;
    let sjc = playground.machine("sjc").await;
    let slow = write("WITH n AS (INSERT INTO notes (note) VALUES ('slow') RETURNING 1) SELECT pg_sleep(30) FROM n");
    let played = play(&sjc, "", &[slow]).await;
    assert_eq!(played.problem(), ("statement-failed", 500, "57014"));
    assert!(played.answer.took < DEADLINE, "{played:?}");
    assert_eq!(playground.count("slow").await, "0");
}

/// What a statement on the primary finds, where it finds something.
async fn found(playground: &Playground, statement: &str) -> Option<String> {
    playground.primary().ask(statement).await.ok().filter(|found| !found.is_empty())
}

/// A Machine in `fra` that reaches the primary through a link of its own.
async fn with_link(playground: &Playground) -> (FaultProxy, Machine) {
    let link = FaultProxy::before(playground.primary().address()).await.unwrap();
    let local = playground.cluster.server("fra").address();
    let private = vec![("fra".to_owned(), local)];
    let routes = Routes { configured: link.address(), local, nearest: None, private };
    let setup = playground.setup_of(Setup::with_routes("fra", USER, &routes, &host()));
    (link, playground.start(setup).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_cannot_be_sent_is_tried_again_and_is_not_there_when_that_ends() {
    let playground = Playground::new().await;
    let (link, fra) = with_link(&playground).await;
    link.set(Fault::Refuse);
    let none = play(&fra, "", &[add("never")]).await;
    assert_eq!(none.problem(), ("database-unavailable", 503, ""));
    assert!(!none.wrote && none.bookmark.is_empty() && none.answer.took < DEADLINE, "{none:?}");
    let mend = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        link.set(Fault::Pass);
    };
    let steps = [add("later")];
    let (later, ()) = futures::join!(play(&fra, "", &steps), mend);
    assert_eq!(later.last().1, "write", "{later:?}");
    assert_eq!((playground.count("never").await, playground.count("later").await), ("0".into(), "1".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_unknown_and_there_once() {
    let playground = Playground::new().await;
    let (link, fra) = with_link(&playground).await;
    // The pool has a connection; of every answer on it only the first byte comes through.
    play(&fra, "", &[add("first")]).await;
    let slow = write("WITH n AS (INSERT INTO notes (note) VALUES ('lost') RETURNING 1) SELECT pg_sleep(1) FROM n");
    let cut = async {
        let running = "SELECT 'yes' FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let seen = eventually(DEADLINE, "the write to run", async || found(&playground, running).await);
        seen.await.unwrap();
        link.set(Fault::StallMidResponse);
    };
    let steps = [slow];
    let (played, ()) = futures::join!(play(&fra, "", &steps), cut);
    assert_eq!(played.problem(), ("outcome-unknown", 500, ""), "{played:?}");
    assert!(played.bookmark.starts_with("1-until-") && played.answer.took < DEADLINE, "{played:?}");
    assert_eq!(playground.count("lost").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_takes_no_writes_is_named_as_that() {
    let playground = Playground::new().await;
    playground.primary().ask("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    playground.primary().ask("SELECT pg_reload_conf()").await.unwrap();
    let fra = playground.machine("fra").await;
    let steps = [add("mine"), read("SELECT nextval('notes_id_seq')"), transaction(&["DELETE FROM notes"])];
    for step in steps {
        let played = play(&fra, "", std::slice::from_ref(&step)).await;
        assert_eq!(played.problem(), ("primary-read-only", 503, "25006"), "{step}");
    }
    play(&fra, "", &[see("mine")]).await.assert_value(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_traps_in_a_transaction_leaves_nothing_open_and_hands_nothing_on() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    for _ in 0..4 {
        // Whether there is a response, and which, is the host's.
        let _ = send(&fra, "", &[transaction(&["INSERT INTO notes (note) VALUES ('trap')", "trap"])]).await;
    }
    let open = "SELECT count(*)::text FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let request = async |number: u32| {
        let good = format!("INSERT INTO notes (note) VALUES ('good {number}')");
        let steps = [transaction(&[&good]), add(&format!("alone {number}")), see("trap")];
        let played = play(&fra, "", &steps).await;
        played.assert_value(0);
        assert!(played.results.iter().all(|result| result["problem"].is_null()), "{played:?}");
    };
    futures::stream::iter(0..1_000).map(request).buffer_unordered(8).collect::<()>().await;
    let closed = eventually(2 * DEADLINE, "the open transactions to end", async || {
        (playground.primary().ask(open).await.ok()? == "0").then_some(())
    });
    closed.await.unwrap();
    let counted = (playground.count("trap").await, playground.count("good").await, playground.count("alone").await);
    assert_eq!(counted, ("0".into(), "1000".into(), "1000".into()));
}
