//! The adapter: what an app has written, its Machine reads at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use host_tests::wait::eventually;
use serde_json::json;
use url::Url;

use crate::adapted::{
    Adapted, App, NOTES, Outcome, PLACE, VERSIONS, add, at_once, does, on, outcomes, run, send, values,
};
use crate::scenario::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_on_every_other_connection_of_the_machine_while_no_replica_replays() {
    let adapted = Adapted::new().await;
    adapted.cluster.server("fra").pause_replay().await.unwrap();
    let fra = adapted.machine("fra").await;
    for (number, version) in (1..).zip(VERSIONS) {
        let outcomes = run(&fra, version, &[on(0, PLACE), add(1, version), on(2, NOTES), on(3, PLACE)]).await;
        assert_eq!(outcomes[1].count, 1, "{outcomes:?}");
        assert_eq!((outcomes[2].value(), outcomes[3].value()), (number.to_string().as_str(), "sjc"), "{version}");
        // Requests of other instances: each of these has an instance of its own, or shares one.
        let others = (0..8).map(|_| async { run(&fra, version, &[on(0, NOTES)]).await });
        for outcomes in futures::future::join_all(others).await {
            assert_eq!(values(&outcomes), [number.to_string()], "{version}");
        }
    }
    // When the replica has what was written, it is read from again.
    adapted.cluster.server("fra").resume_replay().await.unwrap();
    let home = eventually(DEADLINE, "the replica to be read from", async || {
        let outcomes = run(&fra, "4.2.0", &[on(0, PLACE), on(0, NOTES)]).await;
        (values(&outcomes) == ["fra", "4"]).then_some(())
    });
    home.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_have_just_asked_the_store_see_a_write_as_soon_as_it_is_told_of() {
    // One at a time, and when: on the clock of this machine, as everything here.
    const READ: &str = "SELECT count(*) || ' ' || extract(epoch FROM now())::float8 FROM notes";
    let adapted = Adapted::new().await;
    let fra = adapted.machine("fra").await;
    let replica = adapted.cluster.server("fra");
    for (number, version) in (1..).zip(VERSIONS.repeat(4)) {
        let home = eventually(DEADLINE, "the replica to be read from", async || {
            (values(&run(&fra, "4.2.0", &[on(0, PLACE)]).await) == ["fra"]).then_some(())
        });
        home.await.unwrap();
        replica.pause_replay().await.unwrap();
        let told = AtomicBool::new(false);
        let write = async {
            let outcomes = run(&fra, version, &[add(0, &format!("{version} {number}"))]).await;
            let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
            told.store(true, Ordering::SeqCst);
            assert_eq!(outcomes[0].count, 1, "{outcomes:?}");
            at
        };
        // More of them than one instance takes at once.
        let readers = (0..20).map(|_| async {
            let mut reads = Vec::new();
            while !told.load(Ordering::SeqCst) {
                let outcomes = run(&fra, "4.2.0", &vec![on(0, READ); 40]).await;
                reads.extend(values(&outcomes).into_iter().map(|read| {
                    let (count, at) = read.split_once(' ').unwrap();
                    (count.parse::<u64>().unwrap(), at.parse::<f64>().unwrap())
                }));
            }
            reads
        });
        let (told_at, reads) = futures::join!(write, futures::future::join_all(readers));
        for pair in reads.iter().flat_map(|reads| reads.windows(2)) {
            let [(_, before), (count, _)] = pair else { unreachable!("there are two") };
            assert!(*before < told_at || *count == number, "{version}: {pair:?}, told of at {told_at}");
        }
        replica.resume_replay().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_returned_by_a_write_is_not_taken_for_its_end() {
    let adapted = Adapted::new().await;
    adapted.cluster.server("fra").pause_replay().await.unwrap();
    let fra = adapted.machine("fra").await;
    let insert = "INSERT INTO notes (note) SELECT 'note ' || n FROM generate_series(1, 500) AS n RETURNING id";
    let outcomes = run(&fra, "4.2.0", &[on(0, insert), on(1, NOTES)]).await;
    assert_eq!((outcomes[0].count, outcomes[1].value()), (500, "500"));
    // Given up after a row, it happens all the same.
    let insert = "INSERT INTO notes (note) SELECT 'more ' || n FROM generate_series(1, 500) AS n RETURNING id";
    run(&fra, "4.2.0", &[json!({ "statement": insert, "take": 1 })]).await;
    let there = eventually(DEADLINE, "the rows", async || {
        let outcomes = run(&fra, "4.2.0", &[on(0, NOTES)]).await;
        (values(&outcomes) == ["1000"]).then_some(())
    });
    there.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_begin_at_the_same_time_on_one_connection_are_all_answered_and_it_stays_on_the_primary() {
    let adapted = Adapted::new().await;
    let fra = adapted.machine("fra").await;
    for round in 0..20 {
        let mut steps = vec![on(0, PLACE); 4];
        steps.insert(round % 5, add(0, &format!("at once {round}")));
        steps.extend([on(0, PLACE), on(0, NOTES)]);
        let outcomes = run(&fra, "4.2.0", &[at_once(&steps[..5]), steps[5..].to_vec()].concat()).await;
        assert!(outcomes.iter().all(|outcome| outcome.error.is_none() && outcome.count > 0), "{outcomes:?}");
        let last: Vec<_> = outcomes[5..].iter().map(Outcome::value).collect();
        assert_eq!(last, ["sjc", &(round + 1).to_string()], "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_begun_beside_a_slow_read_stays_on_its_connection() {
    let adapted = Adapted::new().await;
    let fra = adapted.machine("fra").await;
    let slow = "SELECT count(*) FROM generate_series(1, 2000000)";
    let steps = [on(0, slow), does(0, "BEGIN"), add(0, "undone"), does(0, "ROLLBACK")];
    let outcomes = run(&fra, "4.2.0", &[at_once(&steps[..2]), steps[2..].to_vec()].concat()).await;
    assert!(outcomes.iter().all(|outcome| outcome.error.is_none()), "{outcomes:?}");
    assert_eq!(adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_comes_whole_right_after_a_write() {
    let adapted = Adapted::new().await;
    let fra = adapted.machine("fra").await;
    let many = "SELECT n, repeat('x', 200) FROM generate_series(1, 20000) AS n";
    for round in 0..4 {
        for version in VERSIONS {
            let outcomes = run(&fra, version, &[add(0, &format!("{version} {round}")), on(1, many)]).await;
            assert_eq!((outcomes[1].count, &outcomes[1].error), (20_000, &None), "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_read_from_a_replica_sees_what_another_has_written_since() {
    let adapted = Adapted::new().await;
    adapted.cluster.server("fra").pause_replay().await.unwrap();
    for version in VERSIONS {
        let fra = adapted.machine("fra").await;
        let before = adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap();
        let after = (before.parse::<u32>().unwrap() + 1).to_string();
        let outcomes = run(&fra, version, &[on(0, PLACE), add(1, version), on(0, NOTES), on(0, PLACE)]).await;
        assert_eq!(
            [outcomes[0].value(), outcomes[2].value(), outcomes[3].value()],
            ["fra", &after, "sjc"],
            "{version}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_writes_runs_once_on_the_primary() {
    let adapted = Adapted::new().await;
    let schema = "CREATE FUNCTION take() RETURNS bigint LANGUAGE sql AS
                      'INSERT INTO notes (note) VALUES (clock_timestamp()::text) RETURNING id';
                  CREATE VIEW taken AS SELECT take() AS id; GRANT ALL ON taken TO PUBLIC";
    adapted.primary().ask(schema).await.unwrap();
    for (number, version) in (1..).zip(VERSIONS) {
        let fra = adapted.machine("fra").await;
        crate::playground::replayed(&adapted.cluster, "fra").await;
        let outcomes = run(&fra, version, &[on(0, PLACE), on(0, "SELECT id FROM taken")]).await;
        assert_eq!((outcomes[0].value(), outcomes[1].count, &outcomes[1].error), ("fra", 1, &None), "{version}");
        let there = adapted.primary().ask("SELECT count(*)::text FROM notes").await.unwrap();
        assert_eq!(there, number.to_string(), "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_app_gave_up_is_seen_once_it_is_there() {
    let adapted = Adapted::new().await;
    adapted.cluster.server("fra").pause_replay().await.unwrap();
    let fra = adapted.machine("fra").await;
    let slow = "INSERT INTO notes (note) SELECT 'slow' FROM pg_sleep(1)";
    for (execute, expected) in [(true, "1"), (false, "2")] {
        let slow = slow.replace("slow'", &format!("slow {execute}'"));
        let step = json!({ "statement": slow, "execute": execute, "give_up_ms": 300 });
        let outcomes = run(&fra, "4.2.0", &[on(1, PLACE), step]).await;
        assert_eq!(outcomes[1].error.as_deref(), Some("given up"));
        let there = eventually(DEADLINE, "the write", async || {
            (adapted.primary().ask("SELECT count(*)::text FROM notes").await.ok()? == expected).then_some(())
        });
        there.await.unwrap();
        assert_eq!(values(&run(&fra, "4.2.0", &[on(0, NOTES)]).await), [expected], "execute: {execute}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_and_what_was_refused_leaves_reads_where_they_are() {
    let adapted = Adapted::new().await;
    adapted.primary().ask("INSERT INTO notes (note) VALUES ('there')").await.unwrap();
    adapted.cluster.server("fra").pause_replay().await.unwrap();
    for version in VERSIONS {
        let fra = adapted.machine("fra").await;
        let twice = on(1, "INSERT INTO notes (note) VALUES ('there') RETURNING id");
        for step in [on(1, "SHOW server_version"), does(1, "SET work_mem = '1MB'"), does(1, "BEGIN"), twice] {
            let outcomes = run(&fra, version, &[step.clone(), on(2, PLACE)]).await;
            assert_eq!(outcomes[1].value(), "fra", "{version}: {step}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_by_another_form_of_the_address_is_seen() {
    let adapted = Adapted::new().await;
    adapted.cluster.server("fra").pause_replay().await.unwrap();
    let fra = adapted.machine("fra").await;
    let url = Url::parse(&adapted.setup("fra", App::WithAdapter).environment["DATABASE_URL"]).unwrap();
    let (host, port, user) = (url.host_str().unwrap(), url.port().unwrap(), url.username());
    let forms = [
        format!("host={host} port={port} user={user} dbname=postgres sslmode=disable"),
        format!("postgres://{user}@{host}:{port}?sslmode=disable"),
        format!("postgres://{user}@{host}:{port},{host}:{port}/postgres?sslmode=disable"),
    ];
    for (number, address) in (1..).zip(forms) {
        let script = json!({ "address": address, "steps": [add(0, &address)] });
        let written = outcomes(&send(&fra, "4.2.0", &script).await.unwrap().body);
        assert_eq!((written[0].count, &written[0].error), (1, &None), "{address}");
        assert_eq!(values(&run(&fra, "4.2.0", &[on(0, NOTES)]).await), [number.to_string()], "{address}");
    }
}
