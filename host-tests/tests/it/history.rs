//! Every write once, every session sees its own: while everything goes wrong, and after a promotion. And that a client
//! which breaks the rules would be caught by the same checker.

use std::time::Duration;

use host_tests::fault::{Fault, FaultProxy};
use host_tests::history::{Call, Client, Drive, Regions, Rule, State, Summary, Violation, check, disturb, report};
use host_tests::postgres::Server;
use host_tests::region::PATIENCE;
use host_tests::wait::eventually;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fixtures::host;
use crate::turn::{alone, beside_others};

/// How long a commit waits on a replica before it is replayed, in tests of clients that break the rules.
const LAG: (&str, &str) = ("recovery_min_apply_delay", "300ms");

/// The one that a failure has printed, or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var("HISTORY_SEED") {
        Ok(seed) => seed.parse().expect("HISTORY_SEED is a number"),
        Err(_) => rand::rng().random(),
    }
}

async fn regions(settings: &[(&str, &str)]) -> Regions {
    Regions::start(&host(), &[&[("deadlock_timeout", "100ms")], settings].concat()).await.unwrap()
}

/// Waits for this many more requests.
pub(crate) async fn requests(drive: &Drive, more: usize) {
    let enough = drive.answered() + more;
    eventually(PATIENCE, "more requests", async || (drive.answered() >= enough).then_some(())).await.unwrap();
}

