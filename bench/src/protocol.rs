//! What the component says to Postgres for each `GET /`: exact numbers, out of a proxy that counts.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use host_tests::counting_proxy::CountingProxy;
use host_tests::postgres::Cluster;

use crate::contender::{Kind, Programs, REGION};
use crate::figures::{Summaries, figures, record};
use crate::load::{self, load};
use crate::throughput::WARM_UP;

/// One client can share a connection with itself only.
pub(crate) const CLIENTS: [usize; 2] = [1, 16];

/// Counts in the steady state, in every round.
#[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
pub(crate) async fn measure(
    programs: &Programs,
    cluster: &Cluster,
    rounds: usize,
    length: Duration,
) -> Result<BTreeMap<usize, Summaries>> {
    let proxy = CountingProxy::before(cluster.server(REGION).address()).await?;
    let databases = [cluster.primary().address(), proxy.address()];
    let server = programs.start(Kind::Component, programs.best(), databases, &[]).await?;
    let mut measured = BTreeMap::new();
    for round in 1..=rounds {
        for clients in CLIENTS {
            let (load, times, counts) = (load().arriving(WARM_UP / 2), [WARM_UP, length], || Ok(proxy.counts()));
            let (seen, [before, after]) = load::run(server.address, clients, load, times, counts).await?;
            let counts = after.since(before);
            let each = |count: u64| count as f64 / seen["answered"].max(1.0);
            let figures = figures([
                ("round_trips", each(counts.round_trips)),
                ("messages", each(counts.messages)),
                ("checkouts_per_request", each(counts.checkouts)),
                ("new_connections_per_request", each(counts.connections)),
                ("failed", seen["failed"]),
            ]);
            eprintln!("    round {round}, {clients} clients: {figures:?}");
            record(measured.entry(clients).or_default(), figures);
        }
    }
    Ok(measured)
}
