//! The in-house host and the clusters themselves: what the other tests rely on.

use std::time::Duration;

use host_tests::postgres::Cluster;
use host_tests::wait::eventually;

use crate::fixtures::shared_cluster;
use crate::turn::beside_others;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_a_stream_of_the_primary_and_refuses_writes() {
    let cluster = shared_cluster().await;
    cluster.primary().ask("CREATE TABLE written AS SELECT 42 AS number").await.unwrap();
    for region in ["fra", "syd"] {
        let replica = cluster.server(region);
        assert_eq!(replica.ask("SHOW cluster_name").await.unwrap(), region);
        let arrived = eventually(Duration::from_secs(10), "the row to arrive", async || {
            (replica.ask("SELECT number FROM written").await.ok()? == "42").then_some(())
        });
        arrived.await.unwrap();
        let refused = replica.ask("INSERT INTO written VALUES (1)").await.unwrap_err();
        assert!(format!("{refused:#}").contains("read-only"), "{refused:#}");
    }
    cluster.primary().ask("DROP TABLE written").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_cluster_leaves_no_process_and_no_folder() {
    let _turn = beside_others().await;
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let folder = cluster.folder().to_owned();
    let pids: Vec<_> = cluster.servers().map(|server| server.pid().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    drop(cluster);
    assert!(!folder.exists(), "{}", folder.display());
    for pid in pids {
        assert!(nix::sys::signal::kill(pid, None).is_err(), "process {pid} is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_ends_with_the_process_that_started_it_even_when_that_is_killed() {
    let _turn = beside_others().await;
    let cluster = Cluster::start(&[]).await.unwrap();
    let folder = cluster.folder().to_owned();
    let pid = cluster.primary().pid().unwrap();
    // What the watchdog sees when this process is gone: nobody holds its input any more.
    cluster.abandon();
    let gone = eventually(Duration::from_secs(20), "the watchdog to clean up", async || {
        // The server is still our child here, so it stays a zombie: look at its work instead.
        (!folder.exists()).then_some(())
    });
    gone.await.unwrap();
    let state = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(state.stdout).unwrap();
    assert!(state.is_empty() || state.starts_with('Z'), "process {pid} still runs: {state}");
}
