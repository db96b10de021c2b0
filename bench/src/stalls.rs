//! Responses that left in more than one TCP segment, or long after the database had answered.

use std::collections::BTreeMap;

use anyhow::Result;
use host_tests::postgres::Cluster;

use crate::contender::Contender;
use crate::figures::{Figures, Spreads, figures, spreads_of_each};
use crate::load;
use crate::throughput;

/// With few clients Spin's threads are idle, and quicker to send headers alone.
pub const CLIENTS: [usize; 2] = [4, 16];

/// Contender -> clients -> figures.
pub type OfEach = BTreeMap<String, BTreeMap<usize, Spreads>>;

/// Counts them among `responses` of each server, in every round.
///
/// # Errors
/// When a server does not take connections.
pub async fn measure(contenders: &[Contender], cluster: &Cluster, rounds: usize, responses: u64) -> Result<OfEach> {
    let running = throughput::start(contenders, cluster).await?;
    let mut measured: BTreeMap<String, BTreeMap<usize, Vec<Figures>>> = BTreeMap::new();
    for (round, clients) in (1..=rounds).flat_map(|round| CLIENTS.map(|clients| (round, clients))) {
        for (name, server) in &running {
            let outcome = load::ask(server.address(), clients, responses).await?;
            eprintln!(
                "    round {round}, {clients} clients, {name}: of {} responses {} split, {} over 35 ms, {} chunked, {} failed",
                outcome.answered, outcome.split, outcome.over_35ms, outcome.chunked, outcome.failed
            );
            #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
            let mut figures = figures([
                ("responses", outcome.answered as f64),
                ("split", outcome.split as f64),
                ("chunked", outcome.chunked as f64),
                ("failed", outcome.failed as f64),
            ]);
            if outcome.timed == outcome.answered {
                #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
                figures.insert("over_35ms".to_owned(), outcome.over_35ms as f64);
            }
            let of_name = measured.entry((*name).to_owned()).or_default();
            of_name.entry(clients).or_default().push(figures);
        }
    }
    Ok(measured.into_iter().map(|(name, clients)| (name, spreads_of_each(clients))).collect())
}
