//! What goes wrong meanwhile: replicas that lag or hang, links that break, connections and statements that are ended, servers
//! that restart.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rand::RngExt;
use rand::rngs::StdRng;

use super::regions::{REPLICAS, Regions};
use crate::fault::Fault;
use crate::postgres::PRIMARY;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    /// The replica of a region does not replay.
    Lag(&'static str),
    /// The server of a region hangs.
    Hang(&'static str),
    /// Some of the links, drawn by lot, are broken in this way.
    Links(Fault),
    /// Connections are ended again and again, by this function.
    EndAll(&'static str),
    /// A server is ended with this signal, and started.
    Restart(&'static str, Signal),
}

const DISTURBANCES: [Disturbance; 13] = [
    Disturbance::Lag("fra"),
    Disturbance::Lag("syd"),
    Disturbance::Hang("fra"),
    Disturbance::Links(Fault::Refuse),
    Disturbance::Links(Fault::Reset),
    Disturbance::Links(Fault::Stall),
    Disturbance::Links(Fault::StallMidResponse),
    Disturbance::Links(Fault::Delay(Duration::from_millis(30))),
    Disturbance::EndAll("pg_terminate_backend"),
    Disturbance::EndAll("pg_cancel_backend"),
    Disturbance::Restart(PRIMARY, Signal::SIGINT),
    Disturbance::Restart(PRIMARY, Signal::SIGQUIT),
    Disturbance::Restart("fra", Signal::SIGQUIT),
];

/// All of them once, in any order, and more until the time is over. Afterwards nothing is broken any more.
///
/// # Errors
/// When one of them cannot be brought about, or mended.
pub async fn disturb(regions: &Regions, length: Duration, mut random: StdRng) -> Result<()> {
    let end = Instant::now() + length;
    let mut left = DISTURBANCES.to_vec();
    while !left.is_empty() || Instant::now() < end {
        if left.is_empty() {
            left = DISTURBANCES.to_vec();
        }
        let disturbance = left.swap_remove(random.random_range(0..left.len()));
        disturbance.run(regions, &mut random).await.with_context(|| format!("bringing about {disturbance:?}"))?;
        pause(&mut random, 100..300).await;
    }
    Ok(())
}

impl Disturbance {
    async fn run(self, regions: &Regions, random: &mut StdRng) -> Result<()> {
        match self {
            Self::Lag(region) => {
                regions.pause(region).await?;
                pause(random, 500..1500).await;
                regions.resume(region).await?;
            }
            Self::Hang(region) => {
                let server = regions.cluster().server(region);
                server.signal_all(Signal::SIGSTOP)?;
                pause(random, 500..2500).await;
                server.signal_all(Signal::SIGCONT)?;
            }
            Self::Links(fault) => {
                let hit: Vec<_> = regions.links().filter(|_| random.random_bool(0.5)).collect();
                hit.iter().for_each(|link| link.set(fault));
                pause(random, 300..1200).await;
                if random.random_bool(0.5) {
                    // What was held up never comes.
                    hit.iter().for_each(|link| link.set(Fault::Reset));
                    pause(random, 20..50).await;
                }
                hit.iter().for_each(|link| link.set(Fault::Pass));
            }
            Self::EndAll(function) => {
                let end_all = format!(
                    "SELECT count({function}(pid))::text FROM pg_stat_activity \
                     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                );
                for _ in 0..6 {
                    for region in REPLICAS.into_iter().chain([PRIMARY]) {
                        regions.cluster().server(region).ask(&end_all).await?;
                    }
                    pause(random, 20..150).await;
                }
            }
            Self::Restart(region, signal) => {
                let server = regions.cluster().server(region);
                server.end(signal)?;
                pause(random, 0..500).await;
                server.start().await?;
            }
        }
        Ok(())
    }
}

async fn pause(random: &mut StdRng, ms: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(ms))).await;
}
