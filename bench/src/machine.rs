//! Where and with what it was measured: a number means nothing without.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use host_tests::machine::repository;
use host_tests::postgres::Cluster;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::contender::Programs;

/// The machine and the versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// UTC, as `2026-11-24`.
    pub(crate) date: String,
    /// What was measured.
    pub(crate) commit: String,
    /// What it was made of: see [`sources`].
    pub(crate) sources: String,
    /// Model, number and memory.
    pub(crate) hardware: String,
    /// The operating system.
    pub(crate) system: String,
    /// PostgreSQL's version.
    pub(crate) postgres: String,
    /// Of the in-house host's wasmtime and the compiler, and of the real Spin and Ruby where there were any.
    pub(crate) versions: String,
    /// For how many seconds each load was measured, and for how many it ran before.
    pub(crate) seconds: u64,
    pub(crate) warm_up_seconds: u64,
}

impl Machine {
    /// Looks around.
    pub(crate) async fn look(programs: &Programs, cluster: &Cluster, [warm_up, length]: [Duration; 2]) -> Result<Self> {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(what)?;
        let brand = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default();
        let gib = system.total_memory().div_ceil(1 << 30);
        let ask = async |statement| cluster.primary().ask(statement).await;
        let programs = [Some(Path::new("rustc")), programs.spin.as_deref(), programs.ruby.as_deref()];
        let versions = programs.into_iter().flatten().filter_map(|program| said(program, &["--version"]));
        Ok(Self {
            date: ask("SELECT to_char(now() AT TIME ZONE 'utc', 'YYYY-MM-DD')").await?,
            commit: said("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|| "unknown".to_owned()),
            sources: sources()?,
            hardware: format!("{} x {brand}, {gib} GiB", system.cpus().len()),
            system: System::long_os_version().unwrap_or_default(),
            postgres: ask("SHOW server_version").await?,
            versions: wasmtime().into_iter().chain(versions).collect::<Vec<_>>().join(", "),
            seconds: length.as_secs(),
            warm_up_seconds: warm_up.as_secs(),
        })
    }
}

/// What the component is made of: git's ids of all that decides what the component is, and whether they were modified since.
pub(crate) fn sources() -> Result<String> {
    const SOURCES: [&str; 5] = ["src", "crates", "spin.toml", "Cargo.toml", "Cargo.lock"];
    let ids: Option<Vec<_>> = SOURCES.iter().map(|path| said("git", &["rev-parse", &format!("HEAD:{path}")])).collect();
    let ids = ids.context("asking git what was measured")?.join(" ");
    let modified = said("git", &[&["status", "--porcelain", "--"], &SOURCES[..]].concat()).is_some();
    Ok(if modified { ids + " modified" } else { ids })
}

/// The first line that a program writes.
fn said(program: impl AsRef<Path>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(arguments).current_dir(repository()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
}

/// The version in Cargo.lock.
fn wasmtime() -> Option<String> {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).ok()?;
    let rest = lock.split("name = \"wasmtime\"\nversion = \"").nth(1)?;
    Some(format!("wasmtime {}", rest.split('"').next()?))
}
