//! Requests per second, latencies and CPU time per request of everybody, from 1 to 256 keep-alive clients.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use host_tests::postgres::{Cluster, Server};

use crate::contender::{Contender, REGION, Running};
use crate::cpu::Usage;
use crate::figures::{Figures, Spreads, figures, spreads_of_each};
use crate::load::Load;

/// How many clients there are at once.
pub const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// What the first moments of a load cost is not measured with the rest.
const WARM_UP: Duration = Duration::from_secs(1);

/// Contender -> clients -> figures.
pub type Throughput = BTreeMap<String, BTreeMap<usize, Spreads>>;

/// Measures everybody in turn, for each number of clients, in every round; in every other round the other way round.
///
/// # Errors
/// When a server does not take connections.
pub async fn measure(
    contenders: &[Contender],
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<Throughput> {
    let mut measured: BTreeMap<String, BTreeMap<usize, Vec<Figures>>> = BTreeMap::new();
    for round in 1..=rounds {
        // Anew in each round: one that keeps its connections does not recover from 256 clients.
        let mut running = start(contenders, cluster).await?;
        if round % 2 == 0 {
            running.reverse();
        }
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
                let of_name = measured.entry((*name).to_owned()).or_default();
                of_name.entry(clients).or_default().push(figures);
            }
        }
    }
    Ok(measured.into_iter().map(|(name, clients)| (name, spreads_of_each(clients))).collect())
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

/// One server for a while, after a warm-up by the same clients.
///
/// # Errors
/// When it does not take connections.
pub async fn once(server: &Running, database: &Server, clients: usize, length: Duration) -> Result<Figures> {
    let postgres = database.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok()).unwrap_or_default();
    let load = Load::start(server.address(), clients).await?;
    tokio::time::sleep(WARM_UP).await;
    let before = (Usage::of(server.process())?, Usage::of(postgres)?);
    let (warm_up, began) = (load.seen(), Instant::now());
    tokio::time::sleep(length).await;
    let (mut outcome, took) = (load.seen(), began.elapsed());
    let after = (Usage::of(server.process())?, Usage::of(postgres)?);
    #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
    let answered = outcome.answered as f64;
    // Who waits in vain has not been seen before the end.
    outcome.add(&load.end().await?);
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let failed = (warm_up.failed + outcome.failed) as f64;
    if let Some(why) = warm_up.why.or(outcome.why.take()) {
        eprintln!("    the first that failed: {why}");
    }
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / answered.max(1.0);
    let (server, postgres) = (each(after.0.cpu_since(&before.0)), each(after.1.cpu_since(&before.1)));
    Ok(figures([
        ("rps", answered / took.as_secs_f64()),
        ("p50_ms", outcome.quantile_ms(0.5)),
        ("p90_ms", outcome.quantile_ms(0.9)),
        ("p99_ms", outcome.quantile_ms(0.99)),
        ("p999_ms", outcome.quantile_ms(0.999)),
        ("server_cpu_us", server),
        ("postgres_cpu_us", postgres),
        ("cpu_us", server + postgres),
        ("failed", failed),
    ]))
}
