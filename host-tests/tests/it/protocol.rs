//! What the component says to Postgres for each `GET /`: a connection is shared, and a read is two round trips.

use std::time::Duration;

use host_tests::counting_proxy::MessageCounts;
use host_tests::fault::Fault;
use host_tests::region::{Options, ReplicaRegion};
use host_tests::wait::eventually;
use serde_json::Value;

use crate::fixtures::assert_ok;
use crate::playground::{Played, play, read, region_of_sessions, replayed, write};
use crate::scenario::{DEADLINE, Scenario};
use crate::turn::alone;

/// What was sent in the steady state, and for how many requests.
async fn counts(clients: usize) -> (MessageCounts, f64) {
    counts_behind(Duration::ZERO, clients, 2_000).await
}

/// The same with a database that is so far away in each direction.
async fn counts_behind(distance: Duration, clients: usize, count: usize) -> (MessageCounts, f64) {
    let scenario = Scenario::new().await;
    let (load, proxy) = (&scenario.load, &scenario.local);
    if !distance.is_zero() {
        proxy.set(Fault::Delay(distance));
    }
    let script = async {
        let answers = async |count: usize| {
            let enough = load.answered() + count;
            let waited =
                eventually(Duration::from_secs(60), "answers", async || (load.answered() >= enough).then_some(()));
            waited.await.unwrap();
            (proxy.counts(), load.answered())
        };
        let (before, first) = answers(count / 4).await;
        let (after, last) = answers(count).await;
        load.stop();
        (after.since(before), last - first)
    };
    let (report, (sent, requests)) = futures::join!(load.run(scenario.machine.address(), clients), script);
    report.unwrap().all_answered_within(DEADLINE).unwrap();
    (sent, f64::from(u32::try_from(requests).unwrap()))
}

fn each(count: u64, requests: f64) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / requests
}

/// Two round trips, and a connection that is taken out of the pool once for many requests.
#[track_caller]
fn assert_shared((sent, requests): (MessageCounts, f64)) {
    assert!((1.99..=2.2).contains(&each(sent.round_trips, requests)), "{sent:?} for {requests}");
    assert!(each(sent.checkouts, requests) <= 0.1, "{sent:?} for {requests}");
    assert!(each(sent.connections, requests) <= 0.01, "{sent:?} for {requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_shares_connections_with_itself_and_costs_two_round_trips_a_request() {
    assert_shared(counts(1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_share_connections_and_cost_two_round_trips_a_request() {
    assert_shared(counts(16).await);
}

/// Where a statement takes longer than the lease, a connection for each would cost half as much again.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_to_a_far_database_is_shared_for_longer_and_a_read_is_two_round_trips() {
    let (counts, requests) = counts_behind(Duration::from_millis(60), 1, 24).await;
    assert!((0.01..=0.25).contains(&each(counts.checkouts, requests)), "{counts:?} for {requests}");
    assert!((1.99..=2.25).contains(&each(counts.round_trips, requests)), "{counts:?} for {requests}");
}

/// What one request of a session says to the near replica and to the primary, in round trips, once connections are open.
async fn round_trips(region: &ReplicaRegion, bookmark: &str, step: &Value) -> (u64, u64, Played) {
    let counts = || (region.local.counts().round_trips, region.primary.counts().round_trips);
    let before = counts();
    let played = play(&region.machine, bookmark, std::slice::from_ref(step)).await;
    let after = counts();
    (after.0 - before.0, after.1 - before.1, played)
}

/// Each of them checks a connection out of Spin's pool, which is one round trip, and ends with the bookmark, which is two.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_a_bookmark_costs_two_round_trips_more_and_a_write_the_two_of_its_statement() {
    const CHECKOUT: u64 = 1;
    const STATEMENT: u64 = 2;
    let _alone = alone().await;
    let region = region_of_sessions().await;
    let add = |note: &str| write(&format!("INSERT INTO notes (note) VALUES ('{note}')"));
    // Opens the connections.
    play(&region.machine, "", &[add("first"), read("SELECT 1")]).await;
    play(&region.machine, "", &[read("SELECT 1")]).await;
    let (local, primary, written) = round_trips(&region, "", &add("second")).await;
    assert_eq!((local, primary), (0, CHECKOUT + STATEMENT + STATEMENT), "{written:?}");
    replayed(&region.cluster, "fra").await;
    for (bookmark, check) in [("", 0), (written.bookmark.as_str(), STATEMENT)] {
        // The connection that the instance has kept may still be there.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (local, primary, seen) = round_trips(&region, bookmark, &read("SELECT count(*) FROM notes")).await;
        assert_eq!((local, primary), (CHECKOUT + check + STATEMENT + STATEMENT, 0), "{bookmark}: {seen:?}");
        seen.assert_value(2);
    }
}

/// With a lease that is long, so that it is not its end that takes the connection back.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_no_request_uses_goes_back_long_before_its_lease_ends() {
    let environment = [("SPIN_VARIABLE_LEASE_MS", "1000")];
    let scenario = Scenario::with(Options { environment: &environment, ..Options::default() }).await;
    let mut client = scenario.machine.client().await.unwrap();
    let mut checkouts = async |pause: Duration, requests: u32| {
        let before = scenario.local.counts();
        for _ in 0..requests {
            tokio::time::sleep(pause).await;
            assert_ok(&client.get("/").await.unwrap());
        }
        scenario.local.counts().since(before).checkouts
    };
    // The first connection may have to be opened, which is too slow for it to be kept.
    checkouts(Duration::ZERO, 4).await;
    let close = checkouts(Duration::ZERO, 40).await;
    assert!(close <= 20, "{close} checkouts for 40 requests one behind the other");
    assert_eq!(checkouts(Duration::from_millis(300), 8).await, 8, "one for each request that comes 300 ms later");
}
