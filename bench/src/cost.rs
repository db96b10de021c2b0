//! What the component costs while it runs: an instance, and connections and memory as the clients grow.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_tests::machine::repository;
use host_tests::postgres::Cluster;
use host_tests::spin::{Options, instantiate};
use serde::{Deserialize, Serialize};

use crate::contender::{Kind, Programs, REGION, databases};
use crate::cpu::Usage;
use crate::figures::{Figures, Summaries, Summary, figures, record};
use crate::load::{self, load};
use crate::throughput::CLIENTS;

const INSTANCES: usize = 100;
const HELD: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nearest-replica-fra'";

/// Instances and connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// An instance on the in-house host that has not worked yet: `us` to make it, `kib` of resident memory.
    pub(crate) instance: Summaries,
    /// Clients -> `connections` held in the server, `memory_mib` of the process.
    pub(crate) by_clients: BTreeMap<usize, Summaries>,
}

/// What an instance costs in this process, which has made none before: of many that all stay alive.
#[expect(clippy::cast_precision_loss, reason = "a process of some megabytes")]
pub(crate) async fn in_this_process() -> Result<Figures> {
    let options = Options::new(repository().join("spin.toml")).with("SPIN_VARIABLE_URL", "postgres:///db");
    // The first one also compiles the component.
    let first = instantiate(options.clone(), 1).await?;
    let before = Usage::of(std::process::id())?.memory;
    let instances = instantiate(options, INSTANCES).await?;
    let grown = Usage::of(std::process::id())?.memory.saturating_sub(before);
    let times = Summary::of(instances.times().map(|time| time.as_secs_f64() * 1e6).collect());
    drop(first);
    Ok(figures([("us", times.median()), ("kib", grown as f64 / 1024.0 / INSTANCES as f64)]))
}

fn in_a_new_process() -> Result<Figures> {
    let output = Command::new(std::env::current_exe()?).arg("--instances").output().context("making instances")?;
    ensure!(output.status.success(), "making instances: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("making instances")
}

/// Measures instances, and one server from 1 to 256 clients, in every round.
#[expect(clippy::cast_precision_loss, reason = "a process of some megabytes")]
pub(crate) async fn measure(programs: &Programs, cluster: &Cluster, rounds: usize, length: Duration) -> Result<Cost> {
    let mut cost = Cost { instance: Summaries::new(), by_clients: BTreeMap::new() };
    for round in 1..=rounds {
        record(&mut cost.instance, in_a_new_process()?);
        // A new process each time: memory and connections stay when the clients are gone.
        let server = programs.start(Kind::Component, programs.best(), databases(cluster), &[]).await?;
        for clients in CLIENTS {
            let times = [Duration::ZERO, length];
            let (seen, _) = load::run(server.address, clients, load(), times, || Ok(())).await?;
            let held = cluster.server(REGION).ask(HELD).await?.parse::<f64>()?;
            let memory = Usage::of(server.process)?.memory as f64 / 1024.0 / 1024.0;
            eprintln!("    round {round}, {clients} clients: {held} connections, {memory:.0} MiB");
            let figures = figures([("connections", held), ("memory_mib", memory), ("failed", seen["failed"])]);
            record(cost.by_clients.entry(clients).or_default(), figures);
        }
    }
    Ok(cost)
}
