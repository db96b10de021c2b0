//! What the variables say before any server is asked.

use crate::fixtures::{Doctor, shared, url};

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_makes_no_sense_is_named_as_the_component_names_it_with_where_it_was_found() {
    for (name, value, wrong, instead) in [
        ("DATABASE_URL", "host=localhost", "`database_url` is not a URL", "write `postgres://"),
        ("FLY_REGION", "fra,syd", "`fly_region` is \"fra,syd\", which is not a region", "write a Fly.io region"),
        ("SPIN_VARIABLE_REPLICA_PORT", "http", "`replica_port` is \"http\", which is not a port", "write a number"),
        ("SPIN_VARIABLE_DEADLINE_MS", "soon", "`deadline_ms` is \"soon\"", "write a whole number of milliseconds"),
    ] {
        let told = Doctor::in_fra("postgres:///db", 5433).with(name, value).examine().await;
        let (said, to_do) = told.finding("variable", None);
        assert_eq!(said, format!("{wrong}, and is read from {name}"));
        assert!(to_do.starts_with(instead), "{told}");
        assert_eq!((told.status, told.report["candidates"].as_array().unwrap().len()), (2, 0), "{told}");
    }
    let told = Doctor::new().examine().await;
    let (wrong, _) = told.finding("variable", None);
    assert!(wrong.contains("DATABASE_URL is not set"), "{told}");
    assert_eq!(told.status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_region_has_one_candidate_and_is_told_why() {
    let told = Doctor::of(shared().await).with("FLY_REGION", "sjc").examine().await;
    let (wrong, instead) = told.finding("in-primary-region", None);
    assert!(wrong.contains("`sjc`") && instead.contains("FLY_REGION"), "{told}");
    assert_eq!((told.status, told.report["candidates"].as_array().unwrap().len()), (0, 1), "{told}");
    let told = Doctor::of(shared().await).with("FLY_REGION", "").examine().await;
    told.finding("region-not-set", None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_region_under_flys_own_name_is_not_read_and_that_is_said() {
    let cluster = shared().await;
    let without = |region| Doctor::of(cluster).with("SPIN_VARIABLE_PRIMARY_REGION", region);
    let told = without("").examine().await;
    let (wrong, instead) = told.finding("primary-region-not-set", None);
    assert!(!wrong.contains("PRIMARY_REGION is set") && instead.contains("SPIN_VARIABLE_PRIMARY_REGION"), "{told}");
    let told = without("").with("PRIMARY_REGION", "sjc").examine().await;
    assert!(told.finding("primary-region-not-set", None).0.contains("PRIMARY_REGION is set"), "{told}");
    let told = without("sjc").with("PRIMARY_REGION", "iad").examine().await;
    assert!(told.finding("primary-regions-differ", None).0.contains("iad"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_without_replicas_is_told_why() {
    let told = Doctor::of(shared().await).with("SPIN_VARIABLE_REPLICA_PORT", "").examine().await;
    told.finding("no-replicas", None);
    let port = shared().await.primary().address().port();
    let told = Doctor::in_fra(&url(port), port).examine().await;
    assert!(told.finding("no-replicas", None).0.contains("on the replica port already"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_spin_would_refuse_is_named_with_the_value_to_set() {
    let cluster = shared().await;
    let told = Doctor::of(cluster).with("SPIN_VARIABLE_ALLOWED_HOST", "").examine().await;
    let (_, instead) = told.finding("host-not-allowed", None);
    let (name, value) = instead.strip_prefix("set ").unwrap().split_once('=').unwrap();
    assert_eq!(told.status, 1);
    // What it says to do helps.
    let told = Doctor::of(cluster).with(name, value).examine().await;
    assert_eq!(told.wrong(), [""; 0], "{told}");
    let told = Doctor::of(cluster).with("SPIN_VARIABLE_ALLOWED_HOST", "127.0.0.1").examine().await;
    assert!(told.finding("host-not-allowed", None).0.contains("`allowed_host` is not of the form"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_databases_of_this_machine_comes_before_what_spin_would_refuse() {
    let port = shared().await.primary().address().port();
    let nobody = host_tests::process::free_address().unwrap().port();
    let with = |allowed| Doctor::in_fra(&url(port), nobody).with("SPIN_VARIABLE_ALLOWED_HOST", allowed);
    let told = with("").examine().await;
    assert_eq!(told.wrong(), ["connection-refused", "host-not-allowed"], "{told}");
    let told = with("postgres://elsewhere.example.com:5432").examine().await;
    assert_eq!(told.wrong(), ["host-not-allowed", "connection-refused"], "it was meant to be right: {told}");
}
