//! Who answers `GET /`, and how.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host_tests::machine::{Machine, Setup};
use host_tests::postgres::{Cluster, PRIMARY};
use host_tests::wait::eventually;
use http::Method;

use crate::fixtures::{REPLICAS, assert_ok, assert_problem, get, host, machine, machine_for, shared_cluster, url_of};
use crate::turn::beside_others;

#[tokio::test(flavor = "multi_thread")]
async fn each_region_reads_from_its_own_server_and_from_no_other() {
    let _turn = beside_others().await;
    let cluster = Cluster::start(&REPLICAS).await.unwrap();
    for (region, role) in [(PRIMARY, "primary"), ("fra", "replica"), ("syd", "replica")] {
        let machine = machine(region, &cluster).await;
        let answer = get(&machine).await;
        assert_ok(&answer);
        assert_eq!(answer.header("machine-region"), region);
        assert_eq!(answer.header("database-role"), role);
        // The databases are asked too: each knows its own region's Machine, by name, and no other.
        let name = format!("nearest-replica-{region}");
        let question = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
        for server in cluster.servers() {
            let connected = server.ask(&question).await.unwrap() != "0";
            assert_eq!(connected, server.name() == region, "{name} on the server in {}", server.name());
        }
        let in_recovery = cluster.server(region).ask("SELECT pg_is_in_recovery()").await.unwrap();
        assert_eq!(in_recovery == "t", role == "replica", "{region}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_know_both_regions_reads_from_the_configured_url() {
    let cluster = shared_cluster().await;
    let host = host();
    for unset in ["FLY_REGION", "SPIN_VARIABLE_PRIMARY_REGION"] {
        let setup = Setup::in_region("fra", &cluster, &host).env(unset, "");
        let machine = Machine::start(&host, setup).await.unwrap();
        let answer = get(&machine).await;
        assert_ok(&answer);
        assert_eq!((answer.header("database-role"), answer.header("database-candidate")), ("primary", "configured"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_how_long_it_is_who_served_it_and_how_long_the_database_took() {
    let cluster = shared_cluster().await;
    let machine = machine("fra", &cluster).await;
    let mut client = machine.client().await.unwrap();
    for _ in 0..20 {
        let answer = client.get("/").await.unwrap();
        assert_ok(&answer);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("content-length"), "15");
        assert_eq!(answer.header("transfer-encoding"), "", "a chunked answer stalls on Spin");
        let duration = answer.header("server-timing").strip_prefix("db;dur=").unwrap().parse::<f64>().unwrap();
        assert!(duration > 0.0 && duration <= answer.took.as_secs_f64() * 1e3, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_the_body() {
    let cluster = shared_cluster().await;
    let machine = machine("fra", &cluster).await;
    let mut client = machine.client().await.unwrap();
    for _ in 0..3 {
        let answer = client.send(Method::HEAD, "/").await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("content-length"), "15");
        assert_eq!(answer.header("database-role"), "replica");
        assert_ok(&client.get("/?on=the&same=connection").await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_other_paths_are_refused_without_a_database() {
    let machine = machine_for("postgres://nobody@127.0.0.1:1/nowhere").await;
    let mut client = machine.client().await.unwrap();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        let answer = client.send(method.clone(), "/").await.unwrap();
        let body = assert_problem(&answer, 405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "GET, HEAD");
        assert!(body["detail"].as_str().unwrap().contains(method.as_str()), "{body}");
    }
    for path in ["/status", "/index.html", "//", "/%2F"] {
        assert_problem(&client.get(path).await.unwrap(), 404, "not-found");
    }
    let health = client.get("/.well-known/spin/health").await.unwrap();
    assert_eq!((health.status.as_u16(), health.body.as_str()), (200, "OK"));
    let info = client.get("/.well-known/spin/info").await.unwrap();
    let info: serde_json::Value = serde_json::from_str(&info.body).unwrap();
    assert_eq!((&info["name"], &info["version"]), (&"nearest-replica".into(), &"0.1.0".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_killed_between_two_requests_is_not_noticed() {
    let cluster = shared_cluster().await;
    let machine = machine_for(&url_of(&cluster, "application_name=killed-idle")).await;
    let mut client = machine.client().await.unwrap();
    for _ in 0..5 {
        assert_ok(&client.get("/").await.unwrap());
        assert_ne!(kill_backends(&cluster, "killed-idle").await, 0, "there was a connection to kill");
    }
    assert_ok(&client.get("/").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_notices_that_connections_are_killed_under_load() {
    let cluster = shared_cluster().await;
    let machine = machine_for(&url_of(&cluster, "application_name=killed-busy")).await;
    let answered = AtomicUsize::new(0);
    let load = async |answered: &AtomicUsize| {
        let mut client = machine.client().await.unwrap();
        for _ in 0..150 {
            assert_ok(&client.get("/").await.unwrap());
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let kills = async {
        let (mut killed, mut next) = (0, 0);
        while next < 16 * 150 {
            killed += kill_backends(&cluster, "killed-busy").await;
            // Not by the clock: a slow host would lose the same read four times, and say so.
            next = answered.load(Ordering::Relaxed) + 2 * 16;
            let enough = eventually(Duration::from_secs(20), "two rounds of answers", async || {
                (answered.load(Ordering::Relaxed) >= next.min(16 * 150)).then_some(())
            });
            enough.await.unwrap();
        }
        killed
    };
    let clients = futures::future::join_all((0..16).map(|_| load(&answered)));
    let (_, killed) = futures::join!(clients, kills);
    assert!(killed >= 16, "only {killed} connections were killed");
}

/// How many connections with this name there were to kill.
async fn kill_backends(cluster: &Cluster, name: &str) -> usize {
    let statement =
        format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{name}'");
    cluster.primary().ask(&statement).await.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_a_replica_where_the_primary_was_expected_answers_and_is_logged_once() {
    let cluster = shared_cluster().await;
    let url = format!("postgres://postgres@{}/postgres", cluster.server("fra").address());
    let machine = machine_for(&url).await;
    for _ in 0..3 {
        let answer = get(&machine).await;
        assert_ok(&answer);
        assert_eq!(answer.header("database-role"), "replica");
    }
    let line = "event=unexpected-role candidate=configured role=replica expected=primary";
    let logged =
        eventually(Duration::from_secs(5), "the log line", async || machine.logs().contains(line).then_some(()));
    logged.await.unwrap();
    assert_eq!(machine.logs().matches(line).count(), 1, "{}", machine.logs());
}
