//! Responses that left in more than one TCP segment, or long after the database had answered.

use std::time::Duration;

use anyhow::Result;
use host_tests::load::{Report, Sample};
use host_tests::postgres::Cluster;

use crate::contender::{Contender, Programs};
use crate::figures::{ByClients, Figures, figures, record};
use crate::load::load;
use crate::throughput;

/// With few clients Spin's threads are idle, and quicker to send headers alone.
pub(crate) const CLIENTS: [usize; 2] = [4, 16];
/// What a response that leaves in two segments waits for is the client's delayed acknowledgement, 40 ms.
const STALL: Duration = Duration::from_millis(35);

/// Counts them among `responses` of each server, for each number of clients, in every round.
pub(crate) async fn measure(
    programs: &Programs,
    cluster: &Cluster,
    rounds: usize,
    responses: usize,
) -> Result<ByClients> {
    let contenders = programs.contenders().filter(|contender| Contender::is_component_or_opens(contender));
    let running = throughput::start(contenders, programs, cluster).await?;
    let mut measured = ByClients::new();
    for round in 1..=rounds {
        for clients in CLIENTS {
            for (key, server) in &running {
                let figures = counted(&load().requests(responses).run(server.address, clients).await?);
                eprintln!("    round {round}, {clients} clients, {key}: {figures:?}");
                record(measured.entry((*key).to_owned()).or_default().entry(clients).or_default(), figures);
            }
        }
    }
    Ok(measured)
}

#[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
fn counted(report: &Report) -> Figures {
    let count = |is: &dyn Fn(&Sample) -> bool| report.samples.iter().filter(|sample| is(sample)).count() as f64;
    let mut figures = figures([
        ("responses", count(&|sample| sample.wrong.is_none())),
        ("split", report.split as f64),
        ("chunked", count(&|sample| sample.chunked)),
        ("failed", count(&|sample| sample.wrong.is_some())),
    ]);
    // Only an answer that says how long the database took can be told from a slow database.
    if report.samples.iter().all(|sample| sample.database.is_some()) {
        let waited = |sample: &Sample| sample.took.saturating_sub(sample.database.unwrap_or_default());
        figures.insert("over_35ms".to_owned(), count(&|sample| waited(sample) > STALL));
    }
    figures
}
