//! The recipe's headline: how far away `GET /` is in each region, with and without replicas.
//!
//! On the in-house host only: it alone can be told private names. The wide-area delays are estimates.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use host_tests::fault::{Fault, FaultProxy};
use host_tests::machine::{Host, Machine, Routes, Setup};
use host_tests::postgres::{Cluster, PRIMARY, USER};
use host_tests::process::free_address;

use crate::figures::{Summaries, record};
use crate::load::{self, load};

/// A primary and two replicas.
pub(crate) const REGIONS: [&str; 3] = [PRIMARY, "fra", "syd"];
/// What is measured in each region: the name in `report.json`, and the one for people.
pub(crate) const VARIANTS: [(&str, &str); 3] =
    [(WITH, "with replicas"), (WITHOUT, "all on the primary"), (DEAD, "its replica refuses")];
/// Every region has a replica of its own.
pub(crate) const WITH: &str = "with_replica";
/// Everybody reads from the primary.
pub(crate) const WITHOUT: &str = "without_replica";
const DEAD: &str = "replica_dead";
const CLIENTS: usize = 4;
/// Longer than the slowest first request: the instances have found out by then who is dead.
const WARM_UP: Duration = Duration::from_secs(2);

/// Region -> variant -> figures.
pub(crate) type Regions = BTreeMap<String, BTreeMap<String, Summaries>>;

/// Round trips between regions in milliseconds, by both names with a hyphen in between.
pub(crate) type Distances = BTreeMap<String, u64>;

/// The round trip between two regions in milliseconds.
pub(crate) fn round_trip(distances: &Distances, here: &str, there: &str) -> u64 {
    let either = [format!("{here}-{there}"), format!("{there}-{here}")];
    either.iter().find_map(|pair| distances.get(pair)).copied().unwrap_or_default()
}

/// The databases as they are seen from one region: each behind a link as long as the way to it.
struct View(BTreeMap<&'static str, FaultProxy>);

impl View {
    async fn from(here: &str, cluster: &Cluster, distances: &Distances) -> Result<Self> {
        let mut links = BTreeMap::new();
        for there in REGIONS {
            let link = FaultProxy::before(cluster.server(there).address()).await?;
            let delay = Duration::from_millis(round_trip(distances, here, there)) / 2;
            if !delay.is_zero() {
                link.set(Fault::Delay(delay));
            }
            links.insert(there, link);
        }
        Ok(Self(links))
    }

    fn of(&self, region: &str) -> SocketAddr {
        self.0[region].address()
    }
}

/// Measures every region in every variant, in every round.
pub(crate) async fn measure(distances: &Distances, rounds: usize, length: Duration) -> Result<Regions> {
    let cluster = Cluster::start(&REGIONS[1..]).await?;
    let mut measured = Regions::new();
    for round in 1..=rounds {
        for region in REGIONS {
            let view = View::from(region, &cluster, distances).await?;
            for (variant, _) in VARIANTS {
                let machine = machine(region, variant, &view, distances).await?;
                let (load, times) = (load().arriving(WARM_UP / 2), [WARM_UP, length]);
                let (figures, _) = load::run(machine.address(), CLIENTS, load, times, || Ok(())).await?;
                eprintln!("    round {round}, {region} {variant}: p50 {:.1} ms", figures["p50_ms"]);
                let of_region = measured.entry(region.to_owned()).or_default();
                record(of_region.entry(variant.to_owned()).or_default(), figures);
            }
        }
    }
    Ok(measured)
}

async fn machine(region: &str, variant: &str, view: &View, distances: &Distances) -> Result<Machine> {
    let (mut local, mut nearest) = (view.of(region), view.of(region));
    if variant == DEAD && region != PRIMARY {
        // Nobody listens there.
        local = free_address()?;
        let others = REGIONS.into_iter().filter(|there| *there != region);
        let other = others.min_by_key(|there| round_trip(distances, region, there));
        nearest = view.of(other.unwrap_or(PRIMARY));
    }
    let seen = |there: &str| (there.to_owned(), if there == region { local } else { view.of(there) });
    let private = REGIONS.into_iter().map(seen).collect();
    let routes = Routes { configured: view.of(PRIMARY), local, nearest: Some(nearest), private };
    let host = Host::InHouse;
    let mut setup = Setup::with_routes(region, USER, &routes, &host);
    if variant == WITHOUT {
        setup = setup.env("SPIN_VARIABLE_REPLICA_PORT", "");
    }
    Machine::start(&host, setup).await
}
