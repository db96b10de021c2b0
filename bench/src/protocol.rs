//! What the component says to Postgres for each `GET /`: exact numbers, out of a proxy that counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use host_tests::counting_proxy::{CountingProxy, MessageCounts};
use host_tests::postgres::Cluster;

use crate::contender::{Application, Contender, REGION};
use crate::figures::{Figures, Spreads, figures, spreads_of_each};
use crate::load::Load;

/// One client can share a connection with itself only.
pub const CLIENTS: [usize; 2] = [1, 16];
const WARM_UP: Duration = Duration::from_millis(500);

/// Counts on one host, in the steady state, in every round.
///
/// # Errors
/// When the component does not come up.
pub async fn measure(
    spin: &Path,
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<BTreeMap<usize, Spreads>> {
    let proxy = CountingProxy::before(cluster.server(REGION).address()).await?;
    let ours = Contender::application("ours", spin, Application::Ours);
    let server = ours.start_at(cluster.primary().address(), proxy.address(), &[]).await?;
    let mut measured: BTreeMap<usize, Vec<Figures>> = BTreeMap::new();
    for round in 1..=rounds {
        for clients in CLIENTS {
            let load = Load::warm_up(server.address(), clients, WARM_UP).await?;
            let before = proxy.counts();
            tokio::time::sleep(length).await;
            let outcome = load.seen();
            let mut each = per_request(proxy.counts().since(before), outcome.answered);
            #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
            let failed = (outcome.failed + load.end().await?.failed) as f64;
            each.insert("failed".to_owned(), failed);
            eprintln!("    round {round}, {clients} clients: {each:?}");
            measured.entry(clients).or_default().push(each);
        }
    }
    Ok(spreads_of_each(measured))
}

#[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
fn per_request(counts: MessageCounts, requests: u64) -> Figures {
    let each = |count: u64| count as f64 / (requests as f64).max(1.0);
    figures([
        ("round_trips", each(counts.round_trips)),
        ("messages", each(counts.messages)),
        ("closed_behind", each(counts.closed_behind)),
        ("checkouts_per_request", each(counts.checkouts)),
        ("new_connections_per_request", each(counts.connections)),
    ])
}
