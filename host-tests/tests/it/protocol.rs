//! What the component says to Postgres for each `GET /`: a connection is shared, and a read is two round trips.

use std::time::Duration;

use host_tests::counting_proxy::{CountingProxy, MessageCounts};
use host_tests::fault::{Fault, FaultProxy};
use host_tests::load::Load;
use host_tests::machine::{Machine, Routes, Setup};
use host_tests::postgres::USER;
use host_tests::wait::eventually;

use crate::fixtures::{host, shared_cluster};
use crate::scenario::{DEADLINE, alone};

/// What was sent in the steady state, and for how many requests.
async fn counts(clients: usize) -> (MessageCounts, f64) {
    counts_behind(Duration::ZERO, clients, 2_000).await
}

/// The same with a database that is so far away in each direction.
async fn counts_behind(distance: Duration, clients: usize, count: usize) -> (MessageCounts, f64) {
    let _alone = alone().await;
    let cluster = shared_cluster().await;
    let proxy = CountingProxy::before(cluster.server("fra").address()).await.unwrap();
    let link = FaultProxy::before(proxy.address()).await.unwrap();
    link.set(Fault::Delay(distance));
    let local = link.address();
    let routes =
        Routes { given: cluster.primary().address(), local, nearest: None, private: vec![("fra".to_owned(), local)] };
    let host = host();
    let machine = Machine::start(&host, Setup::with_routes("fra", USER, &routes, &host)).await.unwrap();
    let load = Load::default();
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
    let (report, (sent, requests)) = futures::join!(load.run(machine.address(), clients), script);
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
