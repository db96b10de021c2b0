//! Responses that left in more than one TCP segment, or long after the database had answered.

use std::collections::BTreeMap;

use anyhow::Result;
use host_tests::postgres::Cluster;

use crate::contender::Contender;
use crate::figures::{Figures, Spreads, figures, spreads_of_each};
use crate::load;
use crate::throughput;

/// At 16 clients.
pub const CLIENTS: usize = 16;

/// Counts them among `responses` of each server, in every round.
///
/// # Errors
/// When a server does not take connections.
pub async fn measure(
    contenders: &[Contender],
    cluster: &Cluster,
    rounds: usize,
    responses: u64,
) -> Result<BTreeMap<String, Spreads>> {
    let running = throughput::start(contenders, cluster).await?;
    let mut measured: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    for round in 1..=rounds {
        for (name, server) in &running {
            let outcome = load::ask(server.address(), CLIENTS, responses).await?;
            eprintln!(
                "    round {round}, {name}: of {} responses {} split, {} over 35 ms, {} chunked, {} failed",
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
            measured.entry((*name).to_owned()).or_default().push(figures);
        }
    }
    Ok(spreads_of_each(measured))
}
