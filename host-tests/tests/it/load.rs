//! Many clients, and Spin's own limits.

use std::time::Duration;

use host_tests::load::run_for;

use crate::fixtures::{machine, shared_cluster};
use crate::scenario::{DEADLINE, alone};

#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_clients_starves_a_request() {
    let _alone = alone().await;
    let cluster = shared_cluster().await;
    let machine = machine("fra", &cluster).await;
    for clients in [1, 16, 64, 256] {
        let report = run_for(machine.address(), clients, Duration::from_secs(10)).await.unwrap();
        report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{clients} clients: {error:#}"));
        assert_eq!(report.most_in_flight, clients, "all of them at once");
        assert!(report.samples.iter().all(|sample| sample.served_by.1 == "replica"), "{clients} clients");
        let held = cluster.server("fra").ask(HELD).await.unwrap().parse::<usize>().unwrap();
        assert!(held <= POOL, "{clients} clients: {held} connections, more than Spin's pool");
    }
}

/// Spin's pool for one address.
const POOL: usize = 64;

const HELD: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-fra'";
