//! Sessions: everybody sees at once what they have written, wherever they read, and nobody sees anything older than before.

use std::time::Duration;

use host_tests::postgres::USER;
use host_tests::region::is_home;
use host_tests::wait::eventually;

use crate::playground::{Playground, add, play, read, see};
use crate::scenario::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_has_written_it_reads_at_once_in_every_region_while_no_replica_replays() {
    let playground = Playground::new().await;
    let (fra, syd, sjc) =
        (playground.machine("fra").await, playground.machine("syd").await, playground.machine("sjc").await);
    for region in ["fra", "syd"] {
        playground.pause(region).await;
    }
    let written = play(&fra, "", &[add("mine"), see("mine")]).await;
    written.assert_value(1);
    assert_eq!(written.last().1, "same-session");
    assert!(written.wrote && written.results[0]["reason"] == "write", "{written:?}");
    for (machine, reason) in [(&fra, "bookmark-behind"), (&syd, "bookmark-behind"), (&sjc, "primary-region")] {
        let seen = play(machine, &written.bookmark, &[see("mine")]).await;
        seen.assert_value(1);
        assert_eq!(seen.last().1, reason, "{seen:?}");
        assert!(seen.answer.took < DEADLINE && !seen.wrote, "{seen:?}");
        let other = play(machine, "", &[see("mine")]).await;
        other.assert_value(u8::from(reason == "primary-region"));
    }
    // A detour says nothing against a replica.
    assert!(is_home(play(&fra, "", &[see("mine")]).await.last().0));
    for region in ["fra", "syd"] {
        playground.resume(region).await;
    }
    for machine in [&fra, &syd] {
        let home = eventually(DEADLINE, "the replica to have it", async || {
            let seen = play(machine, &written.bookmark, &[see("mine")]).await;
            seen.assert_value(1);
            is_home(seen.last().0).then_some(())
        });
        home.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_for_its_replica_where_that_does_not_take_long() {
    let playground = Playground::new().await;
    let setup = playground.setup("fra").env("SPIN_VARIABLE_BOOKMARK_WAIT_MS", "500");
    let fra = playground.start(setup).await;
    // The instance has its variables and a connection.
    play(&fra, "", &[see("mine")]).await;
    playground.pause("fra").await;
    let written = play(&fra, "", &[add("mine")]).await;
    let resume = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        playground.resume("fra").await;
    };
    let reading = [see("mine")];
    let (seen, ()) = futures::join!(play(&fra, &written.bookmark, &reading), resume);
    seen.assert_value(1);
    assert!(is_home(seen.last().0), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_does_not_run_backwards_in_a_session_that_only_reads() {
    let playground = Playground::new().await;
    let (fra, syd) = (playground.machine("fra").await, playground.machine("syd").await);
    playground.pause("syd").await;
    play(&playground.machine("sjc").await, "", &[add("anothers")]).await;
    let reader = eventually(DEADLINE, "fra to have it", async || {
        let seen = play(&fra, "", &[see("anothers")]).await;
        (seen.last().2[0][0] == 1).then_some(seen)
    });
    let reader = reader.await.unwrap();
    let moved = play(&syd, &reader.bookmark, &[see("anothers")]).await;
    moved.assert_value(1);
    assert_eq!(moved.last().1, "bookmark-behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_loses_its_replica_goes_on_at_the_primary() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    let end_it = read("SELECT pg_terminate_backend(pg_backend_pid())");
    let played = play(&fra, "", &[see("x"), end_it, see("x")]).await;
    assert!(is_home(played.results[0]["candidate"].as_str().unwrap()), "{played:?}");
    // What ends its own connection does so on the primary as well.
    assert_eq!(played.results[1]["problem"], "database-unavailable", "{played:?}");
    played.assert_value(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_that_makes_no_sense_costs_a_detour_and_brings_a_new_one() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    let good = play(&fra, "", &[add("mine")]).await.bookmark;
    let parts: Vec<_> = good.split('-').collect();
    let [_, system, timeline, lsn] = parts.as_slice() else { panic!("{good}") };
    let nonsense = "x".repeat(64);
    let bookmarks = [
        format!("1-{system}1-{timeline}-{lsn}"),
        format!("1-{system}-{timeline}-ff{lsn:0>14}"),
        nonsense,
        "primary".to_owned(),
        "1-until-1".to_owned(),
    ];
    for bookmark in bookmarks {
        let seen = play(&fra, &bookmark, &[see("mine")]).await;
        seen.assert_value(1);
        assert_eq!(seen.last().0, "configured", "{bookmark}");
        assert!(seen.bookmark.starts_with(&format!("1-{system}-{timeline}-")), "{bookmark}: {seen:?}");
        assert!(!seen.bookmark.ends_with(&format!("ff{lsn:0>14}")), "{seen:?}");
        let home = eventually(DEADLINE, "the new bookmark to be good at home", async || {
            is_home(play(&fra, &seen.bookmark, &[see("mine")]).await.last().0).then_some(())
        });
        home.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_replica_has_a_bookmark_from_the_boundary_of_a_page_or_a_segment() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    let primary = playground.primary();
    primary.ask("SELECT pg_switch_wal()::text").await.unwrap();
    let lsn = primary.ask("SELECT pg_current_wal_insert_lsn()::text").await.unwrap();
    let from_primary = [serde_json::json!({ "read-from-primary": "SELECT 1" })];
    let bookmark = play(&fra, "", &from_primary).await.bookmark;
    assert!(lsn.ends_with("000028") || !bookmark.ends_with("000000"), "at a boundary: {lsn}, {bookmark}");
    let home = eventually(DEADLINE, "the replica to have it while it is idle", async || {
        is_home(play(&fra, &bookmark, &[read("SELECT 1")]).await.last().0).then_some(())
    });
    home.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_promotion_an_old_bookmark_is_renewed_and_the_old_primary_is_never_read_with_the_new_one() {
    let playground = Playground::new().await;
    let url = |server: &str| format!("postgres://{USER}@{}/postgres", playground.cluster.server(server).address());
    let (old, new) = (playground.machine_for(&url("sjc")).await, playground.machine_for(&url("fra")).await);
    let before = play(&old, "", &[add("before")]).await.bookmark;
    let there = eventually(DEADLINE, "the replica to have it", async || {
        let seen = play(&new, &before, &[see("before")]).await;
        (seen.results[0]["rows"] == serde_json::json!([[1]])).then_some(())
    });
    there.await.unwrap();
    playground.cluster.server("fra").ask("SELECT pg_promote()::text").await.unwrap();
    let after = play(&new, &before, &[see("before"), add("after")]).await;
    assert_eq!(after.results[0]["rows"], serde_json::json!([[1]]), "{after:?}");
    assert_ne!(after.bookmark, before);
    // The timeline is the new one at once, though the control file still has the old one.
    assert!(after.bookmark.split('-').nth(2) == Some("2"), "{after:?}");
    play(&new, &after.bookmark, &[see("after")]).await.assert_value(1);
    let stale = play(&old, &after.bookmark, &[see("after")]).await;
    assert_eq!(stale.problem(), ("database-behind", 503, ""), "{stale:?}");
    let asked = [serde_json::json!({ "read-from-primary": "SELECT count(*) FROM notes" })];
    assert_eq!(
        play(&old, &after.bookmark, &asked).await.problem().0,
        "database-behind",
        "it is not the primary any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_database_left_is_no_answer_where_it_is_behind() {
    let playground = Playground::new().await;
    let fra = playground.machine("fra").await;
    playground.pause("fra").await;
    let written = play(&fra, "", &[add("mine")]).await;
    playground.primary().end(nix::sys::signal::Signal::SIGQUIT).unwrap();
    let behind = play(&fra, &written.bookmark, &[see("mine")]).await;
    assert_eq!(behind.problem(), ("database-behind", 503, ""), "{behind:?}");
    assert!(behind.answer.took < DEADLINE, "{behind:?}");
    // Who has written nothing reads on.
    assert!(is_home(play(&fra, "", &[see("mine")]).await.last().0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_does_not_answer_for_the_primary_where_database_url_leads_to_one() {
    let playground = Playground::new().await;
    let replica = playground.cluster.server("fra").address();
    let machine = playground.machine_for(&format!("postgres://{USER}@{replica}/postgres")).await;
    let asked = [serde_json::json!({ "read-from-primary": "SELECT 1" })];
    let (plain, from_primary) = ([read("SELECT 1")], &asked);
    for bookmark in ["primary", "1-until-1", "nonsense"] {
        assert_eq!(play(&machine, bookmark, &plain).await.problem(), ("database-behind", 503, ""), "{bookmark}");
    }
    assert_eq!(play(&machine, "", from_primary).await.problem(), ("database-behind", 503, ""));
    assert_eq!(play(&machine, "", &plain).await.last().0, "configured", "who asks for nothing reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_database_does_not_say_how_far_it_is_a_writer_reads_from_the_primary_for_a_while() {
    let playground = Playground::new().await;
    let primary = playground.primary();
    primary.ask("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await.unwrap();
    primary.ask("GRANT ALL ON notes TO ann; CREATE ROLE bob LOGIN; GRANT ALL ON notes TO bob").await.unwrap();
    crate::playground::replayed(&playground.cluster, "fra").await;
    let setup = playground.setup("fra");
    let url = setup.environment["DATABASE_URL"].replacen(&format!("{USER}@"), "bob@", 1);
    let fra = playground.start(setup.env("DATABASE_URL", url)).await;
    let written = play(&fra, "", &[add("mine")]).await;
    assert!(written.bookmark.starts_with("1-until-"), "{written:?}");
    let seen = play(&fra, &written.bookmark, &[see("mine")]).await;
    seen.assert_value(1);
    assert_eq!(seen.last().1, "bookmark-primary");
    assert_eq!(play(&fra, "", &[see("mine")]).await.bookmark, "", "who has written nothing reads anywhere");
    assert!(fra.logs().contains("event=no-bookmarks"), "{}", fra.logs());
    // One from elsewhere cannot be checked: of all, the primary is sure to have it.
    let checked = play(&fra, "1-1-1-1", &[see("mine")]).await;
    checked.assert_value(1);
    assert_eq!(checked.last().0, "configured");
}
