//! What our own rules cost in CPU time per request: steps from the component that is written by hand to ours.

use std::time::Duration;

use anyhow::Result;
use host_tests::postgres::{Cluster, PRIMARY};

use crate::contender::{Kind, Programs, REGION, databases};
use crate::figures::record;
use crate::throughput::{self, ByContender};

/// Where requests share connections.
pub(crate) const CLIENTS: usize = 16;

/// One step.
pub(crate) struct Step {
    /// Its name in `report.json`.
    pub(crate) key: &'static str,
    /// Its name for people.
    pub(crate) label: &'static str,
    kind: Kind,
    /// The replica stands for a primary then: everybody reads from the same server.
    in_primary: bool,
    environment: &'static [(&'static str, &'static str)],
}

const IN_PRIMARY: (&str, &str) = ("FLY_REGION", PRIMARY);

/// The steps. Those by hand have the SDK's own handler; ours has a leaner one, which makes up for a part of its rules, and
/// returns a response when nothing else is ready.
pub(crate) const STEPS: [Step; 7] = [
    by_hand("by-hand", "by hand (the SDK's handler, `SELECT 1`), connection kept for the life of the instance", ""),
    by_hand("headers", "and our response headers", "headers"),
    by_hand("deadline", "and a deadline", "headers and deadline"),
    by_hand("count", "and our statement, of which only the number of rows leaves Spin", "headers, deadline and count"),
    ours(
        "component-long-lease",
        "ours in the primary region, one candidate, leases of a second",
        &[IN_PRIMARY, ("SPIN_VARIABLE_LEASE_MS", "1000")],
    ),
    ours("component-one-candidate", "ours in the primary region, one candidate", &[IN_PRIMARY]),
    ours("component", "ours in another region", &[]),
];

const fn by_hand(key: &'static str, label: &'static str, extras: &'static str) -> Step {
    Step { key, label, kind: Kind::ConnectionPerInstance(extras), in_primary: false, environment: &[] }
}

const fn ours(key: &'static str, label: &'static str, environment: &'static [(&'static str, &'static str)]) -> Step {
    Step { key, label, kind: Kind::Component, in_primary: !environment.is_empty(), environment }
}

/// Measures the steps in turn, in every round.
pub(crate) async fn measure(
    programs: &Programs,
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<ByContender> {
    let mut running = Vec::new();
    for step in &STEPS {
        let [primary, replica] = databases(cluster);
        let primary = if step.in_primary { replica } else { primary };
        let server = programs.start(step.kind, programs.best(), [primary, replica], step.environment).await?;
        running.push((step.key, server));
    }
    let mut measured = ByContender::new();
    for round in 1..=rounds {
        for (key, server) in &running {
            let figures = throughput::once(server, cluster.server(REGION), CLIENTS, length).await?;
            eprintln!("    round {round}, {key}: {:.0} us CPU", figures["cpu_us"]);
            record(measured.entry((*key).to_owned()).or_default(), figures);
        }
    }
    Ok(measured)
}
