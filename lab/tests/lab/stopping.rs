//! Ctrl-C, once and twice, also while servers hang; and what is left then.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use host_tests::wait::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use crate::program::{Lab, SOON, turn};

/// The folders of databases below a folder for temporary files, in which Spin leaves some of its own.
fn databases(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("nearest-replica-")).count()
}

/// The processes below a process: servers, Machines, and those that watch over them.
fn below(root: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-A", "-o", "ppid=,pid="]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    let pairs: Vec<(u32, u32)> = text.lines().filter_map(pair).collect();
    let mut found = vec![root];
    for index in 0.. {
        let Some(parent) = found.get(index).copied() else { break };
        found.extend(pairs.iter().filter(|(ppid, _)| *ppid == parent).map(|(_, pid)| *pid));
    }
    found.split_off(1)
}

fn is_alive(pid: u32) -> bool {
    kill(Pid::from_raw(pid.try_into().unwrap()), None).is_ok()
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
async fn a_second_ctrl_c_ends_the_program_and_all_else_goes_all_the_same() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut lab = start(&folder).await;
    let started = below(lab.id());
    lab.signal(Signal::SIGINT);
    // Before the first one has been seen, both are one to the system.
    tokio::time::sleep(Duration::from_millis(20)).await;
    lab.signal(Signal::SIGINT);
    lab.ended().await;
    let gone = eventually(SOON, "all processes and the databases to go", async || {
        (databases(folder.path()) == 0 && !started.iter().any(|pid| is_alive(*pid))).then_some(())
    });
    gone.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_killed_leaves_no_database_and_no_machine() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let mut lab = start(&folder).await;
    let started = below(lab.id());
    assert!(started.len() > 3, "three servers and more: {started:?}");
    lab.signal(Signal::SIGKILL);
    lab.ended().await;
    let gone = eventually(SOON, "all processes and the databases to go", async || {
        (databases(folder.path()) == 0 && !started.iter().any(|pid| is_alive(*pid))).then_some(())
    });
    gone.await.unwrap();
}
