//! Loads on servers: what their clients saw between a warm-up and the end, and what CPU time it took.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use host_tests::load::{Load, Report, Sample, percentile};
use host_tests::postgres::Cluster;

use crate::contender::{Contender, Programs, REGION, Running};
use crate::cpu::Usage;
use crate::figures::{Figures, figures, number};
use crate::report::Measured;

/// Not measured. The clients come one after the other in its first half: what Spin makes of many requests at the same
/// moment it has for seconds, and that is measured by itself.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
/// A second more than the component's deadline: whoever waits longer counts as starved.
const PATIENCE: Duration = Duration::from_secs(6);
/// A request at a fixed rate that is sent this much after it was due had to wait for a connection.
const LATE: Duration = Duration::from_millis(1);

/// What every measurement has at hand, and where its figures go.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    /// The databases of all that is compared.
    pub(crate) cluster: Cluster,
    /// How often throughput is measured.
    pub(crate) rounds: u64,
    /// How often all else is measured, which is steadier.
    pub(crate) fewer: u64,
    /// For how long each load runs.
    pub(crate) length: Duration,
    pub(crate) measured: RefCell<Measured>,
}

impl Bench {
    /// Adds what a round measured, and shows it.
    pub(crate) fn record(&self, round: u64, at: [&str; 3], of: Figures) {
        let shown: Vec<_> = of.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect();
        eprintln!("    round {round}, {}: {}", at.join(", "), shown.join(", "));
        self.measured.borrow_mut().record(at, of);
    }

    /// The primary, and the replica in [`REGION`].
    pub(crate) fn databases(&self) -> [SocketAddr; 2] {
        [self.cluster.primary().address(), self.cluster.server(REGION).address()]
    }

    /// Starts these.
    pub(crate) async fn start(&self, these: impl Iterator<Item = &Contender>) -> Result<Vec<(&'static str, Running)>> {
        let mut running = Vec::new();
        for contender in these {
            running.push((contender.name, self.programs.start(contender, self.databases()).await?));
        }
        Ok(running)
    }

    /// Measures these one after the other, for each number of clients.
    pub(crate) async fn each(
        &self,
        round: u64,
        part: &str,
        running: &[(&str, Running)],
        cases: &[usize],
        measure: impl AsyncFn(&Running, usize) -> Result<Figures>,
    ) -> Result<()> {
        for clients in cases {
            for (name, server) in running {
                self.record(round, [part, name, &clients.to_string()], measure(server, *clients).await?);
            }
        }
        Ok(())
    }

    /// One server for a while in the steady state, and the CPU time that it and its database took.
    pub(crate) async fn steady(&self, server: &Running, clients: usize) -> Result<Figures> {
        self.loaded(server, clients, steady(), WARM_UP).await
    }

    /// The same under another load.
    pub(crate) async fn loaded(
        &self,
        server: &Running,
        clients: usize,
        load: Load,
        warm_up: Duration,
    ) -> Result<Figures> {
        let database = self.cluster.server(REGION).pid();
        let database = database.and_then(|pid| u32::try_from(pid.as_raw()).ok()).unwrap_or_default();
        let usage = || Ok([Usage::of(server.process)?, Usage::of(database)?]);
        let (mut seen, [began, ended]) = run(server.address, clients, load, [warm_up, self.length], usage).await?;
        let each = |of: usize| ended[of].cpu_since(&began[of]).as_secs_f64() * 1e6 / seen["answered"].max(1.0);
        let (server, postgres) = (each(0), each(1));
        seen.extend(figures([("server_cpu_us", server), ("postgres_cpu_us", postgres), ("cpu_us", server + postgres)]));
        Ok(seen)
    }
}

/// A load whose clients count as starved after [`PATIENCE`].
pub(crate) fn load() -> Load {
    Load::default().patience(PATIENCE)
}

/// One whose clients come one after the other in the first half of [`WARM_UP`].
pub(crate) fn steady() -> Load {
    load().arriving(WARM_UP / 2)
}

/// Loads the server for `length` after a warm-up, and calls `look` at the beginning and at the end of that.
pub(crate) async fn run<T>(
    address: SocketAddr,
    clients: usize,
    load: Load,
    [warm_up, length]: [Duration; 2],
    look: impl Fn() -> Result<T>,
) -> Result<(Figures, [T; 2])> {
    let window = async {
        tokio::time::sleep(warm_up).await;
        let (from, began) = (Instant::now(), look());
        tokio::time::sleep(length).await;
        let (to, ended) = (Instant::now(), look());
        load.stop();
        anyhow::Ok((from, to, [began?, ended?]))
    };
    let (outcome, report) = futures::join!(window, load.run(address, clients));
    let (from, to, looked) = outcome?;
    Ok((seen(&report?, from, to), looked))
}

/// What answers came between two moments, how long the requests of that time took, and all that failed.
fn seen(report: &Report, from: Instant, to: Instant) -> Figures {
    let ended = |sample: &&Sample| sample.wrong.is_none() && (from..to).contains(&sample.ended());
    let answered = report.samples.iter().filter(ended).count() as f64;
    let wrong = report.wrong();
    if let Some(why) = wrong.keys().next() {
        eprintln!("    one that failed: {why}");
    }
    let sent = report.between(from, to);
    let late = sent.iter().filter(|sample| sample.late > LATE).count();
    let quantile = |per_mille| percentile(sent.iter().copied(), per_mille).as_secs_f64() * 1e3;
    figures([
        ("answered", answered),
        ("rps", answered / (to - from).as_secs_f64()),
        ("sent_late_percent", 100.0 * late as f64 / sent.len().max(1) as f64),
        ("p50_ms", quantile(500)),
        ("p99_ms", quantile(990)),
        ("p999_ms", quantile(999)),
        ("failed", wrong.values().sum::<usize>() as f64),
    ])
}
