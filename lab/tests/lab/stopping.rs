//! Ctrl-C, once and twice, also while servers hang; and what is left then.

use std::path::Path;
use std::time::Duration;

use host_tests::wait::eventually;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::program::{Lab, SOON, turn};

/// The folders of databases below a folder for temporary files.
fn databases(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

async fn start(folder: &TempDir) -> Lab {
    Lab::start_with(&[], &[("TMPDIR", folder.path().to_str().unwrap())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_everything_also_a_server_that_hangs() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut lab = start(&folder).await;
    assert_eq!(databases(folder.path()), 1);
    lab.does(&json!({"do": "hang", "database": "fra"})).await;
    lab.does(&json!({"do": "pause", "database": "syd"})).await;
    lab.signal(Signal::SIGINT);
    let status = lab.ended().await;
    assert!(status.success(), "for a server that is the way to end: {status}");
    assert_eq!(databases(folder.path()), 0, "the databases are gone when the program is");
    assert!(lab.said().contains("==> stopping"), "{}", lab.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_the_program_and_the_databases_go_all_the_same() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut lab = start(&folder).await;
    lab.signal(Signal::SIGINT);
    // Before the first one has been seen, both are one to the system.
    tokio::time::sleep(Duration::from_millis(20)).await;
    lab.signal(Signal::SIGINT);
    lab.ended().await;
    let gone = eventually(SOON, "the databases to go", async || (databases(folder.path()) == 0).then_some(()));
    gone.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_killed_leaves_no_database() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut lab = start(&folder).await;
    lab.signal(Signal::SIGKILL);
    lab.ended().await;
    let gone = eventually(SOON, "the databases to go", async || (databases(folder.path()) == 0).then_some(()));
    gone.await.unwrap();
}
