//! What our own rules cost in CPU time per request: steps from the component that is written by hand to ours.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use host_tests::postgres::{Cluster, PRIMARY};

use crate::contender::{Application, Contender, REGION, Running};
use crate::figures::{Figures, Spreads, spreads_of_each};
use crate::throughput;

/// Where requests share connections.
pub const CLIENTS: usize = 16;

/// The steps. Those by hand have the SDK's own handler; ours has a leaner one, which makes up for a part of its rules, and
/// returns a response when nothing else is ready.
pub const STEPS: [(&str, &str); 7] = [
    ("kept", "by hand (the SDK's handler, `SELECT 1`), connection kept for the life of the instance"),
    ("headers", "and our response headers"),
    ("deadline", "and a deadline"),
    ("count", "and our statement, of which only the number of rows leaves Spin"),
    ("ours-long-lease", "ours in the primary region, one candidate, leases of a second"),
    ("ours-one-candidate", "ours in the primary region, one candidate"),
    ("ours", "ours in another region"),
];

/// Measures the steps in turn, in every round.
///
/// # Errors
/// When a server does not come up.
pub async fn measure(
    spin: &Path,
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<BTreeMap<String, Spreads>> {
    let mut running = Vec::new();
    for (name, _) in STEPS {
        running.push((name, start(name, spin, cluster).await?));
    }
    let mut measured: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    for round in 1..=rounds {
        for (name, server) in &running {
            let figures = throughput::once(server, cluster.server(REGION), CLIENTS, length).await?;
            eprintln!(
                "    round {round}, {name}: {:.0} + {:.0} us CPU",
                figures["server_cpu_us"], figures["postgres_cpu_us"]
            );
            measured.entry((*name).to_owned()).or_default().push(figures);
        }
    }
    Ok(spreads_of_each(measured))
}

async fn start(name: &str, spin: &Path, cluster: &Cluster) -> Result<Running> {
    let replica = cluster.server(REGION).address();
    let application = match name {
        "kept" => Application::Kept(""),
        "headers" => Application::Kept("headers"),
        "deadline" => Application::Kept("headers and deadline"),
        "count" => Application::Kept("headers, deadline and count"),
        _ => Application::Ours,
    };
    let contender = Contender::application(name, spin, application);
    let in_primary = ("FLY_REGION", PRIMARY);
    match name {
        // The replica stands for a primary here: everybody reads from the same server.
        "ours-long-lease" => {
            contender.start_at(replica, replica, &[in_primary, ("SPIN_VARIABLE_LEASE_MS", "1000")]).await
        }
        "ours-one-candidate" => contender.start_at(replica, replica, &[in_primary]).await,
        _ => contender.start(cluster).await,
    }
}
