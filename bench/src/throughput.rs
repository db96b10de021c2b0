//! Requests per second, latencies and CPU time per request of everybody, from 1 to 256 keep-alive clients.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use host_tests::postgres::{Cluster, Server};

use crate::contender::{Contender, REGION, Running};
use crate::cpu::Usage;
use crate::figures::{Figures, Spreads, figures, spreads};
use crate::load::{self, Length};

/// How many clients there are at once.
pub const CLIENTS: [usize; 4] = [1, 16, 64, 256];
const WARM_UP: Duration = Duration::from_millis(500);

/// Contender -> clients -> figures.
pub type Throughput = BTreeMap<String, BTreeMap<usize, Spreads>>;

/// Measures everybody in turn, for each number of clients, in every round.
///
/// # Errors
/// When a server does not take connections.
pub async fn measure(
    contenders: &[Contender],
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<Throughput> {
    let mut measured: BTreeMap<(&str, usize), Vec<Figures>> = BTreeMap::new();
    for round in 1..=rounds {
        // Anew in each round: one that keeps its connections does not recover from 256 clients.
        let running = start(contenders, cluster).await?;
        for clients in CLIENTS {
            for (name, server) in &running {
                let figures = once(server, cluster.server(REGION), clients, length).await?;
                eprintln!(
                    "    round {round}, {clients} clients, {name}: {:.0} req/s, p99 {:.1} ms, {:.0} + {:.0} us CPU, {} failed",
                    figures["rps"],
                    figures["p99_ms"],
                    figures["server_cpu_us"],
                    figures["postgres_cpu_us"],
                    figures["failed"],
                );
                measured.entry((name, clients)).or_default().push(figures);
            }
        }
    }
    let mut throughput = Throughput::new();
    for ((name, clients), rounds) in measured {
        throughput.entry(name.to_owned()).or_default().insert(clients, spreads(&rounds));
    }
    Ok(throughput)
}

/// Starts everybody.
///
/// # Errors
/// When one does not come up.
pub async fn start<'a>(contenders: &'a [Contender], cluster: &Cluster) -> Result<Vec<(&'a str, Running)>> {
    let mut running = Vec::new();
    for contender in contenders {
        running.push((contender.name.as_str(), contender.start(cluster).await?));
    }
    Ok(running)
}

/// One server for a while, after a short warm-up.
///
/// # Errors
/// When it does not take connections.
pub async fn once(server: &Running, database: &Server, clients: usize, length: Duration) -> Result<Figures> {
    let postgres = database.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok()).unwrap_or_default();
    let warm_up = load::run(server.address(), clients, Length::For(WARM_UP)).await?;
    let before = (Usage::of(server.process())?, Usage::of(postgres)?);
    let outcome = load::run(server.address(), clients, Length::For(length)).await?;
    let after = (Usage::of(server.process())?, Usage::of(postgres)?);
    #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
    let (answered, in_time, failed) =
        (outcome.answered as f64, outcome.in_time as f64, (warm_up.failed + outcome.failed) as f64);
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / answered.max(1.0);
    Ok(figures([
        ("rps", in_time / outcome.took.as_secs_f64()),
        ("p50_ms", outcome.quantile_ms(0.5)),
        ("p90_ms", outcome.quantile_ms(0.9)),
        ("p99_ms", outcome.quantile_ms(0.99)),
        ("p999_ms", outcome.quantile_ms(0.999)),
        ("server_cpu_us", each(after.0.cpu_since(&before.0))),
        ("postgres_cpu_us", each(after.1.cpu_since(&before.1))),
        ("failed", failed),
    ]))
}
