//! The recipe's headline: how far away `GET /` is in each region, with and without replicas.
//!
//! On the in-house host only: it alone can be told private names. The wide-area delays are estimates.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use host_tests::fault::{Fault, FaultProxy};
use host_tests::machine::{Host, Machine, Routes, Setup};
use host_tests::postgres::{Cluster, PRIMARY, USER};
use host_tests::process::free_address;

use crate::figures::{Figures, Spreads, figures, spreads_of_each};
use crate::load::Load;

/// A primary and two replicas.
pub const REGIONS: [&str; 3] = [PRIMARY, "fra", "syd"];
const CLIENTS: usize = 4;
/// Longer than the slowest first request: the instances have found out by then who is dead.
const WARM_UP: Duration = Duration::from_secs(2);

/// Round trips between regions, in milliseconds.
#[derive(Clone, Debug)]
pub struct Distances(pub [(&'static str, &'static str, u64); 3]);

/// Region -> `with_replica`, `without_replica`, `replica_dead` -> figures.
pub type Regions = BTreeMap<String, BTreeMap<String, Spreads>>;

#[derive(Clone, Copy, Debug)]
enum Variant {
    WithReplica,
    WithoutReplica,
    ReplicaDead,
}

impl Variant {
    const ALL: [Self; 3] = [Self::WithReplica, Self::WithoutReplica, Self::ReplicaDead];

    fn name(self) -> &'static str {
        match self {
            Self::WithReplica => "with_replica",
            Self::WithoutReplica => "without_replica",
            Self::ReplicaDead => "replica_dead",
        }
    }
}

impl Distances {
    fn round_trip(&self, here: &str, there: &str) -> Duration {
        let between = |(a, b, _): &&(&str, &str, u64)| (*a, *b) == (here, there) || (*b, *a) == (here, there);
        Duration::from_millis(self.0.iter().find(between).map_or(0, |(_, _, ms)| *ms))
    }
}

/// The databases as they are seen from one region: each behind a link as long as the way to it.
struct View {
    links: Vec<(&'static str, FaultProxy)>,
}

impl View {
    async fn from(here: &str, cluster: &Cluster, distances: &Distances) -> Result<Self> {
        let mut links = Vec::new();
        for there in REGIONS {
            let link = FaultProxy::before(cluster.server(there).address()).await?;
            let delay = distances.round_trip(here, there) / 2;
            if !delay.is_zero() {
                link.set(Fault::Delay(delay));
            }
            links.push((there, link));
        }
        Ok(Self { links })
    }

    fn of(&self, region: &str) -> Result<SocketAddr> {
        let link = self.links.iter().find(|(there, _)| *there == region);
        Ok(link.context("every region has a link")?.1.address())
    }
}

/// Measures every region in every variant, in every round.
///
/// # Errors
/// When a Machine does not come up.
pub async fn measure(distances: &Distances, rounds: usize, length: Duration) -> Result<Regions> {
    let cluster = Cluster::start(&REGIONS[1..]).await?;
    let mut measured: BTreeMap<String, BTreeMap<String, Vec<Figures>>> = BTreeMap::new();
    for round in 1..=rounds {
        for region in REGIONS {
            let view = View::from(region, &cluster, distances).await?;
            for variant in Variant::ALL {
                let machine = machine(region, variant, &view, distances).await?;
                let load = Load::warm_up(machine.address(), CLIENTS, WARM_UP).await?;
                tokio::time::sleep(length).await;
                let outcome = load.end().await?;
                let (p50, p99) = (outcome.quantile_ms(0.5), outcome.quantile_ms(0.99));
                let name = variant.name();
                eprintln!(
                    "    round {round}, {region} {name}: p50 {p50:.1} ms, p99 {p99:.1} ms, {} failed",
                    outcome.failed
                );
                #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
                let figures = figures([("p50_ms", p50), ("p99_ms", p99), ("failed", outcome.failed as f64)]);
                let of_region = measured.entry(region.to_owned()).or_default();
                of_region.entry(name.to_owned()).or_default().push(figures);
            }
        }
    }
    Ok(measured.into_iter().map(|(region, variants)| (region, spreads_of_each(variants))).collect())
}

async fn machine(region: &str, variant: Variant, view: &View, distances: &Distances) -> Result<Machine> {
    let mut local = view.of(region)?;
    let mut private = Vec::new();
    for there in REGIONS {
        private.push((there.to_owned(), view.of(there)?));
    }
    let dead = matches!(variant, Variant::ReplicaDead) && region != PRIMARY;
    let mut nearest = local;
    if dead {
        // Nobody listens there.
        local = free_address()?;
        let others = REGIONS.into_iter().filter(|there| *there != region);
        let other = others.min_by_key(|there| distances.round_trip(region, there)).context("there are others")?;
        nearest = view.of(other)?;
    }
    for (there, address) in &mut private {
        if there == region {
            *address = local;
        }
    }
    let routes = Routes { given: view.of(PRIMARY)?, local, nearest: Some(nearest), private };
    let host = Host::InHouse;
    let mut setup = Setup::with_routes(region, USER, &routes, &host);
    if matches!(variant, Variant::WithoutReplica) {
        setup = setup.env("SPIN_VARIABLE_REPLICA_PORT", "");
    }
    Machine::start(&host, setup).await
}