/// What the checker finds, and what the history is about.
async fn judge(calls: &[Call], server: &Server) -> (Vec<Violation>, Summary) {
    let end = State::at_the_end(server).await.unwrap();
    (check(calls, &end), Summary::of(calls))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_is_there_once_and_every_session_sees_its_own_while_everything_goes_wrong() {
    let _turn = alone().await;
    let seed = seed();
    let regions = regions(&[]).await;
    let drive = Drive::through(&regions, Client::Honest, seed);
    let faults = disturb(&regions, Duration::from_secs(15), StdRng::seed_from_u64(seed));
    let (calls, disturbed) = drive.run(faults).await;
    disturbed.unwrap_or_else(|error| panic!("HISTORY_SEED={seed}: {error:#}"));
    let cluster = regions.close();
    let (found, summary) = judge(&calls, cluster.primary()).await;
    println!("seed {seed}\n{summary}");
    assert!(found.is_empty(), "HISTORY_SEED={seed}: {}\n{summary}", report(&found));
    assert!(summary.acknowledged >= 200 && summary.by_replicas >= 50, "a trivial history: {summary}");
    assert!(summary.for_reasons(&["bookmark-behind", "replica-down"]) > 0, "nobody left a replica: {summary}");
    for sqlstate in ["22012", "23505", "trapped"] {
        assert!(summary.nothing.keys().any(|why| why.contains(sqlstate)), "nobody was told {sqlstate}: {summary}");
    }
    assert!(!summary.unknown.is_empty(), "the outcome of every write is known: {summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_with_its_old_bookmark_after_a_promotion() {
    let _turn = beside_others().await;
    let seed = seed();
    let regions = regions(&[]).await;
    let drive = Drive::through(&regions, Client::Honest, seed);
    let promote = async {
        requests(&drive, 150).await;
        let held = drive.hold().await;
        // Postgres itself loses what no replica has received when an asynchronous primary dies: not what is asked here.
        regions.wait_for_replicas().await.unwrap();
        regions.cluster().promote("fra").await.unwrap();
        regions.lead_to("fra");
        drop(held);
        requests(&drive, 150).await;
    };
    let (calls, ()) = drive.run(promote).await;
    let cluster = regions.close();
    let (found, summary) = judge(&calls, cluster.primary()).await;
    assert!(found.is_empty(), "HISTORY_SEED={seed}: {}\n{summary}", report(&found));
    let timelines =
        |timeline: &str| calls.iter().filter(|call| call.bookmark.split('-').nth(2) == Some(timeline)).count();
    assert!(timelines("1") >= 20 && timelines("2") >= 20, "a trivial history: {summary}");
}

/// What is found with this client while no replica replays.
async fn found_while_no_replica_replays(client: Client) -> Vec<Violation> {
    let regions = regions(&[]).await;
    let drive = Drive::through(&regions, client, seed());
    let script = async {
        requests(&drive, 50).await;
        for region in ["fra", "syd"] {
            regions.pause(region).await.unwrap();
        }
        requests(&drive, 150).await;
    };
    let (calls, ()) = drive.run(script).await;
    let cluster = regions.close();
    judge(&calls, cluster.primary()).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_its_bookmark_reads_old_values_and_is_caught() {
    let _turn = beside_others().await;
    let found = found_while_no_replica_replays(Client::Honest).await;
    assert!(found.is_empty(), "{}", report(&found));
    let found = found_while_no_replica_replays(Client::IgnoresBookmarks).await;
    assert_only(&found, Rule::Stale);
}

#[track_caller]
pub(crate) fn assert_only(found: &[Violation], rule: Rule) {
    assert!(!found.is_empty(), "nothing was found");
    println!("{}", report(found));
    assert!(found.iter().all(|violation| violation.rule == rule), "{}", report(found));
}

/// What is found with this client where replicas lag.
async fn found_where_replicas_lag(client: Client) -> Vec<Violation> {
    let regions = regions(&[LAG]).await;
    let drive = Drive::through(&regions, client, seed());
    let (calls, ()) = drive.run(requests(&drive, 200)).await;
    let cluster = regions.close();
    judge(&calls, cluster.primary()).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_checks_its_replica_in_the_statement_that_reads_is_caught() {
    let _turn = beside_others().await;
    let found = found_where_replicas_lag(Client::Honest).await;
    assert!(found.is_empty(), "{}", report(&found));
    let found = found_where_replicas_lag(Client::ChecksInTheSameStatement).await;
    assert_only(&found, Rule::Stale);
}

/// What is found with this client where answers are lost after their writes have happened.
async fn found_where_answers_are_lost(client: Client) -> (Vec<Violation>, Summary) {
    let regions = regions(&[]).await;
    let drive = Drive::through(&regions, client, seed());
    let all = |fault| regions.links_to_primary().for_each(|link| link.set(fault));
    let hits = || regions.links_to_primary().map(FaultProxy::hits).sum::<usize>();
    let slow = async |which: &str| {
        let running = format!("SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'WITH w%' AND {which}");
        regions.cluster().primary().ask(&running).await.unwrap() != "0"
    };
    let lose_answers = async || {
        requests(&drive, 10).await;
        let running = async || slow("wait_event = 'PgSleep'").await.then_some(());
        eventually(PATIENCE, "a slow write to run", running).await.unwrap();
        all(Fault::StallMidResponse);
        // But for those that wait for a transaction which cannot go on.
        let over = "state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock'";
        let over = async || (!slow(over).await).then_some(());
        eventually(PATIENCE, "it to be committed", over).await.unwrap();
        all(Fault::Reset);
        eventually(PATIENCE, "connections to be cut", async || (hits() > 0).then_some(())).await.unwrap();
        all(Fault::Pass);
        (drive.unknown() >= 20).then_some(())
    };
    let script = async {
        eventually(2 * PATIENCE, "writes whose outcome is unknown", lose_answers).await.unwrap();
        requests(&drive, 30).await;
    };
    let (calls, ()) = drive.run(script).await;
    let cluster = regions.close();
    judge(&calls, cluster.primary()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_write_again_whose_outcome_is_unknown_is_caught() {
    let _turn = beside_others().await;
    let (found, summary) = found_where_answers_are_lost(Client::Honest).await;
    assert!(found.is_empty() && !summary.unknown.is_empty(), "{summary}: {}", report(&found));
    let (found, _) = found_where_answers_are_lost(Client::RetriesAfterUnknown).await;
    // Where there is a unique key, the second one was refused because of the first.
    let (twice, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|violation| violation.rule == Rule::Twice);
    assert_only(&twice, Rule::Twice);
    assert!(others.iter().all(|violation| violation.rule == Rule::There), "{}", report(&others));
}
