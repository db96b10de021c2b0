//! One load on one server, and what its clients saw between a warm-up and the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use host_tests::load::{Load, Report, Sample, percentile};

use crate::figures::{Figures, figures};

/// A second more than the component's deadline: whoever waits longer counts as starved.
const PATIENCE: Duration = Duration::from_secs(6);
/// A request at a fixed rate that is sent this much after it was due had to wait for a connection.
const LATE: Duration = Duration::from_millis(1);

/// A load whose clients count as starved after [`PATIENCE`].
pub(crate) fn load() -> Load {
    Load::default().patience(PATIENCE)
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
#[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
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
