//! The adapter: where the statements of an app run that knows nothing of regions.

use std::sync::Arc;

use host_tests::client::Client;
use host_tests::wait::eventually;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::adapted::{Adapted, App, NOTES, PLACE, VERSIONS, add, does, on, outcomes, run, send, values};
use crate::scenario::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_reads_from_its_region_and_writes_on_the_primary_by_every_version() {
    let adapted = Adapted::new().await;
    for (region, reads) in [("fra", "fra"), ("syd", "syd"), ("sjc", "sjc")] {
        for version in VERSIONS {
            // Of its own, which nobody has written on.
            let machine = adapted.machine(region).await;
            let note = format!("{region} {version}");
            let insert = format!("INSERT INTO notes (note) VALUES ('{note}') RETURNING (SELECT name FROM place)");
            // On one connection: once on the primary, it stays there.
            let outcomes = run(&machine, version, &[on(0, PLACE), on(0, PLACE), on(0, &insert), on(0, PLACE)]).await;
            assert_eq!(values(&outcomes), [reads, reads, "sjc", "sjc"], "{note}");
        }
    }
    let alone = adapted.start(adapted.setup("fra", App::Alone)).await;
    let outcomes = run(&alone, "4.2.0", &[on(0, PLACE)]).await;
    assert_eq!(values(&outcomes), ["sjc"], "without the adapter");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_can_be_kept_on_the_primary() {
    let adapted = Adapted::new().await;
    let setup = adapted.setup("fra", App::WithAdapter).env("SPIN_VARIABLE_READS", "primary");
    let machine = adapted.start(setup).await;
    for version in VERSIONS {
        assert_eq!(values(&run(&machine, version, &[on(0, PLACE)]).await), ["sjc"], "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_settings_temporary_tables_and_sequences_behave_as_on_one_database() {
    let adapted = Adapted::new().await;
    let fra = adapted.machine("fra").await;
    for version in VERSIONS {
        let steps = [
            does(0, "CREATE TEMPORARY TABLE mine (n int)"),
            does(0, "INSERT INTO mine VALUES (1)"),
            on(0, "SELECT count(*) FROM mine"),
            does(0, "SET search_path = pg_temp, public"),
            on(0, "SHOW search_path"),
            does(0, "DROP TABLE mine"),
            does(0, "RESET search_path"),
            does(1, "BEGIN"),
            add(1, "undone"),
            on(1, NOTES),
            does(1, "ROLLBACK"),
            on(1, NOTES),
            on(2, "SELECT nextval('notes_id_seq') > 0"),
            on(2, "SELECT currval('notes_id_seq') > 0"),
        ];
        let outcomes = run(&fra, version, &steps).await;
        let shown: Vec<_> = [2, 4, 9, 11, 12, 13].map(|step: usize| outcomes[step].value()).into();
        assert_eq!(shown, ["1", "pg_temp, public", "1", "0", "true", "true"], "{version}: {outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn advisory_locks_exclude_between_regions() {
    let adapted = Adapted::new().await;
    let (fra, syd) = (adapted.machine("fra").await, adapted.machine("syd").await);
    adapted
        .primary()
        .ask("CREATE FUNCTION lock_it() RETURNS boolean LANGUAGE sql AS 'SELECT pg_try_advisory_xact_lock(7)'")
        .await
        .unwrap();
    // Held for as long as the transaction of the first, in which the second asks.
    let held = "BEGIN";
    for lock in ["SELECT pg_try_advisory_xact_lock(7)", "SELECT lock_it()"] {
        let sleeps = [does(0, held), on(0, lock), on(0, "SELECT pg_sleep(1)"), does(0, "ROLLBACK")];
        let second = async {
            let locked = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'";
            let taken = eventually(DEADLINE, "the lock", async || {
                (adapted.primary().ask(locked).await.ok()? == "1").then_some(())
            });
            taken.await.unwrap();
            run(&syd, "4.2.0", &[on(0, lock)]).await
        };
        let (first, second) = futures::join!(run(&fra, "4.2.0", &sleeps), second);
        assert_eq!((first[1].value(), second[0].value()), ("true", "false"), "{lock}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_killed_or_hangs_fails_no_read() {
    let adapted = Adapted::new().await;
    let fra = adapted.machine("fra").await;
    let mut client = fra.client().await.unwrap();
    assert_eq!(rows(&mut client).await, 3);
    adapted.cluster.server("fra").signal_all(Signal::SIGSTOP).unwrap();
    for _ in 0..8 {
        assert_eq!(rows(&mut client).await, 3);
    }
    adapted.cluster.server("fra").signal_all(Signal::SIGCONT).unwrap();
    let home = eventually(DEADLINE, "the replica to be read from", async || {
        (values(&run(&fra, "4.2.0", &[on(0, PLACE)]).await) == ["fra"]).then_some(())
    });
    home.await.unwrap();
    adapted.cluster.server("fra").end(Signal::SIGKILL).unwrap();
    for version in VERSIONS {
        let moved = eventually(DEADLINE, "the primary to be read from", async || {
            (values(&run(&fra, version, &[on(0, PLACE)]).await) == ["sjc"]).then_some(())
        });
        moved.await.unwrap_or_else(|error| panic!("{version}: {error:#}: {}", fra.logs()));
    }
    assert!(fra.logs().contains("event=moved-on region=fra candidate="), "{}", fra.logs());
}

async fn rows(client: &mut Client) -> u64 {
    let answer = client.get("/3").await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str::<Value>(&answer.body).unwrap()["rows"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_streamed_and_an_answer_that_is_given_up_frees_its_connection() {
    let adapted = Adapted::new().await;
    let fra = Arc::new(adapted.machine("fra").await);
    // Of an answer that the app has stopped to take the server keeps the rest, while the app takes a million other rows.
    let held = "SELECT n, repeat('x', 100) FROM generate_series(1, 1000001) AS n";
    let script = json!({ "steps": [{ "statement": held, "take": 10, "pause_ms": 600_000 }] });
    let (machine, waits) = (Arc::clone(&fra), "wait_event = 'ClientWrite' AND query LIKE '%1000001%'");
    let holds = tokio::spawn(async move { send(&machine, "4.2.0", &script).await });
    let waiting = format!("SELECT count(*)::text FROM pg_stat_activity WHERE {waits} AND pid <> pg_backend_pid()");
    let full = eventually(DEADLINE, "the server to wait for the app", async || {
        (adapted.cluster.server("fra").ask(&waiting).await.ok()? == "1").then_some(())
    });
    full.await.unwrap();
    let answer = fra.client().await.unwrap().get("/1000000").await.unwrap();
    assert_eq!(answer.body, r#"{"rows":1000000}"#);
    assert_eq!(adapted.cluster.server("fra").ask(&waiting).await.unwrap(), "1");
    holds.abort();
    // Spin reads on what nobody wants, with the adapter and without: it ends when its rows do.
    let many = "SELECT n FROM generate_series(1, 2000000) AS n";
    let given_up = run(&fra, "4.2.0", &[json!({ "statement": many, "take": 10 })]).await;
    assert_eq!((given_up[0].count, &given_up[0].error), (10, &None));
    let running = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%2000000%' AND state = 'active' \
                   AND pid <> pg_backend_pid()";
    let ended = eventually(4 * DEADLINE, "the statement to end on the replica", async || {
        (adapted.cluster.server("fra").ask(running).await.ok()? == "0").then_some(())
    });
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_first_row_comes_with_the_result_as_it_does_without_the_adapter() {
    let adapted = Adapted::new().await;
    let (fra, alone) = (adapted.machine("fra").await, adapted.start(adapted.setup("fra", App::Alone)).await);
    let late = [on(0, "SELECT 1 / (3000 - n) FROM generate_series(1, 10000) AS n")];
    let (with, without) = (run(&fra, "4.2.0", &late).await, run(&alone, "4.2.0", &late).await);
    assert_eq!(with, without);
    assert!(with[0].error.as_ref().is_some_and(|error| error.contains("22012")) && with[0].count > 0, "{with:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_or_read_is_said_in_spins_own_words() {
    let adapted = Adapted::new().await;
    let (fra, alone) = (adapted.machine("fra").await, adapted.start(adapted.setup("fra", App::Alone)).await);
    let addresses = [
        "postgres://a@evil.example:5432/x",
        "postgres://a@db.flycast:1/x",
        "nonsense",
        "",
        "host=db.flycast port=1",
        "postgres://[",
    ];
    for address in addresses {
        for version in VERSIONS {
            let script = json!({ "address": address, "steps": [on(0, "SELECT 1"), on(0, "INSERT INTO a VALUES (1)")] });
            let (with, without) =
                (send(&fra, version, &script).await.unwrap(), send(&alone, version, &script).await.unwrap());
            let (with, without) = (outcomes(&with.body), outcomes(&without.body));
            assert_eq!(with, without, "{address} {version}");
            assert!(with.iter().all(|outcome| outcome.error.is_some()), "{with:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_makes_no_sense_is_named_with_what_to_write() {
    let adapted = Adapted::new().await;
    let cases = [
        ("SPIN_VARIABLE_READS", "always", "`reads` is \\\\\\\"always\\\\\\\": write `replica` or `primary`"),
        (
            "SPIN_VARIABLE_DEADLINE_MS",
            "5s",
            "`deadline_ms` is \\\\\\\"5s\\\\\\\": write a whole number of milliseconds",
        ),
        ("SPIN_VARIABLE_REPLICA_PORT", "x", "`replica_port` is \\\\\\\"x\\\\\\\", which is not a port: write a number"),
    ];
    for (variable, value, expected) in cases {
        let machine = adapted.start(adapted.setup("fra", App::WithAdapter).env(variable, value)).await;
        for version in VERSIONS {
            let answer = send(&machine, version, &json!({ "steps": [on(0, "SELECT 1")] })).await.unwrap();
            assert!(answer.body.contains(expected), "{version}: {}", answer.body);
        }
    }
}

/// Every server of the cluster takes TLS, with one certificate of its own making, which is returned.
async fn with_tls(adapted: &Adapted) -> String {
    let folder = adapted.primary().ask("SHOW data_directory").await.unwrap();
    // The server makes it: nobody else may read its key, not even root's.
    let make = "umask 077; openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 \
                -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt 2> tls.log";
    adapted.primary().ask(&format!("COPY (SELECT 1) TO PROGRAM '{make}'")).await.unwrap();
    let (key, certificate) = (format!("{folder}/tls.key"), format!("{folder}/tls.crt"));
    for server in adapted.cluster.servers() {
        server.configure(&[("ssl", "on"), ("ssl_key_file", &key), ("ssl_cert_file", &certificate)]).unwrap();
        server.ask("SELECT pg_reload_conf()::text").await.unwrap();
        eventually(DEADLINE, "the server to take TLS", async || {
            (server.ask("SHOW ssl").await.ok()? == "on").then_some(())
        })
        .await
        .unwrap();
    }
    std::fs::read_to_string(certificate).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_brings_a_certificate_authority_reads_from_its_replica_over_tls() {
    let adapted = Adapted::new().await;
    let certificate = with_tls(&adapted).await;
    let setup = adapted.setup("fra", App::WithAdapter);
    let url = setup.environment["DATABASE_URL"].replace("?sslmode=disable", "");
    let machine = adapted.start(setup.env("DATABASE_URL", format!("{url}?sslmode=require"))).await;
    let encrypted = "SELECT string_agg(DISTINCT ssl::text, ' ') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE backend_type = 'client backend' AND application_name <> 'test'";
    let script = json!({"ca_root": certificate, "steps": [on(0, PLACE), add(1, "by TLS"), on(1, PLACE)]});
    let trusted = outcomes(&send(&machine, "4.2.0", &script).await.unwrap().body);
    assert_eq!([&trusted[0], &trusted[2]].map(|outcome| outcome.value()), ["fra", "sjc"]);
    for region in ["fra", "sjc"] {
        assert_eq!(adapted.cluster.server(region).ask(encrypted).await.unwrap(), "true", "{region}");
    }
    let outcomes = run(&machine, "4.2.0", &[on(0, PLACE)]).await;
    let error = outcomes[0].error.as_deref().unwrap_or_default();
    assert!(error.contains("certificate verify failed"), "who brings none trusts the machine's alone: {outcomes:?}");
}
