//! Many clients, and Spin's own limits.

use std::time::Duration;

use host_tests::load::run_for;
use host_tests::region::Options;

use crate::scenario::{DEADLINE, Scenario};

/// Spin's pool for one URL: more requests than that are not at the database at once, unless they share connections.
const POOL: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_clients_starves_a_request() {
    let scenario = Scenario::with(Options { crowds: true, ..Options::default() }).await;
    // The last ones find what the largest crowd has left behind.
    for clients in [1, 16, 64, 256, 16] {
        let report = run_for(scenario.machine.address(), clients, Duration::from_secs(10)).await.unwrap();
        report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{clients} clients: {error:#}"));
        assert!(report.samples.iter().all(|sample| sample.served_by.1 == "replica"), "{clients} clients");
        let overlap = scenario.local.most_in_flight();
        assert!(overlap >= clients.min(POOL) / 4, "{clients} clients: {overlap} at once at the database");
    }
    scenario.assert_no_secret();
}
