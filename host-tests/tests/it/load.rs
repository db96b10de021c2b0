//! Many clients, and Spin's own limits.

use std::time::Duration;

use host_tests::load::Load;
use host_tests::machine::{Machine, Setup};
use host_tests::world::eventually;

use crate::story::{DEADLINE, alone};
use crate::world::{host, machine, shared_cluster};

#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_clients_starves_a_request() {
    let _alone = alone().await;
    let cluster = shared_cluster().await;
    let machine = machine("fra", &cluster).await;
    for clients in [1, 16, 64, 256] {
        let load = Load::default();
        let run = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            load.stop();
        };
        let (report, ()) = futures::join!(load.run(machine.address(), clients), run);
        let report = report.unwrap();
        report.all_answered_within(DEADLINE).unwrap_or_else(|error| panic!("{clients} clients: {error:#}"));
        assert_eq!(report.most_in_flight, clients, "all of them at once");
        assert!(report.samples.iter().all(|sample| sample.served_by.1 == "replica"), "{clients} clients");
        let held = cluster.server("fra").ask(HELD).await.unwrap().parse::<usize>().unwrap();
        assert!(held <= POOL, "{clients} clients: {held} connections, more than Spin's pool");
    }
}

/// A real Spin does not tell how many there are; there, only the answers are checked.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_instances_of_a_burst_those_that_are_too_many_end() {
    let _alone = alone().await;
    let cluster = shared_cluster().await;
    let host = host();
    // Far more than there are requests here: Spin itself ends none of them.
    let setup = Setup { max_instance_reuse_count: Some(1_000_000), ..Setup::in_region("fra", &cluster, &host) };
    let machine = Machine::start(&host, setup).await.unwrap();
    let mut seen = machine.instances().is_none();
    // How many a burst starts depends on how busy this machine is at that moment.
    for _ in 0..20 {
        let load = Load::default();
        let script = async {
            let many = async || machine.instances().is_some_and(|instances| instances > POOL).then_some(());
            if eventually(Duration::from_secs(2), "a crowd", many).await.is_ok() {
                seen = true;
                // Clearly fewer: none of them is idle for a second, for which Spin would end it.
                let few = async || machine.instances().is_some_and(|instances| instances <= POOL * 3 / 4).then_some(());
                eventually(Duration::from_secs(30), "fewer instances than connections", few).await.unwrap();
            }
            load.stop();
        };
        let (report, ()) = futures::join!(load.run(machine.address(), 256), script);
        report.unwrap().all_answered_within(DEADLINE).unwrap();
        if seen {
            return;
        }
    }
    panic!("no burst has started more instances than there are connections");
}

/// Spin's pool for one address.
const POOL: usize = 64;

const HELD: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-fra'";
