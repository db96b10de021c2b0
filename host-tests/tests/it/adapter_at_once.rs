//! The adapter: statements that an app begins at once on one connection are handed on in the order of the calls, on that one
//! connection, and no other request's write goes into their transactions.

use std::time::Duration;

use futures::future::join_all;
use host_tests::fault::{Fault, FaultProxy};
use host_tests::machine::{Routes, Setup};
use host_tests::postgres::USER;
use host_tests::wait::eventually;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::adapted::{Adapted, App, Outcome, PLACE, VERSIONS, add, at_once, does, on, run};
use crate::adapter_differential::seed;
use crate::scenario::DEADLINE;

/// Where the app runs, and what it is behind.
const PLACES: [(&str, App); 3] = [("fra", App::WithAdapter), ("fra", App::WithBoth), ("sjc", App::WithAdapter)];

/// Sessions that Spin's pool has taken back inside a transaction.
const LEFT_OPEN: &str = "SELECT count(*)::text FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";

#[tokio::test(flavor = "multi_thread")]
async fn transactions_begun_at_once_take_no_other_requests_writes() {
    let adapted = Adapted::new().await;
    for (number, (region, app)) in PLACES.into_iter().enumerate() {
        // With the middleware a write of `fra` would ask for its replay, which nobody does here.
        let setup = adapted.setup(region, app).env("SPIN_VARIABLE_REPLAY", "off");
        let machine = adapted.start(setup).await;
        for round in 0..30 {
            let steps = [does(0, "BEGIN"), add(0, &format!("{number} at once {round}")), does(0, "COMMIT")];
            assert_all_succeed(&run(&machine, "4.2.0", &at_once(&steps)).await);
        }
        let plain = (0..40).map(|plain| format!("{number} plain {plain}"));
        let told = plain.map(async |note| run(&machine, "4.2.0", &[add(0, &note)]).await);
        join_all(told).await.iter().for_each(|outcomes| assert_all_succeed(outcomes));
        let there = format!("SELECT count(*)::text FROM notes WHERE note LIKE '{number} %'");
        assert_eq!(adapted.primary().ask(&there).await.unwrap(), "70", "{region}, {app:?}");
        assert_eq!(adapted.primary().ask(LEFT_OPEN).await.unwrap(), "0", "{region}, {app:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_at_once_is_not_there() {
    let adapted = Adapted::new().await;
    for (region, app) in [("fra", App::WithAdapter), ("sjc", App::WithAdapter)] {
        let machine = adapted.start(adapted.setup(region, app)).await;
        for round in 0..60 {
            let mut steps = vec![does(0, "BEGIN"), add(0, &format!("{region} {round}")), does(0, "ROLLBACK")];
            if round % 2 == 0 {
                // On a connection that has read before.
                steps.insert(0, on(0, PLACE));
            }
            assert_all_succeed(&run(&machine, "4.2.0", &at_once(&steps)).await);
        }
        assert_eq!(adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap(), "0", "{region}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_written_changed_and_deleted_in_the_order_of_the_calls() {
    let adapted = Adapted::new().await;
    for region in ["fra", "sjc"] {
        let machine = adapted.machine(region).await;
        for round in 0..40 {
            let note = format!("{region} {round}");
            let change = |text: &str| does(0, &format!("{text} WHERE note LIKE '{note}%'"));
            let steps = [add(0, &note), change("UPDATE notes SET note = note || '!'"), change("DELETE FROM notes")];
            let outcomes = run(&machine, "4.2.0", &at_once(&steps)).await;
            assert_all_succeed(&outcomes);
            assert_eq!(outcomes.iter().map(|outcome| outcome.count).collect::<Vec<_>>(), [1, 1, 1], "{outcomes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_an_app_leaves_open_is_rolled_back() {
    let adapted = Adapted::new().await;
    for region in ["fra", "sjc"] {
        for version in VERSIONS {
            let machine = adapted.machine(region).await;
            let left = [does(0, "/* mine */ BEGIN"), add(0, &format!("{region} {version} left"))];
            assert_all_succeed(&run(&machine, version, &left).await);
            let closed = eventually(DEADLINE, "the transaction to be rolled back", async || {
                (adapted.primary().ask(LEFT_OPEN).await.ok()? == "0").then_some(())
            });
            closed.await.unwrap();
            for plain in 0..4 {
                assert_all_succeed(&run(&machine, version, &[add(0, &format!("{region} {version} {plain}"))]).await);
            }
        }
    }
    let notes = adapted.primary().ask("SELECT count(*) || ' ' || count(*) FILTER (WHERE note LIKE '%left') FROM notes");
    assert_eq!(notes.await.unwrap(), "32 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_is_given_up_leaves_no_transaction_open() {
    let adapted = Adapted::new().await;
    let link = FaultProxy::before(adapted.primary().address()).await.unwrap();
    let routes = Routes { configured: link.address(), ..Routes::to(&adapted.cluster, "sjc") };
    let setup = Setup::with_routes("sjc", USER, &routes, &adapted.host);
    let machine = adapted.start(Setup { manifest: Some(App::WithAdapter.manifest()), ..setup }).await;
    assert_all_succeed(&run(&machine, "4.2.0", &[add(0, "first")]).await);
    // Two round trips of 60 ms, behind one for the connection: whatever the moment, also between the second and its answer.
    link.set(Fault::Delay(Duration::from_millis(30)));
    let mut given_up = 0;
    for ms in (20..260).step_by(10) {
        let begin = json!({ "statement": "BEGIN", "execute": true, "give_up_ms": ms, "close": true });
        let outcomes = run(&machine, "4.2.0", &[begin, add(1, &format!("plain {ms}"))]).await;
        given_up += usize::from(outcomes[0].error.is_some());
        assert_eq!((outcomes[1].count, &outcomes[1].error), (1, &None), "{ms} ms");
        let closed = eventually(DEADLINE, "no transaction to be open", async || {
            (adapted.primary().ask(LEFT_OPEN).await.ok()? == "0").then_some(())
        });
        closed.await.unwrap_or_else(|error| panic!("given up after {ms} ms: {error:#}"));
    }
    assert!(given_up >= 10, "{given_up} were given up");
    assert_eq!(adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap(), "25");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_open_fails_all_that_was_begun_meanwhile() {
    let adapted = Adapted::new().await;
    let primary = adapted.primary();
    let machine = adapted.machine("fra").await;
    primary.end(nix::sys::signal::Signal::SIGKILL).unwrap();
    let steps = at_once(&[does(0, "BEGIN"), add(0, "a"), add(0, "b"), does(0, "COMMIT")]);
    let outcomes = run(&machine, "4.2.0", &steps).await;
    for outcome in &outcomes {
        assert!(outcome.error.as_ref().is_some_and(|error| error.contains("ConnectionFailed")), "{outcomes:?}");
    }
    primary.start().await.unwrap();
    // On the same connection of the app's as well it is opened anew.
    assert_all_succeed(&run(&machine, "4.2.0", &[add(0, "c")]).await);
    assert_eq!(primary.ask("SELECT string_agg(note, ' ') FROM notes").await.unwrap(), "c");
}

#[track_caller]
fn assert_all_succeed(outcomes: &[Outcome]) {
    assert!(outcomes.iter().all(|outcome| outcome.error.is_none()), "{outcomes:?}");
}

/// Scripts for each side, at how many at a time.
const SCRIPTS: usize = 480;
const AT_A_TIME: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_at_once_at_random_ends_as_without_the_adapter() {
    let seed = seed();
    println!("DIFFERENTIAL_SEED={seed}");
    let adapted = Adapted::new().await;
    let schema = "CREATE TABLE numbers (script int, id int, value bigint, PRIMARY KEY (script, id));
                  CREATE TABLE others (id int PRIMARY KEY); GRANT ALL ON numbers, others TO PUBLIC";
    let mut sides = Vec::new();
    for (database, app) in [("direct", App::Alone), ("adapted", App::WithAdapter)] {
        adapted.primary().ask(&format!("CREATE DATABASE {database}")).await.unwrap();
        let setup = adapted.setup("fra", app);
        let url = &setup.environment["DATABASE_URL"];
        let (before, after) = url.rsplit_once("/postgres").expect("the name of the database");
        let url = format!("{before}/{database}{after}");
        let machine = adapted.start(setup.env("DATABASE_URL", url)).await;
        let schema = format!("DO $do$ BEGIN EXECUTE $sql$ {schema} $sql$; END $do$");
        assert_all_succeed(&run(&machine, "4.2.0", &[does(0, &schema)]).await);
        sides.push(machine);
    }
    let mut random = StdRng::seed_from_u64(seed);
    let (mut others, mut groups, mut failed) = (0, 0, 0);
    for first in (0..SCRIPTS).step_by(AT_A_TIME) {
        let scripts: Vec<_> = (first..first + AT_A_TIME).map(|number| script(&mut random, number)).collect();
        let plain: Vec<_> =
            (others..others + AT_A_TIME).map(|id| format!("INSERT INTO others VALUES ({id})")).collect();
        let mut ends = Vec::new();
        for machine in &sides {
            let both = futures::future::join(
                join_all(scripts.iter().map(|steps| run(machine, "4.2.0", steps))),
                join_all(plain.iter().map(async |insert| run(machine, "4.2.0", &[does(0, insert)]).await)),
            );
            let (ended, told) = both.await;
            told.iter().for_each(|outcomes| assert_all_succeed(outcomes));
            ends.push(ended);
        }
        others += AT_A_TIME;
        let [direct, behind] = &ends[..] else { unreachable!("there are two sides") };
        for ((steps, direct), behind) in scripts.iter().zip(direct).zip(behind) {
            let said = |outcomes: &[Outcome]| outcomes.iter().map(said).collect::<Vec<_>>();
            assert_eq!(said(behind), said(direct), "DIFFERENTIAL_SEED={seed}: {steps:#?}");
            groups += steps.iter().filter(|step| step["with_next"].is_null()).count();
            failed += direct.iter().filter(|outcome| outcome.error.is_some()).count();
        }
    }
    assert!(groups > 1000 && failed > 100, "{groups} groups, {failed} failures");
    let mut left = Vec::new();
    for machine in &sides {
        let numbers =
            "SELECT md5(string_agg(script || ' ' || id || ' ' || value, ',' ORDER BY script, id)) FROM numbers";
        let outcomes = run(machine, "4.2.0", &[on(0, numbers), on(0, "SELECT count(*) FROM others")]).await;
        assert_eq!(outcomes[1].value(), others.to_string(), "every plain write that was told of is there");
        left.push(outcomes[0].value().to_owned());
    }
    assert_eq!(left[0], left[1], "DIFFERENTIAL_SEED={seed}");
}

/// What was told of a statement, errors by their SQLSTATE: which part of the server refuses what comes after a failure, and
/// which words a lost connection has, depends on how far behind each other statements are.
fn said(outcome: &Outcome) -> (Vec<String>, u64, Option<String>) {
    let error = outcome.error.as_ref().map(|error| {
        let code = error.split(", code: \"").nth(1).and_then(|rest| rest.split('"').next());
        let lost = ["kind: Closed", "kind: Io"].iter().any(|lost| error.contains(lost)) || code == Some("57P01");
        if lost { "lost" } else { code.unwrap_or(error) }.to_owned()
    });
    (outcome.rows.clone(), outcome.count, error)
}

/// Groups of statements on fresh and used connections, each begun at once, over rows of the script's own.
fn script(random: &mut StdRng, number: usize) -> Vec<Value> {
    let mut steps = Vec::new();
    for _ in 0..random.random_range(2..5) {
        let connection = random.random_range(0..3);
        let mut group: Vec<Value> = Vec::new();
        let count = random.random_range(2..=8);
        while group.len() < count {
            if random.random_bool(0.25) && group.len() + 3 <= 8 {
                group.push(does(connection, "BEGIN"));
                for _ in 0..random.random_range(1..=8 - group.len() - 1) {
                    group.push(statement(random, connection, number, 11));
                }
                if random.random_bool(0.3) {
                    group.insert(group.len() - 1, does(connection, "SAVEPOINT a"));
                    group.push(does(connection, "ROLLBACK TO a"));
                    group.push(statement(random, connection, number, 11));
                }
                group.push(does(connection, ["COMMIT", "COMMIT", "ROLLBACK"][random.random_range(0..3)]));
            } else {
                group.push(statement(random, connection, number, 12));
            }
        }
        if random.random_bool(0.05) {
            group.push(on(connection, "SELECT pg_terminate_backend(pg_backend_pid())"));
        }
        let mut group = at_once(&group);
        if random.random_bool(0.3) {
            group.last_mut().expect("it has two at least")["close"] = true.into();
        }
        steps.extend(group);
    }
    steps
}

/// One of the first `kinds`. What the server refuses to read is not for transactions: without the adapter Spin's client has
/// it read before the transaction has begun, which then does not fail.
fn statement(random: &mut StdRng, connection: usize, script: usize, kinds: u32) -> Value {
    let (id, value) = (random.random_range(0..4), random.random_range(0..10));
    let row = format!("WHERE script = {script} AND id = {id}");
    match random.random_range(0..kinds) {
        0..4 => on(connection, &format!("SELECT count(*), sum(value) FROM numbers WHERE script = {script}")),
        4..7 => does(connection, &format!("INSERT INTO numbers VALUES ({script}, {id}, {value})")),
        7..9 => does(connection, &format!("UPDATE numbers SET value = value * 3 % 1000 + {value} {row}")),
        9 => on(connection, &format!("DELETE FROM numbers {row} RETURNING value")),
        10 => on(connection, &format!("SELECT value / {} FROM numbers {row}", value % 2)),
        _ => on(connection, &format!("SELECT {id} FROM nowhere")),
    }
}
