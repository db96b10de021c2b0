//! Transactions: all of it or nothing, and columns by their names.

use host_tests::region::is_home;
use host_tests::wait::eventually;
use serde_json::json;

use crate::fixtures::get;
use crate::playground::{Playground, add, play, read, read_transaction, replayed, see, transaction};
use crate::scenario::DEADLINE;

const ONE: &str = "INSERT INTO notes (note) VALUES ('one')";
const TWO: &str = "INSERT INTO notes (note) VALUES ('two') RETURNING note";

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_there_as_a_whole_and_is_seen_by_its_session() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    playground.pause("fra").await;
    let played = play(&fra, "", &[transaction(&[ONE, TWO]), see("one")]).await;
    assert_eq!(played.results[0], json!({ "rows": [["two"]] }));
    played.assert_value(1);
    play(&fra, &played.bookmark, &[see("two")]).await.assert_value(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_transaction_is_there_that_failed() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    playground
        .primary()
        .ask("CREATE TABLE later (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO later VALUES (1)")
        .await
        .unwrap();
    let cases = [
        (transaction(&[ONE, "SELECT 1 / 0", TWO]), ("statement-failed", 500, "22012")),
        // COMMIT would say no error, and roll back.
        (transaction(&[ONE, "SELECT 1 / 0", "swallow"]), ("statement-failed", 500, "22012")),
        (transaction(&[ONE, "abandon"]), ("rolled-back", 409, "")),
        (transaction(&[ONE, "give-up"]), ("not-found", 404, "")),
        (transaction(&[ONE, "INSERT INTO later VALUES (1)"]), ("statement-failed", 500, "23505")),
        (transaction(&[ONE, "SELECT pg_terminate_backend(pg_backend_pid())"]), ("rolled-back", 409, "57P01")),
    ];
    for (step, expected) in cases {
        let played = play(&fra, "", std::slice::from_ref(&step)).await;
        assert_eq!(played.problem(), expected, "{step}");
        assert!(!played.wrote, "{step}");
        assert_eq!(playground.count("").await, "0", "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_transactions_that_wait_for_each_other_is_rolled_back_and_can_be_repeated() {
    let playground = Playground::with(&[("deadlock_timeout", "100ms")]).await;
    let fra = playground.machine("fra").await;
    playground.primary().ask("INSERT INTO notes (note) VALUES ('a'), ('b')").await.unwrap();
    let update = |note: &str, mark: &str| format!("UPDATE notes SET note = note || '{mark}' WHERE note LIKE '{note}%'");
    let (a, b) = (update("a", "x"), update("b", "x"));
    let wait = "SELECT pg_sleep(0.3)";
    let (one, other) = ([transaction(&[&a, wait, &b])], [transaction(&[&b, wait, &a])]);
    let (one, other) = futures::join!(play(&fra, "", &one), play(&fra, "", &other));
    let failed = if one.results[0]["problem"].is_null() { &other } else { &one };
    assert_eq!(failed.problem(), ("rolled-back", 409, "40P01"), "{one:?} {other:?}");
    let notes = playground.primary().ask("SELECT string_agg(note, ',' ORDER BY note) FROM notes").await.unwrap();
    assert_eq!(notes, "ax,bx", "the other one is there, once");
}

const NOTES: &str = "SELECT count(*) FROM notes";

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_reads_has_one_view_of_the_nearest_database_that_has_seen_what_the_session_has() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    let settings = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), \
                    pg_is_in_recovery()";
    let played = play(&fra, "", &[read_transaction(&[NOTES, settings])]).await;
    assert!(is_home(played.last().0), "{played:?}");
    assert_eq!(played.last().2, &json!([["repeatable read", "on", true]]));
    assert!(!played.wrote);

    playground.pause("fra").await;
    let wrote = play(&fra, "", &[add("mine")]).await;
    let played = play(&fra, &wrote.bookmark, &[read_transaction(&[settings, NOTES])]).await;
    assert_eq!(played.last(), ("configured", "bookmark-behind", &json!([[1]])));
    // What it has seen, the session does not go back behind.
    let later = play(&fra, &played.bookmark, &[see("mine")]).await;
    assert_eq!(later.last(), ("configured", "bookmark-behind", &json!([[1]])));

    playground.resume("fra").await;
    replayed(&playground.cluster, "fra").await;
    let played = play(&fra, &wrote.bookmark, &[see("mine"), read_transaction(&[NOTES]), see("mine")]).await;
    assert!(is_home(played.results[1]["candidate"].as_str().unwrap()), "{played:?}");
    assert!(is_home(played.last().0), "{played:?}");
    assert_eq!((played.last().1, played.last().2), ("same-session", &json!([[1]])));

    // After a write in the same session: on the primary.
    playground.pause("fra").await;
    let played = play(&fra, "", &[read(NOTES), add("more"), read_transaction(&[NOTES])]).await;
    assert_eq!(played.last(), ("configured", "same-session", &json!([[2]])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_reads_writes_nothing_and_leaves_nothing_open() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    let cases = [
        (read_transaction(&[NOTES, "INSERT INTO notes (note) VALUES ('x')"]), ("statement-failed", 500, "25006")),
        (read_transaction(&[NOTES, "SELECT nextval('notes_id_seq')"]), ("statement-failed", 500, "25006")),
        (read_transaction(&[NOTES, "SELECT 1 / 0", "swallow"]), ("statement-failed", 500, "22012")),
        (read_transaction(&[NOTES, "give-up"]), ("not-found", 404, "")),
        (read_transaction(&[NOTES, "nonsense"]), ("statement-failed", 500, "42601")),
    ];
    for (step, expected) in cases {
        let played = play(&fra, "", std::slice::from_ref(&step)).await;
        assert_eq!(played.problem(), expected, "{step}");
        assert!(!played.wrote, "{step}");
    }
    assert_eq!(playground.count("").await, "0");
    for server in playground.cluster.servers() {
        let open = "SELECT count(*)::text FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        assert_eq!(server.ask(open).await.unwrap(), "0", "{}", server.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_not_replayed_yet_is_read_in_a_transaction_on_the_primary() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    playground.pause("fra").await;
    playground.primary().ask("CREATE TABLE fresh (); GRANT SELECT ON fresh TO PUBLIC").await.unwrap();
    let played = play(&fra, "", &[read_transaction(&[NOTES, "SELECT count(*) FROM fresh"])]).await;
    assert_eq!(played.last(), ("configured", "replica-refused", &json!([[0]])));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_conflict_with_recovery_before_or_after_their_first_row_are_answered_whole() {
    let playground = Playground::with(&[("max_standby_streaming_delay", "0"), ("autovacuum", "off")]).await;
    let fra = playground.machine("fra").await;
    let fill = "CREATE TABLE wide AS SELECT n, repeat('x', 6000) AS filler FROM generate_series(1, 40) AS n; \
                ALTER TABLE wide ALTER filler SET STORAGE PLAIN; GRANT ALL ON wide TO PUBLIC";
    playground.primary().ask(fill).await.unwrap();
    replayed(&playground.cluster, "fra").await;
    // The server sends what 8 KB of rows it has; the whole takes a second.
    let late = "SELECT n, filler FROM wide WHERE pg_sleep(0.025) IS NOT NULL";
    // Nothing is sent before the end.
    let early = "SELECT count(*) FROM wide WHERE pg_sleep(0.025) IS NOT NULL";
    let cases = [(read(late), 40), (read(early), 1), (read_transaction(&[NOTES, late]), 40)];
    for (number, (step, rows)) in (1..).zip(cases) {
        // A conflict counts against the replica, for a second.
        let home = eventually(DEADLINE, "the replica to be read from", async || {
            is_home(get(&fra).await.header("database-candidate")).then_some(())
        });
        home.await.unwrap();
        let script = std::slice::from_ref(&step);
        let remove = async {
            let reads = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.025)%' \
                         AND state = 'active' AND pid <> pg_backend_pid()";
            let running = eventually(DEADLINE, "the read on the replica", async || {
                (playground.cluster.server("fra").ask(reads).await.ok()? == "1").then_some(())
            });
            running.await.unwrap();
            for statement in ["UPDATE wide SET n = n", "VACUUM wide"] {
                playground.primary().ask(statement).await.unwrap();
            }
        };
        let (played, ()) = futures::join!(play(&fra, "", script), remove);
        assert_eq!(played.last().2.as_array().unwrap().len(), rows, "{step}");
        let log = playground.cluster.server("fra").log();
        let conflicts = log.matches("canceling statement due to conflict with recovery").count();
        assert!(conflicts >= number, "{step}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_does_not_fit_is_named() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    let typed = |statement: &str| json!({ "typed": statement });
    let good = play(&fra, "", &[typed("SELECT 7::bigint AS value")]).await;
    assert_eq!(good.results[0], json!({ "rows": 7 }));
    let cases = [
        ("SELECT 7::bigint AS other, 8 AS more", "there is no column `value`: write one of `other`, `more`"),
        ("SELECT NULL::bigint AS value", "the column `value` is NULL, which `i64` has no place for"),
        ("SELECT 'x'::text AS value", "the column `value` is of the type DbDataType::Str, which is no `i64`"),
    ];
    for (statement, expected) in cases {
        let played = play(&fra, "", &[typed(statement)]).await;
        assert_eq!(played.problem(), ("unusable-row", 500, ""), "{statement}");
        let detail = played.results[0]["body"]["detail"].as_str().unwrap();
        assert!(detail.starts_with(expected), "{detail}");
    }
    let none = play(&fra, "", &[read("SELECT 1 WHERE false")]).await;
    assert_eq!(none.last().2, &json!([]));
}
