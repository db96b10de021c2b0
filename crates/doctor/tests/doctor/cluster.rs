//! Candidates that are not what they should be.

use std::time::Duration;

use host_tests::fault::FaultProxy;
use host_tests::postgres::{Cluster, Server};
use host_tests::wait::eventually;

use crate::fixtures::{Doctor, shared, url};

fn port(server: &Server) -> u16 {
    server.address().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_port_that_leads_to_a_replica_is_found() {
    let cluster = shared().await;
    let replica = cluster.server("fra");
    let behind_another_port = FaultProxy::before(replica.address()).await.unwrap();
    let told = Doctor::in_fra(&url(behind_another_port.address().port()), port(replica)).examine().await;
    let (_, instead) = told.finding("primary-is-a-replica", Some("configured"));
    assert!(instead.contains("DATABASE_URL"), "{told}");
    assert_eq!((told.wrong(), told.status), (vec!["primary-is-a-replica"], 1), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ports_that_are_swapped_are_one_finding_that_says_what_each_must_be() {
    let cluster = shared().await;
    let (primary, replica) = (port(cluster.primary()), port(cluster.server("fra")));
    let told = Doctor::in_fra(&url(replica), primary).examine().await;
    let (_, instead) = told.finding("ports-swapped", None);
    assert!(instead.contains(&format!("{primary} as the port in DATABASE_URL")), "{told}");
    assert!(instead.contains(&format!("{replica} into SPIN_VARIABLE_REPLICA_PORT")), "{told}");
    assert_eq!((told.wrong(), told.status), (vec!["ports-swapped"], 1), "{told}");

    let other = Cluster::start(&[]).await.unwrap();
    let told = Doctor::in_fra(&url(replica), port(other.primary())).examine().await;
    assert_eq!(told.wrong(), ["another-cluster", "primary-is-a-replica"], "another cluster's is no swap: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_name_that_leads_to_the_primary_is_found() {
    let cluster = shared().await;
    let behind_another_port = FaultProxy::before(cluster.primary().address()).await.unwrap();
    let replica_port = behind_another_port.address().port();
    let told = Doctor::in_fra(&url(port(cluster.primary())), replica_port).examine().await;
    let (wrong, instead) = told.finding("replica-is-the-primary", Some("replica-port"));
    assert!(wrong.contains("the very server of DATABASE_URL"), "{told}");
    assert!(instead.contains("SPIN_VARIABLE_REPLICA_PORT"), "{told}");
    assert_eq!(told.wrong(), ["replica-is-the-primary"], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_cluster_is_found() {
    let (cluster, other) = (shared().await, Cluster::start(&[]).await.unwrap());
    let told = Doctor::in_fra(&url(port(cluster.primary())), port(other.primary())).examine().await;
    let (wrong, _) = told.finding("another-cluster", Some("replica-port"));
    for cluster in [cluster, &other] {
        let system = cluster.primary().ask("SELECT system_identifier FROM pg_control_system()").await.unwrap();
        assert!(wrong.contains(&system), "{told}");
    }
    assert_eq!(told.candidate("replica-port")["bookmarks"], "foreign", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_is_found_whichever_url_leads_to_it() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let (old, new) = (cluster.primary(), cluster.server("fra"));
    assert_eq!(new.ask("SELECT pg_promote()").await.unwrap(), "t");

    let told = Doctor::of(&cluster).examine().await;
    let (wrong, instead) = told.finding("old-primary", Some("configured"));
    assert!(wrong.contains("timeline is 1") && instead.contains("`replica-port`"), "{told}");
    told.finding("two-primaries", Some("replica-port"));
    assert_eq!(told.candidate("replica-port")["timeline"], 2, "at once after the promotion: {told}");

    let told = Doctor::in_fra(&url(port(new)), port(old)).examine().await;
    told.finding("old-primary", Some("replica-port"));
    assert_eq!(told.wrong(), ["old-primary"], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_replay_is_paused_and_that_lags_is_found() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let (primary, replica) = (cluster.primary(), cluster.server("fra"));
    primary.ask("CREATE TABLE note (text text)").await.unwrap();
    let arrived = "SELECT (to_regclass('note') IS NOT NULL)::text";
    eventually(Duration::from_secs(30), "the table on the replica", async || {
        (replica.ask(arrived).await.ok()? == "true").then_some(())
    })
    .await
    .unwrap();
    replica.pause_replay().await.unwrap();
    let told = Doctor::of(&cluster).argument("--max-lag=0").examine().await;
    let (_, instead) = told.finding("replay-paused", Some("replica-port"));
    assert!(!told.wrong().contains(&"lagging"), "nothing is missing: {told}");

    primary.ask("INSERT INTO note VALUES ('new')").await.unwrap();
    let told = Doctor::of(&cluster).argument("--max-lag=0").examine().await;
    told.finding("lagging", Some("replica-port"));
    let candidate = told.candidate("replica-port");
    assert!(candidate["lag"]["bytes_behind_primary"].as_u64().is_some_and(|bytes| bytes > 0), "{told}");
    assert_eq!((&candidate["bookmarks"], &candidate["lag"]["replay"]), (&"behind".into(), &"paused".into()), "{told}");
    let told = Doctor::of(&cluster).argument("--max-lag=100000").examine().await;
    assert!(!told.wrong().contains(&"lagging"), "{told}");

    // What it says to do helps.
    replica.ask(instead.split('`').nth(1).unwrap()).await.unwrap();
    eventually(Duration::from_secs(30), "a report without errors", async || {
        (Doctor::of(&cluster).examine().await.status == 0).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_receives_nothing_is_found() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let replica = cluster.server("fra");
    replica.ask("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
    replica.ask("SELECT pg_reload_conf()").await.unwrap();
    eventually(Duration::from_secs(30), "the end of the stream", async || {
        (replica.ask("SELECT count(*) FROM pg_stat_wal_receiver").await.ok()? == "0").then_some(())
    })
    .await
    .unwrap();
    let told = Doctor::of(&cluster).examine().await;
    told.finding("not-streaming", Some("replica-port"));
    assert_eq!(told.candidate("replica-port")["lag"]["streaming"], false, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_takes_no_writes_is_found() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let primary = cluster.primary();
    primary.ask("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    primary.ask("SELECT pg_reload_conf()").await.unwrap();
    eventually(Duration::from_secs(30), "the setting", async || {
        (primary.ask("SHOW default_transaction_read_only").await.ok()? == "on").then_some(())
    })
    .await
    .unwrap();
    let told = Doctor::of(&cluster).examine().await;
    told.finding("primary-read-only", Some("configured"));
    assert_eq!(told.wrong(), ["primary-read-only"], "{told}");
}
