//! Requests per second, latencies and CPU time per request of everybody: from 1 to 256 keep-alive clients, where 256
//! come at the same moment, and at a fixed rate.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use host_tests::load::Load;
use host_tests::postgres::{Cluster, Server};

use crate::contender::{Contender, Programs, REGION, Running};
use crate::cpu::Usage;
use crate::figures::{ByClients, Figures, Summaries, record};
use crate::load::{self, load};

/// How many clients there are at once.
pub(crate) const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// Not measured. The clients come one after the other in its first half: what Spin makes of many requests at the same
/// moment it has for seconds, and that is measured by itself.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
/// How many clients come at the same moment.
pub(crate) const BURST: usize = 256;
/// How many connections the requests at a fixed rate are sent on.
pub(crate) const CONNECTIONS: usize = 64;

/// Contender -> figures.
pub(crate) type ByContender = BTreeMap<String, Summaries>;

/// Measures everybody in turn, for each number of clients and then for a burst, in every round; in every other round the
/// other way round.
pub(crate) async fn measure(
    programs: &Programs,
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<(ByClients, ByContender)> {
    let (mut steady, mut burst) = (ByClients::new(), ByContender::new());
    for round in 1..=rounds {
        // Anew in each round: one that keeps its connections may not recover from 256 clients.
        let mut running = start(programs.contenders(), programs, cluster).await?;
        if round % 2 == 0 {
            running.reverse();
        }
        for clients in CLIENTS {
            for (key, server) in &running {
                let figures = once(server, cluster.server(REGION), clients, length).await?;
                show(&format!("round {round}, {clients} clients, {key}"), &figures);
                record(steady.entry((*key).to_owned()).or_default().entry(clients).or_default(), figures);
            }
        }
        // While the others were measured, the instances of the clients before have ended.
        for (key, server) in &running {
            let figures = with_cpu(server, cluster.server(REGION), BURST, load(), [Duration::ZERO, length]).await?;
            show(&format!("round {round}, {BURST} clients at the same moment, {key}"), &figures);
            record(burst.entry((*key).to_owned()).or_default(), figures);
        }
    }
    Ok((steady, burst))
}

/// Half of what the slower of those manages that open a connection for each request, in requests per second.
pub(crate) fn fixed_rate(measured: &ByClients) -> Result<f64> {
    let rps = ["connection-per-request", "spin-connection-per-request"]
        .into_iter()
        .filter_map(|key| Some(measured.get(key)?.get(&16)?.get("rps")?.median()));
    rps.reduce(f64::min).map(|rps| (rps / 2.0).round()).context("16 clients were measured")
}

/// Measures those that are compared at this rate, in every round.
pub(crate) async fn at_fixed_rate(
    rate: f64,
    programs: &Programs,
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<ByContender> {
    let contenders = programs.contenders().filter(|contender| contender.is_at_fixed_rate());
    let running = start(contenders, programs, cluster).await?;
    let mut measured = ByContender::new();
    for round in 1..=rounds {
        for (key, server) in &running {
            let load = load().rate(rate);
            let figures = with_cpu(server, cluster.server(REGION), CONNECTIONS, load, [WARM_UP, length]).await?;
            show(&format!("round {round}, {rate} requests a second, {key}"), &figures);
            record(measured.entry((*key).to_owned()).or_default(), figures);
        }
    }
    Ok(measured)
}

/// Starts these.
pub(crate) async fn start(
    contenders: impl Iterator<Item = &'static Contender>,
    programs: &Programs,
    cluster: &Cluster,
) -> Result<Vec<(&'static str, Running)>> {
    let mut running = Vec::new();
    for contender in contenders {
        running.push((contender.key, contender.start(programs, cluster).await?));
    }
    Ok(running)
}

/// One server for a while in the steady state.
pub(crate) async fn once(server: &Running, database: &Server, clients: usize, length: Duration) -> Result<Figures> {
    with_cpu(server, database, clients, load().arriving(WARM_UP / 2), [WARM_UP, length]).await
}

async fn with_cpu(
    server: &Running,
    database: &Server,
    clients: usize,
    load: Load,
    times: [Duration; 2],
) -> Result<Figures> {
    let postgres = database.pid().and_then(|pid| u32::try_from(pid.as_raw()).ok()).unwrap_or_default();
    let usage = || Ok([Usage::of(server.process)?, Usage::of(postgres)?]);
    let (mut figures, [began, ended]) = load::run(server.address, clients, load, times, usage).await?;
    let answered = figures["answered"].max(1.0);
    let each = |of: usize| ended[of].cpu_since(&began[of]).as_secs_f64() * 1e6 / answered;
    let (server, postgres) = (each(0), each(1));
    for (name, value) in [("server_cpu_us", server), ("postgres_cpu_us", postgres), ("cpu_us", server + postgres)] {
        figures.insert(name.to_owned(), value);
    }
    Ok(figures)
}

fn show(what: &str, figures: &Figures) {
    eprintln!(
        "    {what}: {:.0} req/s, p99 {:.1} ms, {:.0} + {:.0} us CPU, {} failed",
        figures["rps"], figures["p99_ms"], figures["server_cpu_us"], figures["postgres_cpu_us"], figures["failed"],
    );
}
