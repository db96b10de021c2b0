//! What a user or a server does not allow.

use std::time::Duration;

use host_tests::fault::FaultProxy;
use host_tests::postgres::{Cluster, PASSWORD_LOGIN, PASSWORD_USER, USER};
use host_tests::wait::eventually;

use crate::fixtures::{Doctor, Told, shared, url};

/// As the user who must say a password, and has no rights but that.
fn as_ordinary_user(cluster: &Cluster) -> Doctor {
    let (port, replica) = (cluster.primary().address().port(), cluster.server("fra").address().port());
    Doctor::in_fra(&format!("postgres://{PASSWORD_LOGIN}@127.0.0.1:{port}/postgres"), replica)
}

/// Waits until a statement's answer is this one.
async fn on_replica(cluster: &Cluster, statement: &str, answer: &str) {
    eventually(Duration::from_secs(30), statement, async || {
        (cluster.server("fra").ask(statement).await.ok()? == answer).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_is_told_as_much_as_a_superuser() {
    let told = as_ordinary_user(shared().await).examine().await;
    assert_eq!(told.wrong(), [""; 0], "{told}");
    for name in ["replica-port", "configured"] {
        let candidate = told.candidate(name);
        for field in ["role", "version", "system_identifier", "timeline", "lsn", "connections", "pooler"] {
            assert!(!candidate[field].is_null(), "{name} does not say {field}: {told}");
        }
        assert_eq!(candidate["bookmarks"], "fresh", "{told}");
    }
    assert_eq!(told.candidate("replica-port")["lag"]["streaming"], true, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_the_user_may_not_call_is_named_with_the_statement_that_helps() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let primary = cluster.primary();
    primary.ask("REVOKE EXECUTE ON FUNCTION pg_control_recovery() FROM PUBLIC").await.unwrap();
    let may_call = format!("SELECT has_function_privilege('{PASSWORD_USER}', 'pg_control_recovery()', 'EXECUTE')");
    on_replica(&cluster, &may_call, "f").await;
    let told = as_ordinary_user(&cluster).examine().await;
    let (wrong, instead) = told.finding("no-bookmarks", None);
    assert!(wrong.contains("pg_control_recovery"), "{told}");
    assert_eq!(told.candidate("configured")["bookmarks"], "unavailable", "{told}");
    assert!(!told.candidate("configured")["system_identifier"].is_null(), "what it may say it says: {told}");
    assert_eq!(told.status, 0, "it works, with detours: {told}");

    primary.ask(instead.split('`').nth(1).unwrap()).await.unwrap();
    let told = as_ordinary_user(&cluster).examine().await;
    assert!(told.candidate("configured")["bookmarks"] == "fresh", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_connections_for_spins_pools_are_found_with_the_number_to_write() {
    let cluster = Cluster::start_with(&["fra"], &[("max_connections", "53")]).await.unwrap();
    let told = Doctor::of(&cluster).examine().await;
    let (wrong, instead) = told.finding("too-few-connections", None);
    // 53 and three of them reserved; two pools.
    assert!(wrong.contains("128") && wrong.ends_with("50"), "{told}");
    assert!(instead.contains("`max_connections = 25`"), "{told}");
    assert_eq!(told.status, 0, "{told}");

    let enough = Doctor::of(&cluster).argument("--max-connections=25").examine().await;
    assert_eq!(enough.wrong(), [""; 0], "{enough}");
    let three = Doctor::of(&cluster).argument("--max-connections=25").argument("--machines=3").examine().await;
    let (_, instead) = three.finding("too-few-connections", None);
    assert!(instead.contains("`max_connections = 8`"), "as in docs/fly.md: {three}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_connection_left_is_told_so() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let limit = |number: u32| format!("ALTER ROLE {PASSWORD_USER} CONNECTION LIMIT {number}");
    cluster.primary().ask(&limit(0)).await.unwrap();
    let told = as_ordinary_user(&cluster).examine().await;
    told.finding("no-connection-left", Some("configured"));

    // One for the first question, none for the second.
    cluster.primary().ask(&limit(1)).await.unwrap();
    let told = as_ordinary_user(&cluster).examine().await;
    told.finding("no-connection-left", Some("configured"));
    assert_eq!(told.candidate("configured")["connections"]["limit"], 1, "{told}");
    assert_eq!(told.candidate("configured")["role"], "primary", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_of_the_user_means_everywhere_is_told_once() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    cluster.primary().ask(&format!("ALTER ROLE {PASSWORD_USER} CONNECTION LIMIT 3")).await.unwrap();
    on_replica(&cluster, &format!("SELECT rolconnlimit FROM pg_roles WHERE rolname = '{PASSWORD_USER}'"), "3").await;
    let told = as_ordinary_user(&cluster).examine().await;
    let (wrong, _) = told.finding("too-few-connections", None);
    assert!(wrong.ends_with("this user can have 3"), "{told}");
    assert_eq!(told.wrong(), ["too-few-connections"], "{told}");

    // Superusers are not held to theirs.
    cluster.primary().ask(&format!("ALTER ROLE {USER} CONNECTION LIMIT 3")).await.unwrap();
    on_replica(&cluster, &format!("SELECT rolconnlimit FROM pg_roles WHERE rolname = '{USER}'"), "3").await;
    assert_eq!(Doctor::of(&cluster).examine().await.wrong(), [""; 0]);

    // Both on one server: what the doctor itself has opened there is no fault of it.
    let behind_another_port = FaultProxy::before(cluster.primary().address()).await.unwrap();
    let replica_port = behind_another_port.address().port().to_string();
    let told = as_ordinary_user(&cluster).with("SPIN_VARIABLE_REPLICA_PORT", &replica_port).examine().await;
    assert_eq!(told.wrong(), ["replica-is-the-primary", "too-few-connections"], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctors_own_connections_are_not_counted_as_in_use() {
    let cluster = Cluster::start(&["fra"]).await.unwrap();
    let in_use = |told: &Told| told.candidate("configured")["connections"]["in_use"].as_u64().unwrap();
    let told = as_ordinary_user(&cluster).examine().await;
    let before = in_use(&told);
    let _others = [cluster.primary().connect().await.unwrap(), cluster.primary().connect().await.unwrap()];
    let told = as_ordinary_user(&cluster).examine().await;
    assert_eq!((before, in_use(&told)), (0, 2), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_examined_cannot_write() {
    let told = Doctor::of(shared().await).examine().await;
    assert_eq!(told.candidate("configured")["options"], "taken", "{told}");
    // A host elsewhere may be a pooler: it is asked for nothing.
    let port = shared().await.primary().address().port();
    let pinned = format!("{}?host=127.0.0.1&sslmode=disable", url(port));
    let told = Doctor::in_fra(&pinned, 5433).examine().await;
    assert_eq!(told.candidate("configured")["options"], "not-sent", "{told}");
}
