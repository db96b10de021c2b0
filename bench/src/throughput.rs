//! Requests per second, latencies and CPU time per request of everybody, from 1 to 256 keep-alive clients.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use host_tests::postgres::{Cluster, Server};

use crate::contender::{Contender, REGION, Running};
use crate::cpu::Usage;
use crate::figures::{ByClients, Figures, Spreads, figures, spreads_by_clients, spreads_of_each};
use crate::load::Load;

/// How many clients there are at once.
pub const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// Not measured. The clients come one after the other in its first half: what Spin makes of many requests at the same
/// moment it has for seconds, and that is measured by itself.
pub const WARM_UP: Duration = Duration::from_secs(1);
/// How many clients come at the same moment.
pub const BURST: usize = 256;

/// Contender -> figures of the first seconds of [`BURST`] clients that come at the same moment.
pub type Burst = BTreeMap<String, Spreads>;

/// Measures everybody in turn, for each number of clients and then for a burst, in every round; in every other round the
/// other way round.
///
/// # Errors
/// When a server does not take connections.
pub async fn measure(
    contenders: &[Contender],
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<(ByClients<Spreads>, Burst)> {
    let mut steady: ByClients<Vec<Figures>> = BTreeMap::new();
    let mut burst: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    for round in 1..=rounds {
        // Anew in each round: one that keeps its connections may not recover from 256 clients.
        let mut running = start(contenders, cluster).await?;
        if round % 2 == 0 {
            running.reverse();
        }
        for clients in CLIENTS {
            for (name, server) in &running {
                let figures = once(server, cluster.server(REGION), clients, length).await?;
                show(&format!("round {round}, {clients} clients, {name}"), &figures);
                let of_name = steady.entry((*name).to_owned()).or_default();
                of_name.entry(clients).or_default().push(figures);
            }
        }
        // While the others were measured, the instances of the clients before have ended.
        for (name, server) in &running {
            let figures = at_once(server, cluster.server(REGION), length).await?;
            show(&format!("round {round}, {BURST} clients at the same moment, {name}"), &figures);
            burst.entry((*name).to_owned()).or_default().push(figures);
        }
    }
    Ok((spreads_by_clients(steady), spreads_of_each(burst)))
}

fn show(what: &str, figures: &Figures) {
    eprintln!(
        "    {what}: {:.0} req/s, p99 {:.1} ms, {:.0} + {:.0} us CPU, {} failed",
        figures["rps"], figures["p99_ms"], figures["server_cpu_us"], figures["postgres_cpu_us"], figures["failed"],
    );
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

/// One server for a while in the steady state.
///
/// # Errors
/// When it does not take connections.
pub async fn once(server: &Running, database: &Server, clients: usize, length: Duration) -> Result<Figures> {
    let load = Load::warm_up(server.address(), clients, WARM_UP).await?;
    let began = Mark::set(server, database)?;
    since(began, load, server, database, length).await
}

/// One server from the moment at which all its clients come.
async fn at_once(server: &Running, database: &Server, length: Duration) -> Result<Figures> {
    let began = Mark::set(server, database)?;
    let load = Load::start(server.address(), BURST).await?;
    since(began, load, server, database, length).await
}

/// A moment, and the CPU time that had been used until then.
struct Mark {
    at: Instant,
    server: Usage,
    postgres: Usage,
}

impl Mark {
    fn set(server: &Running, database: &Server) -> Result<Self> {
        let postgres = database.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok()).unwrap_or_default();
        Ok(Self { at: Instant::now(), server: Usage::of(server.process())?, postgres: Usage::of(postgres)? })
    }
}

async fn since(began: Mark, load: Load, server: &Running, database: &Server, length: Duration) -> Result<Figures> {
    tokio::time::sleep(length).await;
    let mut outcome = load.seen();
    let ended = Mark::set(server, database)?;
    #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
    let answered = outcome.answered as f64;
    // Who waits in vain has not been seen before the end.
    outcome.add(&load.end().await?);
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let failed = outcome.failed as f64;
    if let Some(why) = &outcome.why {
        eprintln!("    the first that failed: {why}");
    }
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / answered.max(1.0);
    let server = each(ended.server.cpu_since(&began.server));
    let postgres = each(ended.postgres.cpu_since(&began.postgres));
    Ok(figures([
        ("rps", answered / (ended.at - began.at).as_secs_f64()),
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
