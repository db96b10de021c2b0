//! The guestbook in Python while everything goes wrong: every write is there once. Behind the adapter nobody on its Machine
//! reads anything older than what anybody was told there; with the middleware in front of it, guests who go from region to
//! region read what they have written. And the same checker finds it where instances do not tell each other of writes, or
//! where the middleware is not there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host_tests::fly::Distances;
use host_tests::history::{
    Call, Drive, Regions, Rule, State, Summary, Violation, check_guests, check_machine, disturb, report,
};
use host_tests::machine::repository;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::fixtures::host;
use crate::history::{assert_only, requests, seed};
use crate::languages_adapted::{build_example, build_with_adapter};
use crate::middleware_history::{Pauses, found_with_pauses};
use crate::turn::alone;

/// The example, or a copy of its manifest by which instances know their own writes only.
enum Told {
    Machine,
    InstanceOnly(TempDir),
}

/// A manifest of the example that is changed a little, in a folder of its own.
fn changed(name: &str, from: &str, to: &str) -> TempDir {
    let manifest = std::fs::read_to_string(repository().join("examples/python").join(name)).unwrap();
    assert!(manifest.contains(from), "{name} has {from}");
    let root = repository().to_str().unwrap();
    let copy = manifest
        .replace(from, to)
        .replace("\"../../", &format!("\"{root}/"))
        .replace("\"guestbook.wasm\"", &format!("\"{root}/examples/python/guestbook.wasm\""));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), copy).unwrap();
    folder
}

impl Told {
    fn instance_only() -> Self {
        Self::InstanceOnly(changed("with-adapter.toml", "key_value_store = \"default\"", "key_value_store = \"\""))
    }

    fn manifest(&self) -> PathBuf {
        match self {
            Self::Machine => example(),
            Self::InstanceOnly(folder) => folder.path().join("spin.toml"),
        }
    }
}

fn example() -> PathBuf {
    repository().join("examples/python/with-adapter.toml")
}

async fn regions(manifest: &Path) -> Regions {
    build_with_adapter("python").await;
    Regions::with_guestbook(&host(), manifest).await.unwrap()
}

/// Lets guests go on while everything goes wrong, and checks what they were told.
async fn while_everything_goes_wrong(
    regions: Regions,
    seed: u64,
    check: fn(&[Call], &State) -> Vec<Violation>,
) -> Summary {
    let drive = Drive::guests(&regions, seed);
    let faults = async {
        let disturbed = disturb(&regions, Duration::from_secs(20), StdRng::seed_from_u64(seed)).await;
        // After a write that may still happen, reads are from the primary for ten seconds, so that in the end there are
        // some that are not.
        tokio::time::sleep(Duration::from_secs(20)).await;
        disturbed
    };
    let (calls, disturbed) = drive.run(regions.while_connections_end(faults)).await;
    disturbed.unwrap_or_else(|error| panic!("HISTORY_SEED={seed}: {error:#}"));
    let cluster = regions.close();
    let end = State::of_the_book(cluster.primary()).await.unwrap();
    let (found, summary) = (check(&calls, &end), Summary::of(&calls));
    println!("seed {seed}\n{summary}");
    assert!(found.is_empty(), "HISTORY_SEED={seed}: {}\n{summary}", report(&found));
    assert!(summary.acknowledged >= 200 && summary.by_replicas >= 50, "a trivial history: {summary}");
    assert!(!summary.unknown.is_empty(), "the outcome of every write is known: {summary}");
    summary
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: make test-languages"]
async fn guests_in_python_read_whatever_anybody_on_their_machine_was_told_while_everything_goes_wrong() {
    let _turn = alone().await;
    let seed = seed();
    let regions = regions(&Told::Machine.manifest()).await;
    let summary = while_everything_goes_wrong(regions, seed, check_machine).await;
    assert!(summary.for_reasons(&["sjc"]) >= 50, "nobody left the replica: {summary}");
    assert!(summary.nothing.keys().all(|why| why == "503") && !summary.nothing.is_empty(), "{summary}");
}

/// What is found while the replica does not replay.
async fn found_while_no_replica_replays(told: &Told) -> (Vec<Violation>, Summary) {
    let regions = regions(&told.manifest()).await;
    let drive = Drive::guests(&regions, seed());
    let script = async {
        requests(&drive, 50).await;
        regions.pause("fra").await.unwrap();
        // Spin makes a new instance after 128 of them.
        requests(&drive, 1200).await;
    };
    let (calls, ()) = drive.run(regions.while_connections_end(script)).await;
    let cluster = regions.close();
    let end = State::of_the_book(cluster.primary()).await.unwrap();
    (check_machine(&calls, &end), Summary::of(&calls))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: make test-languages"]
async fn instances_that_do_not_tell_each_other_of_writes_are_caught() {
    let _turn = alone().await;
    let (found, summary) = found_while_no_replica_replays(&Told::Machine).await;
    assert!(found.is_empty(), "{}\n{summary}", report(&found));
    let (found, summary) = found_while_no_replica_replays(&Told::instance_only()).await;
    println!("{summary}");
    assert_only(&found, Rule::Stale);
}

/// Machines in all regions that serve a manifest of the example, where the test says on which port a replica is.
async fn regions_behind_fly(name: &str) -> Regions {
    build_example("python/with-both.toml").await;
    let variables = "[component.guestbook.variables]\nreplica_port = \"{{ replica_port }}\"";
    let folder = changed(name, "[component.guestbook.variables]", variables);
    let manifest = folder.path().join("spin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let declared = text.replace("\n[variables]\n", "\n[variables]\nreplica_port = { default = \"5433\" }\n");
    std::fs::write(&manifest, declared).unwrap();
    Regions::behind_fly(&host(), &manifest, Distances::estimated().scaled(0.1)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: make test-languages"]
async fn guests_in_python_who_go_from_region_to_region_read_what_they_have_written_while_everything_goes_wrong() {
    let _turn = alone().await;
    let seed = seed();
    let regions = regions_behind_fly("with-both.toml").await;
    while_everything_goes_wrong(regions, seed, check_guests).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: make test-languages"]
async fn guests_who_go_from_region_to_region_without_the_middleware_are_caught() {
    let _turn = alone().await;
    for (name, is_caught) in [("with-both.toml", false), ("with-adapter.toml", true)] {
        let regions = regions_behind_fly(name).await;
        let pauses = Pauses { count: 20, requests_in: 25, requests_after: 10 };
        let (found, summary) = found_with_pauses(regions, &pauses).await;
        println!("{name}: {summary}");
        if is_caught {
            assert_only(&found, Rule::Stale);
        } else {
            assert!(found.is_empty(), "{}", report(&found));
        }
    }
}
