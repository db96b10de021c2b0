//! Responses that left in more than one TCP segment, or long after the database had answered.

use std::collections::BTreeMap;

use anyhow::Result;
use host_tests::postgres::Cluster;

use crate::contender::Contender;
use crate::figures::{ByClients, Figures, Spreads, figures, spreads_by_clients};
use crate::load::{self, Outcome};
use crate::throughput;

/// With few clients Spin's threads are idle, and quicker to send headers alone.
pub const CLIENTS: [usize; 2] = [4, 16];

/// Counts them among `responses` of each server, for each number of clients, in every round.
///
/// # Errors
/// When a server does not take connections.
pub async fn measure(
    contenders: &[Contender],
    cluster: &Cluster,
    rounds: usize,
    responses: u64,
) -> Result<ByClients<Spreads>> {
    let running = throughput::start(contenders, cluster).await?;
    let mut measured: ByClients<Vec<Figures>> = BTreeMap::new();
    for round in 1..=rounds {
        for clients in CLIENTS {
            for (name, server) in &running {
                let outcome = load::ask(server.address(), clients, responses).await?;
                eprintln!(
                    "    round {round}, {clients} clients, {name}: of {} responses {} split, {} over 35 ms, {} chunked, \
                     {} failed",
                    outcome.answered, outcome.split, outcome.over_35ms, outcome.chunked, outcome.failed
                );
                let of_name = measured.entry((*name).to_owned()).or_default();
                of_name.entry(clients).or_default().push(counted(&outcome));
            }
        }
    }
    Ok(spreads_by_clients(measured))
}

#[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
fn counted(outcome: &Outcome) -> Figures {
    let mut figures = figures([
        ("responses", outcome.answered as f64),
        ("split", outcome.split as f64),
        ("chunked", outcome.chunked as f64),
        ("failed", outcome.failed as f64),
    ]);
    if outcome.timed == outcome.answered {
        figures.insert("over_35ms".to_owned(), outcome.over_35ms as f64);
    }
    figures
}
