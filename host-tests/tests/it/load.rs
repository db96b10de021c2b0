//! Many clients, and Spin's own limits.

use std::time::Duration;

use host_tests::load::run_for;

use crate::scenario::{CLIENTS, DEADLINE, Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_clients_starves_a_request() {
    let scenario = Scenario::new().await;
    for clients in [1, 16, 64, 256] {
        let report = run_for(scenario.machine.address(), clients, Duration::from_secs(10)).await.unwrap();
        report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{clients} clients: {error:#}"));
        assert!(report.samples.iter().all(|sample| sample.served_by.1 == "replica"), "{clients} clients");
        let overlap = scenario.local.most_in_flight();
        eprintln!(
            "{clients} clients: {} requests, at most {overlap} at once, {:?}",
            report.samples.len(),
            scenario.local.counts()
        );
        assert!(clients < CLIENTS || overlap >= CLIENTS / 4, "{clients} clients: {overlap} at once at the database");
        let held = scenario.fra().ask(HELD).await.unwrap().parse::<usize>().unwrap();
        assert!(held <= POOL, "{clients} clients: {held} connections: some waited until they took one of another pool");
    }
}

/// Spin's pool for one URL. A request that waits too long for it takes a connection out of a second one.
const POOL: usize = 64;

const HELD: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-fra'";
