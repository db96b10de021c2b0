//! Transactions: all of it or nothing, and columns by their names.

use serde_json::json;

use crate::playground::{Playground, play, read, see, transaction};

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
